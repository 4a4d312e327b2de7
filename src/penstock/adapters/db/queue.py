"""The worker's side of the job table: a lease with a fencing token, on either database.

Clocks. A lease is compared with the caller's `now`, nothing else. A clock that jumps forward makes leases look run
out: their jobs are delivered again, and fencing makes the first worker's late writes harmless. A clock that jumps
back would leave due times lying in the future; so every row keeps the clock that set its due time, and a claim that
finds such a stamp ahead of its own `now` (looked for at the first claim, when `now` falls back, and once a minute)
counts the same delay again from `now`.

Failures. An attempt whose lease ran out or was released counts as a failure, so that a job that kills its worker does
not come back for ever: whoever claims a job with `MAX_ATTEMPTS` failures buries it.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, case, func, null, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from penstock.adapters.db.columns import Instant
from penstock.adapters.db.jobs import JOBS
from penstock.adapters.db.tables import jobs, schedules
from penstock.domain.jobs import Job, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.dml import ReturningUpdate

    from penstock.adapters.db.database import SqlDatabase
    from penstock.domain.ids import AccountId

_CLOCK_TOLERANCE = timedelta(seconds=60)
"""How far two machines' clocks may differ before a stamp from the future is taken for a clock that was set back."""
_REWIND_EVERY = 60.0

_KINDS = jobs.c.kind.in_(bindparam("kinds", expanding=True))
_LEASED = jobs.c.state == JobState.LEASED


