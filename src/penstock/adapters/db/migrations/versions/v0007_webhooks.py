"""Callbacks: what a run's caller asked for, deliveries with their attempts, and the secrets that sign them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Two columns and four tables."""
    op.add_column("runs", sa.Column("callback_url", _WORD))
    op.add_column("runs", sa.Column("callback_on", sa.Text()))
    op.create_table(
        "deliveries",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("dialect", _WORD, nullable=False),
        sa.Column("run_id", _WORD),
        sa.Column("endpoint_id", _WORD),
        sa.Column("moment", _WORD),
        sa.Column("url", _WORD, nullable=False),
        sa.Column("event", _WORD, nullable=False),
        sa.Column("body", _WORD),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("round_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_deliveries_account_id"),
    )
    op.create_index("ix_deliveries_account_id_created_at_id", "deliveries", ["account_id", "created_at", "id"])
    op.create_index("ix_deliveries_run_id", "deliveries", ["run_id"])
    op.create_index("ix_deliveries_round_at", "deliveries", ["round_at"])
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", _WORD, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("reply", _WORD),
        sa.Column("error", _WORD),
        sa.PrimaryKeyConstraint("delivery_id", "number", name="pk_delivery_attempts"),
        sqlite_with_rowid=False,
    )
    _create_receivers()


def _create_receivers() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("dialect", _WORD, nullable=False),
        sa.Column("url", _WORD, nullable=False),
        sa.Column("description", _WORD),
        sa.Column("events", sa.Text()),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("succeeded_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_webhook_endpoints_account_id"),
    )
    op.create_index(
        "ix_webhook_endpoints_account_id_dialect_created_at",
        "webhook_endpoints",
        ["account_id", "dialect", "created_at"],
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("dialect", _WORD, nullable=False),
        sa.Column("endpoint_id", _WORD, nullable=False),
        sa.Column("label", _WORD, nullable=False),
        sa.Column("value", _WORD, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retires_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_secrets"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_webhook_secrets_account_id"),
    )
    op.create_index(
        "ix_webhook_secrets_account_id_dialect_endpoint_id_created_at",
        "webhook_secrets",
        ["account_id", "dialect", "endpoint_id", "created_at"],
    )
    op.create_index(
        "uq_webhook_secrets_current",
        "webhook_secrets",
        ["account_id", "dialect", "endpoint_id"],
        unique=True,
        sqlite_where=sa.text("retires_at IS NULL"),
        postgresql_where=sa.text("retires_at IS NULL"),
    )
