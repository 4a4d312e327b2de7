"""Registered models, their files, and model uploads."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)

from penstock.adapters.db.columns import Choice, Day, Instant, Json, Tags, Usd, Word
from penstock.adapters.db.tables.schema import metadata, partial_index
from penstock.domain.model_uploads import Phase
from penstock.domain.weights import Category

model_sources = Table(
    "model_sources",
    metadata,
    Column("name", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("created_at", Instant, nullable=False),
    Index(None, "account_id", "name"),
)

model_files = Table(
    "model_files",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("original_key", Word, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Word, nullable=False),
    Column("optimized_key", Word, nullable=False),
    Column("optimized_size", BigInteger, nullable=False),
    Column("optimized_sha256", Word, nullable=False),
    Column("manifest_key", Word, nullable=False),
    Column("summary", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    # Since when nobody may need it: not before the first model has it, and whenever one gives it up. Empty: a model
    # has it. So only these have to be looked at to find those that can go.
    Column("loose_at", Instant),
    Index(None, "account_id", "sha256"),
)
partial_index("ix_model_files_loose_at", model_files.c.loose_at, where=model_files.c.loose_at.is_not(None))

models = Table(
    "models",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("air", Word, nullable=False),
    Column("source", Word, nullable=False),
    Column("number", Word, nullable=False),
    Column("version", Word, nullable=False),
    Column("category", Choice(Category), nullable=False),
    Column("type", Word),
    Column("architecture", Word, nullable=False),
    Column("conditioning", Word),
    Column("name", Word, nullable=False),
    Column("version_label", Word, nullable=False),
    Column("unique_identifier", Word, nullable=False),
    Column("private", Boolean(create_constraint=False), nullable=False),
    Column("default_steps", Integer),
    Column("default_scheduler", Word),
    Column("default_cfg", Float),
    Column("default_strength", Float),
    Column("default_weight", Float),
    Column("hero_image_url", Word),
    Column("tags", Tags),
    Column("positive_trigger_words", Tags),
    Column("negative_trigger_words", Tags),
    Column("short_description", Word),
    Column("comment", Word),
    Column("file_id", Word, ForeignKey("model_files.id"), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("used_at", Instant),
    # What it is sorted by, and found by: its terms, one per line, as they stand in the index of terms.
    Column("sort_name", Word, nullable=False),
    Column("terms", Word, nullable=False),
    UniqueConstraint("air"),
    Index(None, "account_id", "created_at", "id"),
    Index(None, "file_id"),
)
partial_index("ix_models_public", models.c.created_at, models.c.id, where=~models.c.private)

# What models can be found by (`domain.model_search`). Whoever searches looks at two audiences: their own account, and
# the empty text, which is everybody. A public model stands in both.
model_terms = Table(
    "model_terms",
    metadata,
    Column("audience", Word, nullable=False),
    Column("term", Word, nullable=False),
    Column("model_id", Word, nullable=False),
    PrimaryKeyConstraint("audience", "term", "model_id"),
    sqlite_with_rowid=False,
)

model_uploads = Table(
    "model_uploads",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("dialect", Word, nullable=False),
    Column("client_ref", Word),
    Column("air", Word, nullable=False),
    Column("given", Json, nullable=False),
    Column("fingerprint", Word, nullable=False),
    Column("source_url", Word),
    Column("asset_id", Word),
    Column("phase", Choice(Phase), nullable=False),
    Column("file_id", Word),
    Column("received", BigInteger, nullable=False),
    Column("size", BigInteger),
    Column("warnings", Tags),
    Column("error_code", Word),
    Column("error", Word),
    Column("error_field", Word),
    Column("callback_url", Word),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Index(None, "account_id", "created_at", "id"),
    Index(None, "account_id", "dialect", "client_ref", "created_at"),
)
partial_index(
    "uq_model_uploads_client_ref",
    model_uploads.c.account_id,
    model_uploads.c.dialect,
    model_uploads.c.client_ref,
    unique=True,
    where=text("phase <> 'failed'"),
)
partial_index(
    "ix_model_uploads_going_on",
    model_uploads.c.account_id,
    model_uploads.c.air,
    where=model_uploads.c.finished_at.is_(None),
)
partial_index("ix_model_uploads_file_id", model_uploads.c.file_id, where=model_uploads.c.finished_at.is_(None))
partial_index(
    "ix_model_uploads_finished_at", model_uploads.c.finished_at, where=model_uploads.c.finished_at.is_not(None)
)

# What an account paid for keeping models on a UTC day: at most once, ever.
storage_charges = Table(
    "storage_charges",
    metadata,
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("day", Day, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("gigabytes", BigInteger, nullable=False),
    Column("price", Usd, nullable=False),
    Column("amount", Usd, nullable=False),
    Column("entry", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "day"),
    sqlite_with_rowid=False,
)

# Model files that unfinished runs read: they stay although no model has them any more.
model_leases = Table(
    "model_leases",
    metadata,
    Column("file_id", Word, ForeignKey("model_files.id"), nullable=False),
    Column("run_id", Word, nullable=False),
    PrimaryKeyConstraint("file_id", "run_id"),
    Index(None, "run_id"),
    sqlite_with_rowid=False,
)