def _claim(*further: ColumnElement[bool]) -> ReturningUpdate[Any]:
    # A query of its own (never folded into the update, for it locks), so that its limit is applied exactly once.
    due = (
        select(jobs.c.id)
        .where(jobs.c.due_at <= bindparam("now", type_=Instant), _KINDS, *further)
        .order_by(jobs.c.due_at)
        .limit(bindparam("limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    return (
        update(jobs)
        .where(jobs.c.id.in_(select(due.c.id)))
        .values(
            state=JobState.LEASED,
            owner=bindparam("its_owner"),
            attempt=jobs.c.attempt + 1,
            failures=jobs.c.failures + case((_LEASED, 1), else_=0),
            due_at=bindparam("lease_until"),
            stamped_at=bindparam("now"),
        )
        .returning(*JOBS.columns)
    )


_CLAIM = _claim()
_OF_NOBODY = or_(jobs.c.account_id.is_(None), jobs.c.account_id.not_in(bindparam("passed", expanding=True)))
_CLAIM_OF_OTHERS = _claim(_OF_NOBODY)
_HEARTBEAT = (
    update(jobs)
    .where(jobs.c.id == bindparam("its_id"), jobs.c.attempt == bindparam("token"), _LEASED)
    .values(due_at=bindparam("lease_until"), stamped_at=bindparam("now"))
)
_RELEASE = (
    update(jobs)
    .where(
        _LEASED,
        func.substr(jobs.c.owner, 1, func.length(bindparam("prefix", type_=jobs.c.owner.type))) == bindparam("prefix"),
    )
    .values(
        state=JobState.READY,
        owner="",
        failures=jobs.c.failures + 1,
        due_at=bindparam("now"),
        stamped_at=bindparam("now"),
    )
)
_NEXT_DUE = select(func.min(jobs.c.due_at)).where(_KINDS)
_AHEAD = jobs.c.stamped_at > bindparam("latest", type_=Instant)
_ANY_AHEAD = select(jobs.c.id).where(jobs.c.due_at.is_not(None), _AHEAD).limit(1)
_REWIND = text(
    "UPDATE jobs SET due_at = due_at - stamped_at + :now, stamped_at = :now"
    " WHERE due_at IS NOT NULL AND stamped_at > :latest"
).bindparams(bindparam("now", type_=Instant), bindparam("latest", type_=Instant))
_DEAD = (
    JOBS.select()
    .where(jobs.c.state == JobState.DEAD)
    .order_by(jobs.c.stamped_at.desc(), jobs.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_REDRIVE = (
    update(jobs)
    .where(jobs.c.id == bindparam("its_id"), jobs.c.state == JobState.DEAD)
    .values(state=JobState.READY, failures=0, error=null(), due_at=bindparam("now"), stamped_at=bindparam("now"))
)
_NEXT_TIME = select(schedules.c.next_at).where(schedules.c.name == bindparam("name"))
# A next time further away than one period was set by a clock that has been set back since.
_TAKE_TURN = text(
    "INSERT INTO schedules (name, next_at) VALUES (:name, :following) ON CONFLICT (name)"
    " DO UPDATE SET next_at = excluded.next_at"
    " WHERE schedules.next_at <= :now OR schedules.next_at > :following RETURNING 1"
).bindparams(
    bindparam("name", type_=schedules.c.name.type),
    bindparam("following", type_=Instant),
    bindparam("now", type_=Instant),
)


class SqlJobQueue:
    """Implements `JobQueue`. Use from as many threads as you like."""

    def __init__(self, database: SqlDatabase) -> None:
        self._gate = database.gate
        self._latest: datetime | None = None
        self._rewound_at = 0.0

    def claim(
        self,
        owner: str,
        *,
        kinds: Sequence[str],
        limit: int,
        lease: timedelta,
        now: datetime,
        passing_over: Collection[AccountId] = (),
    ) -> Sequence[Job]:
        """Take due jobs. A job whose last attempt never ended (its lease ran out) has one failure more."""
        self._rewind(now)
        due = self.next_due(kinds=kinds)
        if due is None or due > now:
            return ()
        parameters: dict[str, object] = {
            "kinds": list(kinds),
            "limit": limit,
            "now": now,
            "its_owner": owner,
            "lease_until": now + lease,
        }
        statement = _CLAIM
        if passing_over:
            statement, parameters["passed"] = _CLAIM_OF_OTHERS, sorted(passing_over)
        with self._gate.write() as connection:
            return [JOBS.made(row) for row in connection.execute(statement, parameters)]

    def heartbeat(self, job: Job, *, lease: timedelta, now: datetime) -> bool:
        """Extend the lease; False when another worker has the job, or it is over."""
        with self._gate.write() as connection:
            parameters = {"its_id": job.id, "token": job.attempt, "lease_until": now + lease, "now": now}
            return connection.execute(_HEARTBEAT, parameters).rowcount == 1

    def release(self, owner_prefix: str, *, now: datetime) -> int:
        """Make ready what a process that is gone held; each such job has one failure more."""
        with self._gate.write() as connection:
            released = connection.execute(_RELEASE, {"prefix": owner_prefix, "now": now}).rowcount
            if released:
                self._gate.announce(connection)
        return released

    def next_due(self, *, kinds: Sequence[str]) -> datetime | None:
        """When the next job can be claimed; None when there is none."""
        with self._gate.read() as connection:
            due: datetime | None = connection.execute(_NEXT_DUE, {"kinds": list(kinds)}).scalar_one()
        return due

    def claim_schedule(self, name: str, *, every: timedelta, now: datetime) -> bool:
        """True for exactly one caller per period; the first call ever is due at once."""
        following = now + every
        with self._gate.read() as connection:
            next_at: datetime | None = connection.execute(_NEXT_TIME, {"name": name}).scalar_one_or_none()
        if next_at is not None and now < next_at <= following:
            return False
        with self._gate.write() as connection:
            return (
                connection.execute(_TAKE_TURN, {"name": name, "following": following, "now": now}).first() is not None
            )

    def dead(self, *, limit: int) -> Sequence[Job]:
        """Buried jobs, the last claimed first; `lease_until` says when that was."""
        with self._gate.read() as connection:
            return JOBS.all(connection, _DEAD, {"limit": limit})

    def redrive(self, job_id: str, *, now: datetime) -> bool:
        """Make a buried job ready again; False when it is not buried, or an unfinished one has its `dedupe_key`."""
        try:
            with self._gate.write() as connection:
                driven = connection.execute(_REDRIVE, {"its_id": job_id, "now": now}).rowcount == 1
                if driven:
                    self._gate.announce(connection)
        except IntegrityError:
            return False
        return driven

    def _rewind(self, now: datetime) -> None:
        """After the clock was set back: let each delay that it had set count again from now."""
        fell_back = self._latest is None or now < self._latest
        self._latest = now
        if not fell_back and time.monotonic() - self._rewound_at < _REWIND_EVERY:
            return
        self._rewound_at = time.monotonic()
        latest = now + _CLOCK_TOLERANCE
        with self._gate.read() as connection:
            if connection.execute(_ANY_AHEAD, {"latest": latest}).first() is None:
                return
        with self._gate.write() as connection:
            connection.execute(_REWIND, {"now": now, "latest": latest})
