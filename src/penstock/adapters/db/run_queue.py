"""Runs that wait, and those that go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, case, func, or_, select, text

from penstock.adapters.db.rows import Rows
from penstock.adapters.db.tables import runs
from penstock.domain.ids import RunId
from penstock.domain.places import Running
from penstock.domain.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from penstock.domain.ids import AccountId

_ROWS = Rows(Run, runs)
# The states stand in the text, as in the partial indexes that these walk: a table of ended runs does not slow them.
_IS_QUEUED, _IS_RUNNING = text("state = 'queued'"), text("state = 'running'")
_SAME_MODEL = (runs.c.runner == bindparam("runner")) & (runs.c.runner_model == bindparam("runner_model"))
_SAME_ACCOUNT = runs.c.account_id == bindparam("account_id")
_LIMIT = bindparam("limit", type_=Integer)
_LOOKED_AT = 200
"""Of a long queue so many are looked at."""
_RUNNING_BESIDE = select(
    func.count(case((_SAME_MODEL, 1))),
    func.count(case((_SAME_ACCOUNT, 1))),
    func.count(case((_SAME_MODEL & _SAME_ACCOUNT, 1))),
).where(_IS_RUNNING, runs.c.id != bindparam("its_id"))
# Of the account itself the oldest; of others, whose own limits may hold them back, the oldest of each.
_OLDEST = (
    select(runs.c.id, runs.c.account_id, runs.c.created_at)
    .where(_IS_QUEUED, or_(_SAME_MODEL, _SAME_ACCOUNT))
    .order_by(runs.c.created_at, runs.c.id)
    .limit(_LOOKED_AT)
    .subquery()
)
_TURN = func.row_number().over(partition_by=_OLDEST.c.account_id, order_by=(_OLDEST.c.created_at, _OLDEST.c.id))
_TURNS = select(_OLDEST.c.id, _OLDEST.c.account_id, _OLDEST.c.created_at, _TURN.label("turn")).subquery()
_NEXT_WAITING = (
    select(_TURNS.c.id)
    .where(or_(_TURNS.c.turn == 1, _TURNS.c.account_id == bindparam("account_id")))
    .order_by(_TURNS.c.turn, _TURNS.c.created_at, _TURNS.c.id)
    .limit(_LIMIT)
)
_OVERDUE = [
    _ROWS.select().where(state, runs.c.deadline_at <= bindparam("now", type_=runs.c.deadline_at.type)).limit(_LIMIT)
    for state in (_IS_QUEUED, _IS_RUNNING)
]
_ASKED_SINCE = (
    select(runs.c.created_at)
    .where(_SAME_ACCOUNT, _SAME_MODEL, runs.c.created_at > bindparam("since", type_=runs.c.created_at.type))
    .order_by(runs.c.created_at.desc())
    .limit(_LIMIT)
)
_POSTGRES_LOCK = 0x70656E7374726E73
"""The advisory lock of those that look for a place: `penstrns` in ASCII."""


class SqlRunQueue:
    """Implements `RunQueueRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def running_beside(self, run: Run, *, lock: bool) -> Running:
        """How many other runs are going on."""
        if lock:
            self._take_turns()
        model, account, both = self._connection.execute(_RUNNING_BESIDE, _of(run)).one()
        return Running(model=model, account=account, model_of_account=both)

    def next_waiting(self, run: Run, *, limit: int) -> Sequence[RunId]:
        """Queued runs of the same model or the same account, oldest first, those of every account in turn."""
        return [RunId(row.id) for row in self._connection.execute(_NEXT_WAITING, {**_of(run), "limit": limit})]

    def overdue(self, *, now: datetime, limit: int) -> Sequence[Run]:
        """Runs whose time is over."""
        found = [_ROWS.all(self._connection, query, {"now": now, "limit": limit}) for query in _OVERDUE]
        return [run for runs_ in found for run in runs_][:limit]

    def asked_since(
        self, account_id: AccountId, runner: str, runner_model: str, *, since: datetime, limit: int
    ) -> Sequence[datetime]:
        """When an account asked for the newest runs of a model."""
        self._take_turns()
        parameters = {
            "account_id": account_id,
            "runner": runner,
            "runner_model": runner_model,
            "since": since,
            "limit": limit,
        }
        return list(self._connection.execute(_ASKED_SINCE, parameters).scalars())

    def _take_turns(self) -> None:
        """Let nobody else count until the transaction ends; on SQLite there is one writer anyway."""
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _POSTGRES_LOCK})


def _of(run: Run) -> dict[str, object]:
    return {
        "its_id": run.id,
        "account_id": run.account_id,
        "runner": run.runner,
        "runner_model": run.runner_model,
    }
