"""Idempotency keys as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, delete, select, tuple_

from penstock.adapters.db.columns import Instant
from penstock.adapters.db.rows import insert_missing
from penstock.adapters.db.tables import idempotency_keys
from penstock.ports.events import IdempotencyRaceError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from penstock.domain.ids import AccountId

_FIND = select(idempotency_keys.c.fingerprint, idempotency_keys.c.subject).where(
    idempotency_keys.c.account_id == bindparam("account_id"),
    idempotency_keys.c.verb == bindparam("verb"),
    idempotency_keys.c.key == bindparam("key"),
)
_ADD = insert_missing(idempotency_keys)
_NAME = (idempotency_keys.c.account_id, idempotency_keys.c.verb, idempotency_keys.c.key)
_OLD = (
    select(*_NAME)
    .where(idempotency_keys.c.created_at < bindparam("before", type_=Instant))
    .order_by(idempotency_keys.c.created_at)
    .limit(bindparam("limit", type_=Integer))
)
_PURGE = delete(idempotency_keys).where(tuple_(*_NAME).in_(_OLD))


class SqlIdempotency:
    """Implements `IdempotencyRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, account_id: AccountId, verb: str, key: str) -> tuple[str, str] | None:
        """(fingerprint, subject), or None."""
        row = self._connection.execute(_FIND, {"account_id": account_id, "verb": verb, "key": key}).first()
        return None if row is None else (row.fingerprint, row.subject)

    def add(self, account_id: AccountId, verb: str, key: str, *, fingerprint: str, subject: str, now: datetime) -> None:
        """Raises `IdempotencyRaceError`."""
        row = {
            "account_id": account_id,
            "verb": verb,
            "key": key,
            "fingerprint": fingerprint,
            "subject": subject,
            "created_at": now,
        }
        if self._connection.execute(_ADD, row).first() is None:
            raise IdempotencyRaceError

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget old keys, the oldest first."""
        return self._connection.execute(_PURGE, {"before": before, "limit": limit}).rowcount
