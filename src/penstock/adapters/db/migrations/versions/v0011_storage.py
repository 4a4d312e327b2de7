"""What the storage of models costs day by day, and which model files unfinished runs read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "storage_charges",
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("day", _WORD, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("gigabytes", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "day", name="pk_storage_charges"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_storage_charges_account_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_leases",
        sa.Column("file_id", _WORD, nullable=False),
        sa.Column("run_id", _WORD, nullable=False),
        sa.PrimaryKeyConstraint("file_id", "run_id", name="pk_model_leases"),
        sa.ForeignKeyConstraint(["file_id"], ["model_files.id"], name="fk_model_leases_file_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_model_leases_run_id", "model_leases", ["run_id"])
