"""Folders, tags, media facts, shared and purged bytes, further ways of uploading, and quotas."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FINAL = sa.text(
    "kind IN ('asset.ready', 'run.cancelled', 'run.failed', 'run.succeeded',"
    " 'upload.aborted', 'upload.expired', 'upload.failed', 'upload.ready')"
)
_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """What exists is kept as it is: in no folder, without tags, nothing known of what it shows."""
    _uploads()
    _assets()
    _tables()
    op.drop_index("ix_events_final", "events")
    op.create_index("ix_events_final", "events", ["created_at"], sqlite_where=_FINAL, postgresql_where=_FINAL)
    _mark_deleted()
    _count_usage()


def _uploads() -> None:
    op.add_column("uploads", sa.Column("sha256", _WORD))
    op.add_column("uploads", sa.Column("folder_id", _WORD))
    op.add_column("uploads", sa.Column("tags", sa.Text()))
    op.add_column("uploads", sa.Column("part_size", sa.BigInteger()))
    op.add_column("uploads", sa.Column("store_upload_id", _WORD))
    op.add_column("uploads", sa.Column("final_key", _WORD))
    op.add_column("uploads", sa.Column("source_url", _WORD))
    op.add_column("uploads", sa.Column("reserved", sa.BigInteger(), nullable=False, server_default=sa.text("0")))


def _assets() -> None:
    op.add_column("assets", sa.Column("updated_at", sa.BigInteger()))
    op.add_column("assets", sa.Column("folder_id", _WORD))
    op.add_column("assets", sa.Column("tags", sa.Text()))
    op.add_column("assets", sa.Column("facts", sa.Text()))
    op.add_column("assets", sa.Column("intake", _WORD, nullable=False, server_default="done"))
    op.add_column("assets", sa.Column("intake_problem", _WORD))
    op.add_column("assets", sa.Column("thumbnail_key", _WORD))
    op.add_column("assets", sa.Column("purge_at", sa.BigInteger()))
    op.add_column("assets", sa.Column("purged_at", sa.BigInteger()))
    op.add_column("assets", sa.Column("found_type", _WORD))
    op.create_index("ix_assets_object_key", "assets", ["object_key"])
    shown = sa.text("thumbnail_key IS NOT NULL")
    op.create_index("ix_assets_thumbnail_key", "assets", ["thumbnail_key"], sqlite_where=shown, postgresql_where=shown)
    hashed = sa.text("sha256 IS NOT NULL")
    op.create_index(
        "ix_assets_sha256", "assets", ["account_id", "sha256"], sqlite_where=hashed, postgresql_where=hashed
    )


def _tables() -> None:
    op.create_table(
        "folders",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("parent_id", _WORD, nullable=False),
        sa.Column("name", _WORD, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("heir_id", _WORD),
        sa.PrimaryKeyConstraint("id", name="pk_folders"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_folders_account_id"),
        sa.UniqueConstraint("account_id", "parent_id", "name", name="uq_folders_account_id_parent_id_name"),
    )
    op.create_table(
        "account_quotas",
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("open_uploads", sa.BigInteger(), nullable=False),
        sa.Column("max_bytes", sa.BigInteger()),
        sa.Column("max_files", sa.BigInteger()),
        sa.Column("max_open_uploads", sa.BigInteger()),
        sa.PrimaryKeyConstraint("account_id", name="pk_account_quotas"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_account_quotas_account_id"),
    )
    op.create_table(
        "installation",
        sa.Column("name", _WORD, nullable=False),
        sa.Column("id", _WORD, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_installation"),
    )


def _mark_deleted() -> None:
    """There was no trash. What was deleted and is to be looked at later has lost its bytes and is remembered only."""
    op.execute(sa.text("UPDATE assets SET purge_at = deleted_at WHERE deleted_at IS NOT NULL"))
    op.execute(
        sa.text("UPDATE assets SET purged_at = deleted_at WHERE deleted_at IS NOT NULL AND over_at > deleted_at")
    )


def _count_usage() -> None:
    """What accounts hold already counts. Before now no two assets shared bytes."""
    op.execute(
        sa.text(
            "INSERT INTO account_quotas (account_id, bytes, files, reserved, open_uploads)"
            " SELECT accounts.id,"
            " (SELECT COALESCE(SUM(size), 0) FROM assets WHERE assets.account_id = accounts.id),"
            " (SELECT COUNT(*) FROM assets WHERE assets.account_id = accounts.id),"
            " 0,"
            " (SELECT COUNT(*) FROM uploads WHERE uploads.account_id = accounts.id AND state = 'pending')"
            " FROM accounts"
        )
    )
