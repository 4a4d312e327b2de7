"""Ledger entries as rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Integer, bindparam, cast, exists, func, select, text, type_coerce

from penstock.adapters.db.columns import EPOCH, LARGEST_INTEGER, Usd
from penstock.adapters.db.rows import Rows, insert_missing
from penstock.adapters.db.tables import accounts, ledger_entries, runs
from penstock.domain.ledger import EntryKind, LedgerEntry, Spent
from penstock.ports.accounts import LedgerConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from penstock.domain.ids import AccountId, RunId

_ROWS = Rows(LedgerEntry, ledger_entries)

_NEWEST = (
    _ROWS.select()
    .where(ledger_entries.c.account_id == bindparam("account_id"))
    .order_by(ledger_entries.c.number.desc())
    .limit(bindparam("limit", type_=Integer))
)
_BELOW = _NEWEST.where(ledger_entries.c.number < bindparam("below"))
# NO KEY: rows that refer to the account can still be added meanwhile. SQLite has one writer anyway and ignores it.
_LOCK = select(accounts.c.id).where(accounts.c.id == bindparam("account_id")).with_for_update(key_share=True)
_ADD = insert_missing(ledger_entries)
_ENDED = select(
    exists().where(
        ledger_entries.c.run_id == bindparam("run_id"), ledger_entries.c.kind.in_([EntryKind.SETTLE, EntryKind.REFUND])
    )
)
_DAY = 24 * 60 * 60 * 10**6
_NUMBER_OF_DAY = type_coerce(ledger_entries.c.created_at, BigInteger) // _DAY
"""Times are microseconds since 1970, so this is the day's number since then, on both databases."""
_TAKEN = func.sum(type_coerce(ledger_entries.c.amount, BigInteger))
_SPENT = (
    select(_NUMBER_OF_DAY.label("day"), runs.c.model, type_coerce(cast(-_TAKEN, BigInteger), Usd).label("amount"))
    .join(runs, runs.c.id == ledger_entries.c.run_id)
    .where(
        ledger_entries.c.account_id == bindparam("account_id"),
        ledger_entries.c.created_at >= bindparam("since"),
        ledger_entries.c.created_at < bindparam("before"),
    )
    .group_by(text("day"), runs.c.model)
    .having(_TAKEN != 0)
    .order_by(text("day"), runs.c.model)
)


class SqlLedger:
    """Implements `LedgerRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def last(self, account_id: AccountId, *, lock: bool = False) -> LedgerEntry | None:
        """The newest entry; `lock` takes the account's row first, so that it is still the newest when we add to it."""
        if lock:
            self._connection.execute(_LOCK, {"account_id": account_id})
        return _ROWS.one(self._connection, _NEWEST, {"account_id": account_id, "limit": 1})

    def add(self, entry: LedgerEntry) -> None:
        """Raises `LedgerConflictError`."""
        if self._connection.execute(_ADD, _ROWS.values(entry)).first() is None:
            msg = f"entry {entry.number} of account {entry.account_id} or its {entry.kind} of run {entry.run_id} exists"
            raise LedgerConflictError(msg)

    def page(self, account_id: AccountId, *, below: int | None, limit: int) -> Sequence[LedgerEntry]:
        """Newest first, by number."""
        if below is None:
            return _ROWS.all(self._connection, _NEWEST, {"account_id": account_id, "limit": limit})
        cut = min(below, LARGEST_INTEGER)
        return _ROWS.all(self._connection, _BELOW, {"account_id": account_id, "below": cut, "limit": limit})

    def spent(self, account_id: AccountId, *, since: datetime, before: datetime) -> Sequence[Spent]:
        """What runs took and gave back, by day and model."""
        found = self._connection.execute(_SPENT, {"account_id": account_id, "since": since, "before": before})
        return [
            Spent(day=(EPOCH + timedelta(days=int(day))).date(), model=model, amount=amount)
            for day, model, amount in found
        ]

    def ended(self, run_id: RunId) -> bool:
        """Whether the run's hold was settled or refunded."""
        return bool(self._connection.execute(_ENDED, {"run_id": run_id}).scalar_one())
