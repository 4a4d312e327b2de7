"""Runs."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Table, text

from penstock.adapters.db.columns import Choice, Instant, Json, Tags, Usd, Word
from penstock.adapters.db.tables.schema import metadata, partial_index
from penstock.domain.runs import RunFault, RunState

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
partial_index("ix_runs_queued", runs.c.created_at, runs.c.id, where=text("state = 'queued'"))
# Few at any time, however many have ended: how many go on is counted whenever one begins, where there is a limit.
partial_index("ix_runs_running", runs.c.account_id, runs.c.runner, runs.c.runner_model, where=text("state = 'running'"))
