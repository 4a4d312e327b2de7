"""Accounts, uploads, assets, runs, the ledger, events and jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelled out, not imported from the code: this is what version 0001 was, whatever the code becomes.
_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_INSTANT = _SPAN = _USD = sa.BigInteger()
_JSON = sa.Text()


def upgrade() -> None:
    """Create everything."""
    _create_accounts()
    _create_uploads()
    _create_assets()
    _create_runs()
    _create_ledger_and_events()
    _create_jobs()


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("name", _WORD, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("digest", _WORD, nullable=False),
        sa.Column("hint", _WORD, nullable=False),
        sa.Column("scopes", _WORD, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_api_keys_account_id"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    op.create_index("ix_api_keys_account_id_created_at", "api_keys", ["account_id", "created_at"])


def _create_uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("dialect", _WORD, nullable=False),
        sa.Column("method", _WORD, nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("name", _WORD, nullable=False),
        sa.Column("declared_type", _WORD, nullable=False),
        sa.Column("declared_size", sa.BigInteger()),
        sa.Column("size_policy", _WORD, nullable=False),
        sa.Column("type_policy", _WORD, nullable=False),
        sa.Column("min_size", sa.BigInteger(), nullable=False),
        sa.Column("max_size", sa.BigInteger(), nullable=False),
        sa.Column("staging_key", _WORD, nullable=False),
        sa.Column("media_key", _WORD, nullable=False),
        sa.Column("asset_id", _WORD),
        sa.Column("failure", _WORD),
        sa.Column("lifetime", _SPAN),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("swept", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_uploads_account_id"),
        sa.UniqueConstraint("media_key", name="uq_uploads_media_key"),
    )
    op.create_index("ix_uploads_account_id_created_at_id", "uploads", ["account_id", "created_at", "id"])
    op.create_index(
        "ix_uploads_unswept",
        "uploads",
        ["expires_at"],
        sqlite_where=sa.text("swept = 0"),
        postgresql_where=sa.text("NOT swept"),
    )


def _create_assets() -> None:
    op.create_table(
        "assets",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("upload_id", _WORD),
        sa.Column("run_id", _WORD),
        sa.Column("name", _WORD, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", _WORD),
        sa.Column("content_type", _WORD, nullable=False),
        sa.Column("declared_type", _WORD, nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("object_key", _WORD, nullable=False),
        sa.Column("media_key", _WORD, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("deleted_at", _INSTANT),
        sa.Column("over_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_assets"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_assets_account_id"),
        sa.UniqueConstraint("media_key", name="uq_assets_media_key"),
    )
    op.create_index("ix_assets_account_id_created_at_id", "assets", ["account_id", "created_at", "id"])
    op.create_index(
        "ix_assets_over_at",
        "assets",
        ["over_at"],
        sqlite_where=sa.text("over_at IS NOT NULL"),
        postgresql_where=sa.text("over_at IS NOT NULL"),
    )
    op.create_table(
        "asset_leases",
        sa.Column("asset_id", _WORD, nullable=False),
        sa.Column("run_id", _WORD, nullable=False),
        sa.PrimaryKeyConstraint("asset_id", "run_id", name="pk_asset_leases"),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name="fk_asset_leases_asset_id", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_asset_leases_run_id", "asset_leases", ["run_id"])


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("dialect", _WORD, nullable=False),
        sa.Column("model", _WORD, nullable=False),
        sa.Column("runner", _WORD, nullable=False),
        sa.Column("runner_model", _WORD, nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("inputs", _JSON, nullable=False),
        sa.Column("values", _JSON, nullable=False),
        sa.Column("files", _JSON, nullable=False),
        sa.Column("metadata", _JSON, nullable=False),
        sa.Column("output", _JSON),
        sa.Column("error", _WORD),
        sa.Column("held", _USD, nullable=False),
        sa.Column("cost", _USD),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("started_at", _INSTANT),
        sa.Column("finished_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_runs_account_id"),
    )
    op.create_index("ix_runs_account_id_created_at_id", "runs", ["account_id", "created_at", "id"])
    op.create_index(
        "ix_runs_queued",
        "runs",
        ["created_at", "id"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )


def _create_ledger_and_events() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("amount", _USD, nullable=False),
        sa.Column("balance", _USD, nullable=False),
        sa.Column("run_id", _WORD),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "number", name="pk_ledger_entries"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_ledger_entries_account_id"),
        sa.UniqueConstraint("run_id", "kind", name="uq_ledger_entries_run_id_kind"),
    )
    op.create_table(
        "events",
        sa.Column("subject", _WORD, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("subject", "number", name="pk_events"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("verb", _WORD, nullable=False),
        sa.Column("key", _WORD, nullable=False),
        sa.Column("fingerprint", _WORD, nullable=False),
        sa.Column("subject", _WORD, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "verb", "key", name="pk_idempotency_keys"),
        sqlite_with_rowid=False,
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("payload", _JSON, nullable=False),
        sa.Column("account_id", _WORD),
        sa.Column("dedupe_key", _WORD),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("step", _WORD, nullable=False),
        sa.Column("step_state", _JSON, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("owner", _WORD, nullable=False),
        sa.Column("due_at", _INSTANT),
        sa.Column("stamped_at", _INSTANT, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("error", _WORD),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index(
        "ix_jobs_due_at",
        "jobs",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "uq_jobs_unfinished",
        "jobs",
        ["kind", "dedupe_key"],
        unique=True,
        sqlite_where=sa.text("state IN ('ready', 'leased') AND dedupe_key IS NOT NULL"),
        postgresql_where=sa.text("state IN ('ready', 'leased') AND dedupe_key IS NOT NULL"),
    )
    op.create_table(
        "schedules",
        sa.Column("name", _WORD, nullable=False),
        sa.Column("next_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_schedules"),
    )
