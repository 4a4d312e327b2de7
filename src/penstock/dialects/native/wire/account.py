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
from penstock.domain.storage_billing import StorageCharge, gigabytes, line_item, shown
from penstock.services.accounts import Principal
from penstock.services.paging import Page


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
    kind: str = Field(description="credit, hold, settle, refund or storage.")
    amount_usd: str = Field(description="What was added; negative for a hold and for storage.")
    balance_usd: str = Field(description="The balance after it.")
    run_id: str | None = Field(description="The run that it belongs to.")
    created_at: str


class LedgerPage(BaseModel):
    """Ledger entries, newest first."""

    data: list[LedgerEntryOut]
    next_cursor: str | None


class StorageChargeOut(BaseModel):
    """What one UTC day of keeping models cost."""

    day: str
    description: str = Field(description="Such as `Daily model storage (1 GB)`.")
    bytes: int
    gigabytes: int = Field(description="The bytes as gigabytes (10^9), rounded up.")
    price_usd: str = Field(description="Per gigabyte and month.")
    amount_usd: str = Field(description="To the billionth, as the ledger has it.")
    shown_usd: str = Field(description="With four decimals.")
    ledger_number: int


class StoragePage(BaseModel):
    """What the account's models take now, what a day of them costs, and what was charged, newest day first."""

    bytes: int = Field(description="For each registered model the size of the file that was uploaded.")
    gigabytes: int = Field(description="The bytes as gigabytes (10^9), rounded up.")
    daily_usd: str
    data: list[StorageChargeOut]
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


def storage_page(stored: int, daily: Decimal, page: Page[StorageCharge]) -> StoragePage:
    """What an account pays for storage as answered."""
    return StoragePage(
        bytes=stored,
        gigabytes=gigabytes(stored),
        daily_usd=money(daily),
        data=[
            StorageChargeOut(
                day=charge.day.isoformat(),
                description=line_item(charge),
                bytes=charge.bytes,
                gigabytes=charge.gigabytes,
                price_usd=money(charge.price),
                amount_usd=money(charge.amount),
                shown_usd=str(shown(charge.amount)),
                ledger_number=charge.entry,
            )
            for charge in page.items
        ],
        next_cursor=page.next_cursor,
    )
