"""Money: an append-only list of entries per account, in Decimal USD, each carrying the balance after it.

A run takes a hold for what it may cost; its end releases what it did not cost. Each (run, kind) pair exists at most
once, so a retried step charges nothing twice. Storage is charged once per account and day (`storage_billing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.errors import InsufficientCredits, InvalidField

if TYPE_CHECKING:
    from datetime import date, datetime

    from penstock.domain.ids import AccountId, RunId

ZERO = Decimal(0)
QUANTUM = Decimal("0.000000001")
"""The smallest amount the ledger keeps: one billionth of a dollar."""
_LARGEST = Decimal(1_000_000_000)


class EntryKind(StrEnum):
    """Why the balance changed."""

    CREDIT = "credit"
    HOLD = "hold"
    SETTLE = "settle"
    REFUND = "refund"
    STORAGE = "storage"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One change of an account's balance. `number` counts from 1 within the account; `amount` is signed."""

    account_id: AccountId
    number: int
    kind: EntryKind
    amount: Decimal
    balance: Decimal
    run_id: RunId | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an account's runs of one model took on one UTC day, less what came back on it: negative when more did."""

    day: date
    model: str
    amount: Decimal


def parse_amount(text: str) -> Decimal:
    """An amount of USD above zero from its text. Raises `InvalidField`."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise InvalidField(("amount",), "must be a decimal number of USD") from None
    return check_amount(amount)


def check_amount(amount: Decimal) -> Decimal:
    """The amount itself (USD), when the ledger can keep it and it is above zero. Raises `InvalidField`."""
    if not amount.is_finite() or not ZERO < amount <= _LARGEST or amount != amount.quantize(QUANTUM):
        raise InvalidField(("amount",), f"must be above 0, at most {_LARGEST}, with at most nine decimal places")
    return amount


def credit(last: LedgerEntry | None, amount: Decimal, *, account_id: AccountId, now: datetime) -> LedgerEntry:
    """Add to the balance. Raises `InvalidField` for an amount that cannot be kept, or a balance that could not be."""
    if (last.balance if last else ZERO) + check_amount(amount) > _LARGEST:
        raise InvalidField(("amount",), f"the balance would pass {_LARGEST}")
    return _after(last, EntryKind.CREDIT, amount, account_id=account_id, run_id=None, now=now)


def hold(
    last: LedgerEntry | None, amount: Decimal, *, account_id: AccountId, run_id: RunId, now: datetime
) -> LedgerEntry:
    """Set `amount` aside for a run. Raises `InsufficientCredits`."""
    balance = last.balance if last else ZERO
    if balance < amount:
        raise InsufficientCredits(needed=amount, balance=balance)
    return _after(last, EntryKind.HOLD, -amount, account_id=account_id, run_id=run_id, now=now)


def settle(last: LedgerEntry, *, held: Decimal, cost: Decimal, run_id: RunId, now: datetime) -> LedgerEntry:
    """Give back what a successful run did not use of its hold (possibly nothing: the entry still marks the end)."""
    return _after(last, EntryKind.SETTLE, held - min(cost, held), account_id=last.account_id, run_id=run_id, now=now)


def refund(last: LedgerEntry, *, held: Decimal, run_id: RunId, now: datetime) -> LedgerEntry:
    """Give back the whole hold of a run that failed or was cancelled."""
    return _after(last, EntryKind.REFUND, held, account_id=last.account_id, run_id=run_id, now=now)


def storage(last: LedgerEntry | None, amount: Decimal, *, account_id: AccountId, now: datetime) -> LedgerEntry:
    """Take what a day's storage costs. The balance may fall below zero by it: nothing is deleted for debt."""
    return _after(last, EntryKind.STORAGE, -amount, account_id=account_id, run_id=None, now=now)


def _after(
    last: LedgerEntry | None,
    kind: EntryKind,
    amount: Decimal,
    *,
    account_id: AccountId,
    run_id: RunId | None,
    now: datetime,
) -> LedgerEntry:
    return LedgerEntry(
        account_id=account_id,
        number=last.number + 1 if last else 1,
        kind=kind,
        amount=amount,
        balance=(last.balance if last else ZERO) + amount,
        run_id=run_id,
        created_at=now,
    )
