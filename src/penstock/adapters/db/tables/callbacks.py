"""Callbacks: their receivers, secrets, deliveries and attempts."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, text

from penstock.adapters.db.columns import Choice, Instant, Json, Tags, Word
from penstock.adapters.db.tables.schema import metadata, partial_index
from penstock.domain.webhooks import DeliveryState, Moment

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
partial_index(
    "uq_webhook_secrets_current",
    webhook_secrets.c.account_id,
    webhook_secrets.c.dialect,
    webhook_secrets.c.endpoint_id,
    unique=True,
    where=text("retires_at IS NULL"),
)
