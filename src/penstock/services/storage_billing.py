"""Storage of registered models: charged once per account and UTC day, and asked for before more is taken.

A day is charged while it lasts, for what is there when a worker first sees it: no clock, restart or second worker can
charge it again, and a day that no worker saw is nobody's debt (inferred).
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from penstock.domain import ledger
from penstock.domain.errors import InvalidCursor
from penstock.domain.storage_billing import StorageCharge, daily_amount, gigabytes, require_credit
from penstock.services.paging import MAX_LIMIT, Page, check_limit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from penstock.domain.ids import AccountId
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database, Transaction
    from penstock.telemetry import Log

_BATCH = 200


class StorageBilling:
    """Use cases on the price of storage (USD per GB and month; 0: it is free, and nothing is written)."""

    def __init__(
        self, database: Database, *, price: Decimal, clock: Clock, log: Log, needs_balance: bool = True
    ) -> None:
        """`needs_balance`: whether new models are taken only of accounts that could pay for a day."""
        self._database = database
        self._price = price
        self._clock = clock
        self._log = log
        self._needs_balance = needs_balance

    def charge_today(self) -> int:
        """Charge each account that keeps models and was not charged for this day; how many were. May be repeated."""
        if self._price == ledger.ZERO:
            return 0
        day, total = self._clock.now().date(), 0
        after: AccountId | None = None
        while True:
            with self._database.read() as tx:
                accounts = tx.storage.uncharged(day, after=after, limit=_BATCH)
            total += sum(self._charge(account_id, day) for account_id in accounts)
            if len(accounts) < _BATCH:
                return total
            after = accounts[-1]

    def require_storage_credit(self, tx: Transaction, account_id: AccountId, *, also_free: bool) -> None:
        """To be asked before a new model's file is taken; while storage is free, only if `also_free`.

        Raises `InsufficientCredits`.
        """
        if not self._needs_balance or not (also_free or self._price):
            return
        last = tx.ledger.last(account_id)
        balance = last.balance if last is not None else ledger.ZERO
        require_credit(balance, stored=tx.storage.stored(account_id), price=self._price)

    def page(self, account_id: AccountId, *, below: str | None, limit: int) -> Page[StorageCharge]:
        """An account's charges, newest day first; the cursor is the day to go on below. Raises `InvalidCursor`."""
        check_limit(limit)
        with self._database.read() as tx:
            charges = tx.storage.page(account_id, below=_day(below), limit=limit + 1)
        shown = charges[:limit]
        return Page(items=shown, next_cursor=shown[-1].day.isoformat() if len(charges) > limit else None)

    def latest(self, account_name: str) -> Sequence[StorageCharge]:
        """An account's last hundred charges, newest day first. Raises `AccountNotFound`."""
        with self._database.read() as tx:
            return tx.storage.page(tx.accounts.by_name(account_name).id, below=None, limit=MAX_LIMIT)

    def standing(self, account_id: AccountId) -> tuple[int, Decimal]:
        """The bytes that are billed now, and what a day of them costs (USD)."""
        with self._database.read() as tx:
            stored = tx.storage.stored(account_id)
        return stored, daily_amount(stored, self._price)

    def _charge(self, account_id: AccountId, day: date) -> bool:
        """Whether it was us who charged: under the lock of the ledger there is one who does."""
        now = self._clock.now()
        with self._database.write() as tx:
            last = tx.ledger.last(account_id, lock=True)
            stored = tx.storage.stored(account_id)
            if stored == 0 or tx.storage.is_charged(account_id, day):
                return False
            amount = daily_amount(stored, self._price)
            entry = ledger.storage(last, amount, account_id=account_id, now=now)
            tx.ledger.add(entry)
            charge = StorageCharge(
                account_id=account_id,
                day=day,
                bytes=stored,
                gigabytes=gigabytes(stored),
                price=self._price,
                amount=amount,
                entry=entry.number,
                created_at=now,
            )
            tx.storage.add(charge)
        self._log("storage.charged", account_id=account_id, day=day.isoformat(), gigabytes=charge.gigabytes)
        return True


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidCursor from None
