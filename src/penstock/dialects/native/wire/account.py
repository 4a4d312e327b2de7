"""The account and its ledger as answered."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field

from penstock.dialects.native.wire.common import money, timestamp
from penstock.domain.accounts import Account
from penstock.domain.ids import format_prefixed
from penstock.domain.ledger import LedgerEntry
from penstock.services.accounts import Principal


class KeyOut(BaseModel):
    """The key that was used."""

    id: str
    scopes: list[str]


class AccountOut(BaseModel):
    """The account behind the key."""

    id: str
    object: Literal["account"] = "account"
    name: str
    balance_usd: str
    key: KeyOut


class LedgerEntryOut(BaseModel):
    """A change of the balance."""

    number: int = Field(description="Counts from 1 within the account.")
    kind: str = Field(description="credit, hold, settle or refund.")
    amount_usd: str = Field(description="What was added; negative for a hold.")
    balance_usd: str = Field(description="The balance after it.")
    run_id: str | None = Field(description="The run that it belongs to.")
    created_at: str


class LedgerPage(BaseModel):
    """Ledger entries, newest first."""

    data: list[LedgerEntryOut]
    next_cursor: str | None


def account_out(account: Account, balance: Decimal, who: Principal) -> AccountOut:
    """The caller's account as answered."""
    return AccountOut(
        id=format_prefixed("acct", account.id),
        name=account.name,
        balance_usd=money(balance),
        key=KeyOut(id=format_prefixed("key", who.key.id), scopes=sorted(who.key.scopes)),
    )


def ledger_entry_out(entry: LedgerEntry) -> LedgerEntryOut:
    """A ledger entry as answered."""
    return LedgerEntryOut(
        number=entry.number,
        kind=entry.kind.value,
        amount_usd=money(entry.amount),
        balance_usd=money(entry.balance),
        run_id=format_prefixed("run", entry.run_id) if entry.run_id else None,
        created_at=timestamp(entry.created_at),
    )
