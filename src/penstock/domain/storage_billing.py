"""What keeping registered models costs: a price per gigabyte and month, charged by the UTC day.

What was uploaded counts, for each model anew, whoever may see it; what was made of it does not. That a gigabyte is
10^9 bytes, and that the sum of an account is rounded up, once, is inferred; so is it that a month has always 30 days
of which each costs the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from penstock.domain.errors import InsufficientCredits
from penstock.domain.ledger import QUANTUM, ZERO

if TYPE_CHECKING:
    from datetime import date, datetime

    from penstock.domain.ids import AccountId

GIGABYTE = 10**9
DAYS_OF_A_MONTH = 30
_SHOWN = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageCharge:
    """What an account paid for one UTC day. `price` is USD per GB and month, `amount` USD; `entry` is the ledger's."""

    account_id: AccountId
    day: date
    bytes: int
    gigabytes: int
    price: Decimal
    amount: Decimal
    entry: int
    created_at: datetime


def gigabytes(size: int) -> int:
    """Bytes as whole gigabytes, rounded up."""
    return -(-size // GIGABYTE)


def daily_amount(size: int, price: Decimal) -> Decimal:
    """USD for one day, to the billionth that the ledger keeps, of so many bytes at a price per GB and month."""
    return (price * gigabytes(size) / DAYS_OF_A_MONTH).quantize(QUANTUM, ROUND_HALF_UP)


def shown(amount: Decimal) -> Decimal:
    """An amount (USD) as it is told to people: four decimals."""
    return amount.quantize(_SHOWN, ROUND_HALF_UP)


def line_item(charge: StorageCharge) -> str:
    """How a charge is called among what an account used."""
    return f"Daily model storage ({charge.gigabytes} GB)"


def require_credit(balance: Decimal, *, stored: int, price: Decimal) -> None:
    """Raises `InsufficientCredits` when a balance (USD) is not above zero or does not cover one day of `stored` bytes.

    That one day is what it has to cover is inferred.
    """
    needed = daily_amount(stored, price)
    if balance <= ZERO or balance < needed:
        raise InsufficientCredits(needed=max(needed, QUANTUM), balance=balance)
