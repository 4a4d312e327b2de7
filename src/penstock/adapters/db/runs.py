"""Runs as rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import Integer, Text, and_, bindparam, cast, func, insert, or_, select, text, tuple_, update

from penstock.adapters.db.paging import Listing
from penstock.adapters.db.rows import Rows, to_change
from penstock.adapters.db.tables import runs
from penstock.domain.errors import RunNotFound
from penstock.domain.ids import RunId
from penstock.domain.runs import HISTORY, Run, RunState, Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from penstock.domain.ids import AccountId
    from penstock.domain.runs import RunFilter
    from penstock.ports.positions import Position

_ROWS = Rows(Run, runs)
_FIXED = (
    *("id", "account_id", "created_at", "inputs", "callback_url", "callback_on", "client_ref"),
    *("progress", "deleted_at", "payloads_deleted_at"),
)
"""What replacing a row leaves alone: what never changes, or by a statement of its own (while an attempt goes on)."""

_ADD = insert(runs)
_GET = _ROWS.select().where(runs.c.id == bindparam("id"), runs.c.account_id == bindparam("account_id"))
_GET_TO_CHANGE = to_change(_GET)
_REPLACE = update(runs).where(
    runs.c.id == bindparam("its_id"), runs.c.account_id == bindparam("its_account"), runs.c.state == bindparam("was")
)
_CLEARED = ("inputs", "values", "files", "output", "error", "payloads_deleted_at", "deleted_at")
_CLEAR = (
    update(runs)
    .where(runs.c.id == bindparam("its_id"), runs.c.account_id == bindparam("its_account"))
    .values({name: bindparam(name) for name in _CLEARED})
)
_NOTE_PROGRESS = (
    update(runs)
    .where(runs.c.id == bindparam("its_id"))
    .values(progress=bindparam("fraction", type_=runs.c.progress.type))
)
_LISTING = Listing(_ROWS.select().where(runs.c.deleted_at.is_(None)), runs)
_NEWEST = (
    select(runs.c.id)
    .where(runs.c.account_id == bindparam("account_id"), runs.c.deleted_at.is_(None))
    .order_by(runs.c.created_at.desc(), runs.c.id.desc())
    .limit(HISTORY)
)
_STANDINGS = (
    select(runs.c.id, runs.c.state, runs.c.created_at)
    .where(runs.c.account_id == bindparam("account_id"), runs.c.deleted_at.is_(None))
    .order_by(runs.c.created_at.desc(), runs.c.id.desc())
)
_NEWEST_STANDINGS = _STANDINGS.limit(bindparam("newest", type_=Integer))
_STANDINGS_BESIDE = _STANDINGS.where(runs.c.id.in_(bindparam("beside", expanding=True)))
_POSITION = tuple_(bindparam("at", type_=runs.c.created_at.type), bindparam("id", type_=runs.c.id.type))
# The state stands in the text, as in the partial index that this count walks.
_QUEUED_BEFORE = (
    select(func.count())
    .select_from(runs)
    .where(text("state = 'queued'"), tuple_(runs.c.created_at, runs.c.id) < _POSITION)
)
_COUNTED = (
    select(runs.c.model, func.count())
    .where(runs.c.account_id == bindparam("account_id"), runs.c.created_at >= bindparam("since"))
    .group_by(runs.c.model)
)
_CANCEL_REQUESTED = select(runs.c.cancel_requested).where(runs.c.id == bindparam("id"))


class SqlRuns:
    """Implements `RunRepository`."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._get = _GET_TO_CHANGE if writes else _GET

    def add(self, run: Run) -> None:
        """Keep a new run."""
        self._connection.execute(_ADD, _ROWS.values(run))

    def get(self, account_id: AccountId, run_id: RunId) -> Run:
        """Raises `RunNotFound`."""
        run = _ROWS.one(self._connection, self._get, {"id": run_id, "account_id": account_id})
        if run is None:
            raise RunNotFound(run_id)
        return run

    def replace(self, run: Run, *, was: RunState) -> bool:
        """Compare and set on the state."""
        values = _ROWS.values(run)
        for name in _FIXED:
            del values[name]
        values.update(its_id=run.id, its_account=run.account_id, was=was)
        return self._connection.execute(_REPLACE, values).rowcount == 1

    def clear(self, run: Run) -> None:
        """Write what was removed of a run."""
        values = {name: getattr(run, name) for name in _CLEARED}
        self._connection.execute(_CLEAR, {**values, "its_id": run.id, "its_account": run.account_id})

    def note_progress(self, run_id: RunId, fraction: float | None) -> None:
        """How far a running run is."""
        self._connection.execute(_NOTE_PROGRESS, {"its_id": run_id, "fraction": fraction})

    def page(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[Run]:
        """Newest first."""
        return _ROWS.all(self._connection, *_LISTING.page(account_id, below=below, limit=limit))

    def counted(self, account_id: AccountId, *, since: datetime) -> Mapping[str, int]:
        """How many runs were added since a time, by model."""
        found = self._connection.execute(_COUNTED, {"account_id": account_id, "since": since})
        return {model: int(count) for model, count in found}

    def history(self, account_id: AccountId, wanted: RunFilter, *, skip: int, limit: int) -> Sequence[Run]:
        """Looks at the newest alone, whatever is asked for."""
        query = _ROWS.select().where(runs.c.id.in_(_NEWEST), *_conditions(wanted))
        query = query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit).offset(skip)
        return _ROWS.all(self._connection, query, {"account_id": account_id})

    def standings(self, account_id: AccountId, *, newest: int, beside: Collection[RunId]) -> Sequence[Standing]:
        """Reads no inputs and no outputs, which may be long."""
        rows = list(self._connection.execute(_NEWEST_STANDINGS, {"account_id": account_id, "newest": newest}))
        others = sorted(set(beside).difference(row.id for row in rows))
        if others:
            rows += self._connection.execute(_STANDINGS_BESIDE, {"account_id": account_id, "beside": others})
        found = [Standing(id=RunId(row.id), state=row.state, created_at=row.created_at) for row in rows]
        return sorted(found, key=lambda standing: (standing.created_at, standing.id), reverse=True)

    def queued_before(self, run: Run) -> int:
        """How many queued runs were created before this one."""
        return int(self._connection.execute(_QUEUED_BEFORE, {"at": run.created_at, "id": run.id}).scalar_one())

    def cancel_requested(self, run_id: RunId) -> bool:
        """The wish to cancel; True for a run that is gone."""
        wanted = self._connection.execute(_CANCEL_REQUESTED, {"id": run_id}).scalar_one_or_none()
        return True if wanted is None else bool(wanted)


def _conditions(wanted: RunFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.stands is not None:
        ways = sorted(wanted.stands, key=lambda way: (way[0].value, way[1].value if way[1] else ""))
        yield or_(*(and_(runs.c.state == state, runs.c.fault.is_not_distinct_from(fault)) for state, fault in ways))
    if wanted.model is not None:
        yield runs.c.model == wanted.model
    for key, value in wanted.metadata.items():
        yield _holds(f"{json.dumps(key)}:{json.dumps(value)}")


def _holds(pair: str) -> ColumnElement[bool]:
    """Whether the text of a flat map of strings has this member; behind `{` or `,` no text of its own can look like it.

    By replacing, for LIKE does not tell upper case from lower on SQLite.
    """
    column = cast(runs.c.metadata, Text)
    return or_(*(func.replace(column, before + pair, "", type_=Text) != column for before in "{,"))
