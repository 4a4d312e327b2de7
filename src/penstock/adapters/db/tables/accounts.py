"""Accounts, their keys, and what they have and owe."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, PrimaryKeyConstraint, Table, UniqueConstraint

from penstock.adapters.db.columns import Choice, Instant, Scopes, Usd, Word
from penstock.adapters.db.tables.schema import metadata
from penstock.domain.ledger import EntryKind

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
