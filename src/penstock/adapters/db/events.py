"""Events as rows, numbered per subject without gaps: number n + 1 can be read only when n can."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, delete, select, text

from penstock.adapters.db.columns import LARGEST_INTEGER, Instant
from penstock.adapters.db.rows import Rows
from penstock.adapters.db.tables import FINAL, events
from penstock.domain.errors import DatabaseUnavailable
from penstock.domain.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from penstock.domain.events import EventData, EventKind
    from penstock.domain.ids import AccountId

_ROWS = Rows(Event, events)
_TRIES = 1000

# A concurrent writer of the same subject has taken the same number: its transaction is waited for, nothing is
# inserted, and the statement runs again on what is there then. Nobody takes a number whose predecessor is not
# committed.
_ADD = text(
    "INSERT INTO events (subject, number, account_id, kind, data, created_at)"
    " SELECT :subject, coalesce(max(number), 0) + 1, :account_id, :kind, :data, :created_at FROM events"
    " WHERE subject = :subject"
    " ON CONFLICT DO NOTHING RETURNING number"
).bindparams(*(bindparam(column.name, type_=column.type) for column in events.c if column.name != "number"))
_AFTER = (
    _ROWS.select()
    .where(
        events.c.subject == bindparam("subject"),
        events.c.number > bindparam("number"),
        events.c.account_id == bindparam("account_id"),
    )
    .order_by(events.c.number)
    .limit(bindparam("limit", type_=Integer))
)

# A subject costs one search in the primary key, in whatever state it is; only those that went on come back.
_LAST_ABOVE = {
    "sqlite": text(
        "SELECT subject, number FROM (SELECT known.key AS subject, known.value AS known,"
        " (SELECT max(events.number) FROM events WHERE events.subject = known.key) AS number"
        " FROM json_each(:known) AS known) WHERE number > known"
    ),
    "postgresql": text(
        "SELECT subject, number FROM (SELECT known.key AS subject, CAST(known.value AS bigint) AS known,"
        " (SELECT max(events.number) FROM events WHERE events.subject = known.key) AS number"
        " FROM json_each_text(CAST(:known AS json)) AS known) AS told WHERE number > known"
    ),
}


_ENDED = (
    select(events.c.subject)
    .where(FINAL, events.c.created_at < bindparam("before", type_=Instant))
    .order_by(events.c.created_at)
    .limit(bindparam("limit", type_=Integer))
)
_PURGE = delete(events).where(events.c.subject.in_(bindparam("subjects", expanding=True)))


class SqlEvents:
    """Implements `EventRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, account_id: AccountId, subject: str, kind: EventKind, data: EventData, *, now: datetime) -> Event:
        """Append with the subject's next number."""
        row = {"account_id": account_id, "subject": subject, "kind": kind, "data": data, "created_at": now}
        for _ in range(_TRIES):
            number = self._connection.execute(_ADD, row).scalar_one_or_none()
            if number is not None:
                return Event(
                    account_id=account_id, subject=subject, number=number, kind=kind, data=data, created_at=now
                )
        msg = "too many writers of one subject's events"
        raise DatabaseUnavailable(msg)

    def after(self, account_id: AccountId, subject: str, number: int, *, limit: int) -> Sequence[Event]:
        """Events of a subject above `number`, ascending."""
        parameters = {
            "account_id": account_id,
            "subject": subject,
            "number": min(number, LARGEST_INTEGER),
            "limit": limit,
        }
        return _ROWS.all(self._connection, _AFTER, parameters)

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget subjects that ended long ago, the longest first."""
        subjects = self._connection.execute(_ENDED, {"before": before, "limit": limit}).scalars().all()
        if subjects:
            self._connection.execute(_PURGE, {"subjects": subjects})
        return len(subjects)

    def last_above(self, known: Mapping[str, int]) -> Mapping[str, int]:
        """The subjects with events above the number that is known of them, and the last number of each."""
        parameters = {"known": json.dumps({name: min(number, LARGEST_INTEGER) for name, number in known.items()})}
        statement = _LAST_ABOVE[self._connection.dialect.name]
        return {row.subject: row.number for row in self._connection.execute(statement, parameters)}
