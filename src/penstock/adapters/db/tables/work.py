"""What happened, what is to be done, and what was done already."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, text

from penstock.adapters.db.columns import Choice, Instant, Json, Word
from penstock.adapters.db.tables.schema import metadata, partial_index
from penstock.domain.events import ASSET_FINALS, MODEL_FINALS, RUN_FINALS, UPLOAD_FINALS, EventKind
from penstock.domain.jobs import JobState

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
partial_index("ix_events_final", events.c.created_at, where=FINAL)

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
partial_index("ix_jobs_due_at", jobs.c.due_at, where=jobs.c.due_at.is_not(None))
partial_index(
    "uq_jobs_unfinished",
    jobs.c.kind,
    jobs.c.dedupe_key,
    unique=True,
    where=text("state IN ('ready', 'leased') AND dedupe_key IS NOT NULL"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Word, primary_key=True),
    Column("next_at", Instant, nullable=False),
)

# One row: which bucket is this database's (`domain.installation`).
installation = Table(
    "installation",
    metadata,
    Column("name", Word, primary_key=True),
    Column("id", Word, nullable=False),
    Column("generation", BigInteger, nullable=False),
)
