"""The account and its ledger as answered."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field

from penstock.dialects.native.wire.common import money, timestamp
from penstock.domain.accounts import Account
from penstock.domain.ids import format_prefixed
from penstock.domain.ledger import LedgerEntry
from penstock.domain.quotas import Quota
from penstock.services.accounts import Principal


class KeyOut(BaseModel):
    """The key that was used."""

    id: str
    scopes: list[str]


class UsageOut(BaseModel):
    """What the account takes."""

    bytes: int = Field(description="Bytes of its files; bytes that several files share count once.")
    files: int = Field(description="Its files, those in the trash too.")
    reserved_bytes: int = Field(description="Bytes set aside for open uploads whose size was declared.")
    open_uploads: int = Field(description="Uploads whose bytes are awaited.")


class LimitsOut(BaseModel):
    """The most it may take; null: no limit."""

    bytes: int | None = Field(description="For `bytes` and `reserved_bytes` together.")
    files: int | None = Field(description="For `files` and `open_uploads` together.")
    open_uploads: int | None


class AccountOut(BaseModel):
    """The account behind the key."""

    id: str
    object: Literal["account"] = "account"
    name: str
    balance_usd: str
    usage: UsageOut
    limits: LimitsOut
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


def account_out(account: Account, balance: Decimal, quota: Quota, who: Principal) -> AccountOut:
    """The caller's account as answered."""
    usage, limits = quota.usage, quota.limits.told()
    return AccountOut(
        id=format_prefixed("acct", account.id),
        name=account.name,
        balance_usd=money(balance),
        usage=UsageOut(
            bytes=usage.bytes,
            files=usage.files,
            reserved_bytes=usage.reserved,
            open_uploads=usage.open_uploads,
        ),
        limits=LimitsOut(bytes=limits.bytes, files=limits.files, open_uploads=limits.open_uploads),
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
