"""Registered models: the sources of their names, their files and the uploads that bring them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_FINAL = sa.text(
    "kind IN ('asset.ready', 'model.failed', 'model.ready', 'run.cancelled', 'run.failed', 'run.succeeded',"
    " 'upload.aborted', 'upload.expired', 'upload.failed', 'upload.ready')"
)
_WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Five tables, and one more kind of subject that can come to its end."""
    _sources_and_files()
    _models()
    _uploads()
    # Who could do everything can do everything still.
    op.execute(
        "UPDATE api_keys SET scopes = 'account:read files:read files:write models:read models:write runs:read"
        " runs:write webhooks:write' WHERE scopes = 'account:read files:read files:write runs:read runs:write"
        " webhooks:write'"
    )
    op.drop_index("ix_events_final", "events")
    op.create_index("ix_events_final", "events", ["created_at"], sqlite_where=_FINAL, postgresql_where=_FINAL)


def _sources_and_files() -> None:
    op.create_table(
        "model_sources",
        sa.Column("name", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_model_sources"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_model_sources_account_id"),
    )
    op.create_index("ix_model_sources_account_id_name", "model_sources", ["account_id", "name"])
    op.create_table(
        "model_files",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("original_key", _WORD, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", _WORD, nullable=False),
        sa.Column("optimized_key", _WORD, nullable=False),
        sa.Column("optimized_size", sa.BigInteger(), nullable=False),
        sa.Column("optimized_sha256", _WORD, nullable=False),
        sa.Column("manifest_key", _WORD, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("loose_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_model_files"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_model_files_account_id"),
    )
    op.create_index("ix_model_files_account_id_sha256", "model_files", ["account_id", "sha256"])
    loose = sa.text("loose_at IS NOT NULL")
    op.create_index("ix_model_files_loose_at", "model_files", ["loose_at"], sqlite_where=loose, postgresql_where=loose)


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("air", _WORD, nullable=False),
        sa.Column("source", _WORD, nullable=False),
        sa.Column("number", _WORD, nullable=False),
        sa.Column("version", _WORD, nullable=False),
        sa.Column("category", _WORD, nullable=False),
        sa.Column("type", _WORD),
        sa.Column("architecture", _WORD, nullable=False),
        sa.Column("conditioning", _WORD),
        sa.Column("name", _WORD, nullable=False),
        sa.Column("version_label", _WORD, nullable=False),
        sa.Column("unique_identifier", _WORD, nullable=False),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("default_steps", sa.Integer()),
        sa.Column("default_scheduler", _WORD),
        sa.Column("default_cfg", sa.Float()),
        sa.Column("default_strength", sa.Float()),
        sa.Column("default_weight", sa.Float()),
        sa.Column("hero_image_url", _WORD),
        sa.Column("tags", sa.Text()),
        sa.Column("positive_trigger_words", sa.Text()),
        sa.Column("negative_trigger_words", sa.Text()),
        sa.Column("short_description", _WORD),
        sa.Column("comment", _WORD),
        sa.Column("file_id", _WORD, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.Column("sort_name", _WORD, nullable=False),
        sa.Column("terms", _WORD, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_models_account_id"),
        sa.ForeignKeyConstraint(["file_id"], ["model_files.id"], name="fk_models_file_id"),
        sa.UniqueConstraint("air", name="uq_models_air"),
    )
    op.create_index("ix_models_account_id_created_at_id", "models", ["account_id", "created_at", "id"])
    op.create_index("ix_models_file_id", "models", ["file_id"])
    op.create_index(
        "ix_models_public",
        "models",
        ["created_at", "id"],
        sqlite_where=sa.text("private = 0"),
        postgresql_where=sa.text("NOT private"),
    )
    op.create_table(
        "model_terms",
        sa.Column("audience", _WORD, nullable=False),
        sa.Column("term", _WORD, nullable=False),
        sa.Column("model_id", _WORD, nullable=False),
        sa.PrimaryKeyConstraint("audience", "term", "model_id", name="pk_model_terms"),
        sqlite_with_rowid=False,
    )


def _uploads() -> None:
    op.create_table(
        "model_uploads",
        sa.Column("id", _WORD, nullable=False),
        sa.Column("account_id", _WORD, nullable=False),
        sa.Column("dialect", _WORD, nullable=False),
        sa.Column("client_ref", _WORD),
        sa.Column("air", _WORD, nullable=False),
        sa.Column("given", sa.Text(), nullable=False),
        sa.Column("fingerprint", _WORD, nullable=False),
        sa.Column("source_url", _WORD),
        sa.Column("asset_id", _WORD),
        sa.Column("phase", _WORD, nullable=False),
        sa.Column("file_id", _WORD),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger()),
        sa.Column("warnings", sa.Text()),
        sa.Column("error_code", _WORD),
        sa.Column("error", _WORD),
        sa.Column("error_field", _WORD),
        sa.Column("callback_url", _WORD),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_model_uploads"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_model_uploads_account_id"),
    )
    op.create_index("ix_model_uploads_account_id_created_at_id", "model_uploads", ["account_id", "created_at", "id"])
    op.create_index(
        "ix_model_uploads_account_id_dialect_client_ref_created_at",
        "model_uploads",
        ["account_id", "dialect", "client_ref", "created_at"],
    )
    lives = sa.text("phase <> 'failed'")
    op.create_index(
        "uq_model_uploads_client_ref",
        "model_uploads",
        ["account_id", "dialect", "client_ref"],
        unique=True,
        sqlite_where=lives,
        postgresql_where=lives,
    )
    going_on, over = sa.text("finished_at IS NULL"), sa.text("finished_at IS NOT NULL")
    for name, columns, where in (
        ("ix_model_uploads_going_on", ["account_id", "air"], going_on),
        ("ix_model_uploads_file_id", ["file_id"], going_on),
        ("ix_model_uploads_finished_at", ["finished_at"], over),
    ):
        op.create_index(name, "model_uploads", columns, sqlite_where=where, postgresql_where=where)
