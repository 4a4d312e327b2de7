"""The schema. `migrations/` builds exactly this; a test compares the two on both databases.

Times are microseconds, money is billionths of a USD, JSON and enumerations are text (`columns`). A lookup by an
account's id and a thing's id goes through the thing's primary key; listings go through (account, created_at, id).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    and_,
    text,
)

from penstock.adapters.db.columns import Choice, Day, Facts, Instant, Json, Scopes, Span, Tags, Usd, Word
from penstock.domain.assets import IntakeState
from penstock.domain.events import ASSET_FINALS, MODEL_FINALS, RUN_FINALS, UPLOAD_FINALS, EventKind
from penstock.domain.jobs import JobState
from penstock.domain.ledger import EntryKind
from penstock.domain.media_types import Kind
from penstock.domain.model_uploads import Phase
from penstock.domain.runs import RunFault, RunState
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadMethod, UploadState
from penstock.domain.webhooks import DeliveryState, Moment
from penstock.domain.weights import Category

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Word, primary_key=True),
    Column("name", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("name"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("digest", Word, nullable=False),
    Column("hint", Word, nullable=False),
    Column("scopes", Scopes, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    UniqueConstraint("digest"),
    Index(None, "account_id", "created_at"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("dialect", Word, nullable=False),
    Column("method", Choice(UploadMethod), nullable=False),
    Column("state", Choice(UploadState), nullable=False),
    Column("name", Word, nullable=False),
    Column("declared_type", Word, nullable=False),
    Column("declared_size", BigInteger),
    Column("size_policy", Choice(SizePolicy), nullable=False),
    Column("type_policy", Choice(TypePolicy), nullable=False),
    Column("min_size", BigInteger, nullable=False),
    Column("max_size", BigInteger, nullable=False),
    Column("staging_key", Word, nullable=False),
    Column("media_key", Word, nullable=False),
    Column("asset_id", Word),
    Column("failure", Word),
    Column("lifetime", Span),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("swept", Boolean(create_constraint=False), nullable=False, server_default=text("false")),
    Column("sha256", Word),
    Column("folder_id", Word),
    Column("tags", Tags),
    Column("part_size", BigInteger),
    Column("store_upload_id", Word),
    Column("final_key", Word),
    Column("source_url", Word),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    Column("confirm_by", Instant),
    UniqueConstraint("media_key"),
    Index(None, "account_id", "created_at", "id"),
)
# What sweeping still has to look at; both its questions (overdue, unswept) are ranges of this one index.
Index("ix_uploads_unswept", uploads.c.expires_at, sqlite_where=~uploads.c.swept, postgresql_where=~uploads.c.swept)

assets = Table(
    "assets",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("upload_id", Word),
    Column("run_id", Word),
    Column("name", Word, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Word),
    Column("content_type", Word, nullable=False),
    Column("declared_type", Word, nullable=False),
    Column("kind", Choice(Kind), nullable=False),
    Column("object_key", Word, nullable=False),
    Column("media_key", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("deleted_at", Instant),
    # When a sweep has to look at it next, leases aside: at its expiry or the end of its time in the trash, whichever
    # comes first, to purge it; from `purged_at` on, while its objects may still be there; after that, when what is left
    # of it is to be forgotten. Kept by the repository, for its index.
    Column("over_at", Instant),
    Column("updated_at", Instant),
    Column("folder_id", Word),
    Column("tags", Tags),
    Column("facts", Facts),
    Column("intake", Choice(IntakeState), nullable=False, server_default="done"),
    Column("intake_problem", Word),
    Column("thumbnail_key", Word),
    Column("purge_at", Instant),
    Column("purged_at", Instant),
    Column("found_type", Word),
    # Its terms, one per line: in the index of terms are these exactly, while it is not deleted.
    Column("terms", Word, nullable=False, server_default=text("''")),
    UniqueConstraint("media_key"),
)
LISTED = and_(assets.c.deleted_at.is_(None), assets.c.purged_at.is_(None))
Index(
    "ix_assets_listed",
    assets.c.account_id,
    assets.c.created_at,
    assets.c.id,
    sqlite_where=LISTED,
    postgresql_where=LISTED,
)
IN_TRASH = and_(assets.c.deleted_at.is_not(None), assets.c.purged_at.is_(None))
Index(
    "ix_assets_trash",
    assets.c.account_id,
    assets.c.deleted_at,
    assets.c.id,
    sqlite_where=IN_TRASH,
    postgresql_where=IN_TRASH,
)
Index(
    "ix_assets_over_at",
    assets.c.over_at,
    sqlite_where=assets.c.over_at.is_not(None),
    postgresql_where=assets.c.over_at.is_not(None),
)

# Who shares an object or a thumbnail, and which bytes an account has already.
Index("ix_assets_object_key", assets.c.object_key)
Index(
    "ix_assets_thumbnail_key",
    assets.c.thumbnail_key,
    sqlite_where=assets.c.thumbnail_key.is_not(None),
    postgresql_where=assets.c.thumbnail_key.is_not(None),
)
Index(
    "ix_assets_sha256",
    assets.c.account_id,
    assets.c.sha256,
    sqlite_where=assets.c.sha256.is_not(None),
    postgresql_where=assets.c.sha256.is_not(None),
)

# The parent of a folder at the top is the empty text, so that names are unique there too.
folders = Table(
    "folders",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("parent_id", Word, nullable=False),
    Column("name", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # Of a deleted one, no more seen: the folder into which it is being emptied. Its parent is itself then, so that its
    # name is free.
    Column("heir_id", Word),
    UniqueConstraint("account_id", "parent_id", "name"),
)

# What assets can be found by (`domain.library`): each term with its asset's place in a listing. Of deleted assets none.
asset_terms = Table(
    "asset_terms",
    metadata,
    Column("account_id", Word, nullable=False),
    Column("term", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("asset_id", Word, nullable=False),
    PrimaryKeyConstraint("account_id", "term", "created_at", "asset_id"),
    sqlite_with_rowid=False,
)

# What an account takes, and may take. Bytes that several assets share count once.
account_quotas = Table(
    "account_quotas",
    metadata,
    Column("account_id", Word, ForeignKey("accounts.id"), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("open_uploads", BigInteger, nullable=False),
    # Limits of its own; empty: the operator's default.
    Column("max_bytes", BigInteger),
    Column("max_files", BigInteger),
    Column("max_open_uploads", BigInteger),
)

# One row: which bucket is this database's (`domain.installation`).
installation = Table(
    "installation",
    metadata,
    Column("name", Word, primary_key=True),
    Column("id", Word, nullable=False),
    Column("generation", BigInteger, nullable=False),
)

asset_leases = Table(
    "asset_leases",
    metadata,
    Column("asset_id", Word, ForeignKey("assets.id", ondelete="CASCADE"), nullable=False),
    Column("run_id", Word, nullable=False),
    PrimaryKeyConstraint("asset_id", "run_id"),
    Index(None, "run_id"),
    sqlite_with_rowid=False,
)

runs = Table(
    "runs",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("dialect", Word, nullable=False),
    Column("model", Word, nullable=False),
    Column("runner", Word, nullable=False),
    Column("runner_model", Word, nullable=False),
    Column("state", Choice(RunState), nullable=False),
    Column("inputs", Json, nullable=False),
    Column("values", Json, nullable=False),
    Column("files", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("output", Json),
    Column("error", Word),
    Column("held", Usd, nullable=False),
    Column("cost", Usd),
    Column("cancel_requested", Boolean(create_constraint=False), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("fault", Choice(RunFault)),
    Column("progress", Float),
    Column("deadline_at", Instant),
    Column("deleted_at", Instant),
    Column("payloads_deleted_at", Instant),
    Column("callback_url", Word),
    Column("callback_on", Tags),
    Column("client_ref", Word),
    Index(None, "account_id", "created_at", "id"),
)
Index(
    "ix_runs_queued",
    runs.c.created_at,
    runs.c.id,
    sqlite_where=text("state = 'queued'"),
    postgresql_where=text("state = 'queued'"),
)
# Few at any time, however many have ended: how many go on is counted whenever one begins, where there is a limit.
Index(
    "ix_runs_running",
    runs.c.account_id,
    runs.c.runner,
    runs.c.runner_model,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("kind", Choice(EntryKind), nullable=False),
    Column("amount", Usd, nullable=False),
    Column("balance", Usd, nullable=False),
    Column("run_id", Word),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "number"),
    UniqueConstraint("run_id", "kind"),
)

events = Table(
    "events",
    metadata,
    Column("subject", Word, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("account_id", Word, nullable=False),
    Column("kind", Choice(EventKind), nullable=False),
    Column("data", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("subject", "number"),
    sqlite_with_rowid=False,
)
_FINALS = sorted(repr(kind.value) for kind in RUN_FINALS | UPLOAD_FINALS | ASSET_FINALS | MODEL_FINALS)
FINAL = text(f"kind IN ({', '.join(_FINALS)})")
"""In these words also in queries: a partial index serves those alone whose condition it recognises."""
Index("ix_events_final", events.c.created_at, sqlite_where=FINAL, postgresql_where=FINAL)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("account_id", Word, nullable=False),
    Column("verb", Word, nullable=False),
    Column("key", Word, nullable=False),
    Column("fingerprint", Word, nullable=False),
    Column("subject", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("account_id", "verb", "key"),
    Index(None, "created_at"),
    sqlite_with_rowid=False,
)

# Unfinished jobs and buried ones; a finished job's row is deleted, so that this table stays small.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Word, primary_key=True),
    Column("kind", Word, nullable=False),
    Column("payload", Json, nullable=False),
    Column("account_id", Word),
    Column("dedupe_key", Word),
    Column("state", Choice(JobState), nullable=False),
    Column("step", Word, nullable=False),
    Column("step_state", Json, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("owner", Word, nullable=False),
    # When it may be claimed: a ready job when it comes due, a leased one when its lease runs out, a dead one never
    # (null).
    Column("due_at", Instant),
    # The clock when `due_at` was last set. In the future it tells that the clock was set back since (see
    # `jobs.SqlJobQueue`).
    Column("stamped_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("error", Word),
)
Index(
    "ix_jobs_due_at",
    jobs.c.due_at,
    sqlite_where=jobs.c.due_at.is_not(None),
    postgresql_where=jobs.c.due_at.is_not(None),
)
Index(
    "uq_jobs_unfinished",
    jobs.c.kind,
    jobs.c.dedupe_key,
    unique=True,
    sqlite_where=text("state IN ('ready', 'leased') AND dedupe_key IS NOT NULL"),
    postgresql_where=text("state IN ('ready', 'leased') AND dedupe_key IS NOT NULL"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("dialect", Word, nullable=False),
    Column("run_id", Word),
    Column("endpoint_id", Word),
    Column("moment", Choice(Moment)),
    Column("url", Word, nullable=False),
    Column("event", Word, nullable=False),
    Column("body", Word),
    Column("state", Choice(DeliveryState), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant),
    Column("round_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index(None, "account_id", "created_at", "id"),
    Index(None, "run_id"),
    Index(None, "round_at"),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("delivery_id", Word, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("milliseconds", Integer, nullable=False),
    Column("status", Integer),
    Column("reply", Word),
    Column("error", Word),
    PrimaryKeyConstraint("delivery_id", "number"),
    sqlite_with_rowid=False,
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("dialect", Word, nullable=False),
    Column("url", Word, nullable=False),
    Column("description", Word),
    Column("events", Tags),
    Column("headers", Json, nullable=False),
    Column("active", Boolean(create_constraint=False), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("succeeded_at", Instant),
    Column("created_at", Instant, nullable=False),
    Index(None, "account_id", "dialect", "created_at"),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", Word, primary_key=True),
    Column("account_id", Word, ForeignKey("accounts.id"), nullable=False),
    Column("dialect", Word, nullable=False),
    Column("endpoint_id", Word, nullable=False),
    Column("label", Word, nullable=False),
    Column("value", Word, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("retires_at", Instant),
    Index(None, "account_id", "dialect", "endpoint_id", "created_at"),
)
Index(
    "uq_webhook_secrets_current",
    webhook_secrets.c.account_id,
    webhook_secrets.c.dialect,
    webhook_secrets.c.endpoint_id,
    unique=True,
    sqlite_where=text("retires_at IS NULL"),
    postgresql_where=text("retires_at IS NULL"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Word, primary_key=True),
    Column("next_at", Instant, nullable=False),
)

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
Index(
    "ix_model_files_loose_at",
    model_files.c.loose_at,
    sqlite_where=model_files.c.loose_at.is_not(None),
    postgresql_where=model_files.c.loose_at.is_not(None),
)

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
Index(
    "ix_models_public",
    models.c.created_at,
    models.c.id,
    sqlite_where=~models.c.private,
    postgresql_where=~models.c.private,
)

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
Index(
    "uq_model_uploads_client_ref",
    model_uploads.c.account_id,
    model_uploads.c.dialect,
    model_uploads.c.client_ref,
    unique=True,
    sqlite_where=text("phase <> 'failed'"),
    postgresql_where=text("phase <> 'failed'"),
)
Index(
    "ix_model_uploads_going_on",
    model_uploads.c.account_id,
    model_uploads.c.air,
    sqlite_where=model_uploads.c.finished_at.is_(None),
    postgresql_where=model_uploads.c.finished_at.is_(None),
)
Index(
    "ix_model_uploads_file_id",
    model_uploads.c.file_id,
    sqlite_where=model_uploads.c.finished_at.is_(None),
    postgresql_where=model_uploads.c.finished_at.is_(None),
)
Index(
    "ix_model_uploads_finished_at",
    model_uploads.c.finished_at,
    sqlite_where=model_uploads.c.finished_at.is_not(None),
    postgresql_where=model_uploads.c.finished_at.is_not(None),
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
