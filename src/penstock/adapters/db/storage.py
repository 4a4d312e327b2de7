"""Charges for the storage of models as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, exists, func, insert, select

from penstock.adapters.db.columns import Day
from penstock.adapters.db.rows import Rows
from penstock.adapters.db.tables import model_files, models, storage_charges
from penstock.domain.ids import AccountId
from penstock.domain.storage_billing import StorageCharge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import Connection

_ROWS = Rows(StorageCharge, storage_charges)
_OF = storage_charges.c.account_id == bindparam("account_id")
_ON = storage_charges.c.day == bindparam("day", type_=Day)

_STORED = (
    select(func.coalesce(func.sum(model_files.c.size), 0))
    .select_from(models.join(model_files, model_files.c.id == models.c.file_id))
    .where(models.c.account_id == bindparam("account_id"))
)
_UNCHARGED = (
    select(models.c.account_id)
    .distinct()
    .where(
        models.c.account_id > bindparam("after"),
        ~exists().where(storage_charges.c.account_id == models.c.account_id, _ON),
    )
    .order_by(models.c.account_id)
    .limit(bindparam("limit", type_=Integer))
)
_IS_CHARGED = select(exists().where(_OF, _ON))
_ADD = insert(storage_charges)
_NEWEST = _ROWS.select().where(_OF).order_by(storage_charges.c.day.desc()).limit(bindparam("limit", type_=Integer))
_BELOW = _NEWEST.where(storage_charges.c.day < bindparam("below", type_=Day))


class SqlStorage:
    """Implements `StorageRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def stored(self, account_id: AccountId) -> int:
        """A sum over all rows: PostgreSQL gives it as a numeric."""
        return int(self._connection.execute(_STORED, {"account_id": account_id}).scalar_one())

    def uncharged(self, day: date, *, after: AccountId | None, limit: int) -> Sequence[AccountId]:
        """By id."""
        found = self._connection.execute(_UNCHARGED, {"day": day, "after": after or "", "limit": limit})
        return [AccountId(account_id) for (account_id,) in found]

    def is_charged(self, account_id: AccountId, day: date) -> bool:
        """Whether there is a row."""
        return bool(self._connection.execute(_IS_CHARGED, {"account_id": account_id, "day": day}).scalar_one())

    def add(self, charge: StorageCharge) -> None:
        """Keep a charge."""
        self._connection.execute(_ADD, _ROWS.values(charge))

    def page(self, account_id: AccountId, *, below: date | None, limit: int) -> Sequence[StorageCharge]:
        """Newest day first."""
        if below is None:
            return _ROWS.all(self._connection, _NEWEST, {"account_id": account_id, "limit": limit})
        return _ROWS.all(self._connection, _BELOW, {"account_id": account_id, "limit": limit, "below": below})
