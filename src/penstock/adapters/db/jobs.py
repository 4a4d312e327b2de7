"""Jobs as rows: putting them in, and a worker's fenced writes about its own.

A finished job's row is deleted: what it did stands in the domain's rows. Buried jobs stay until an operator drives
them again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, null, select, text, update

from penstock.adapters.db.rows import Rows, insert_missing
from penstock.adapters.db.tables import jobs
from penstock.domain.jobs import Job, JobState
from penstock.ports.jobs import LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection, Delete, Update

    from penstock.domain.ids import AccountId, JobId
    from penstock.domain.jobs import JobData

JOBS = Rows(Job, jobs, {"state": jobs.c.step_state, "lease_until": func.coalesce(jobs.c.due_at, jobs.c.stamped_at)})
_LONGEST_ERROR = 2000

_ADD = insert_missing(jobs)
_HELD = (jobs.c.id == bindparam("its_id"), jobs.c.attempt == bindparam("token"), jobs.c.state == JobState.LEASED)
_CHECKPOINT = update(jobs).where(*_HELD)
_FINISH = delete(jobs).where(*_HELD)
_POSTPONE = update(jobs).where(*_HELD).values(state=JobState.READY, owner="")
_RETRY = _POSTPONE.values(failures=jobs.c.failures + 1)
_BURY = update(jobs).where(*_HELD).values(state=JobState.DEAD, failures=jobs.c.failures + 1, owner="", due_at=null())

_RESTING = (
    select(jobs.c.id)
    .where(
        text("state IN ('ready', 'leased') AND dedupe_key IS NOT NULL"),
        jobs.c.kind == bindparam("its_kind"),
        jobs.c.dedupe_key.in_(bindparam("keys", expanding=True)),
        jobs.c.state == JobState.READY,
        jobs.c.due_at > bindparam("now", type_=jobs.c.due_at.type),
    )
    .with_for_update(skip_locked=True)
)
_WAKE = update(jobs).where(jobs.c.id.in_(_RESTING)).values(due_at=bindparam("now"), stamped_at=bindparam("now"))


class SqlJobs:
    """Implements `JobRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def enqueue(  # noqa: PLR0913 - the columns of a job
        self,
        kind: str,
        payload: JobData,
        *,
        job_id: JobId,
        now: datetime,
        run_at: datetime | None = None,
        dedupe_key: str | None = None,
        account_id: AccountId | None = None,
    ) -> None:
        """Add a job, unless a ready or leased one of this kind has the same `dedupe_key`."""
        row = {
            "id": job_id,
            "kind": kind,
            "payload": payload,
            "account_id": account_id,
            "dedupe_key": dedupe_key,
            "state": JobState.READY,
            "step": "",
            "step_state": {},
            "attempt": 0,
            "failures": 0,
            "owner": "",
            "due_at": run_at or now,
            "stamped_at": now,
            "created_at": now,
            "error": None,
        }
        self._connection.execute(_ADD, row)

    def wake(self, kind: str, dedupe_keys: Iterable[str], *, now: datetime) -> None:
        """Let jobs that rest come due."""
        keys = sorted(dedupe_keys)
        if keys:
            self._connection.execute(_WAKE, {"its_kind": kind, "keys": keys, "now": now})


class SqlFencedJobs:
    """Implements `FencedJob`: each write names the attempt, and finds no row once another worker has claimed the job.

    A lease that merely ran out is still ours to write under, until somebody else takes it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def checkpoint(self, job: Job, step: str, state: JobData) -> Job:
        """Raises `LeaseLostError`."""
        self._write(job, _CHECKPOINT, {"step": step, "step_state": state})
        return replace(job, step=step, state=state)

    def finish(self, job: Job) -> None:
        """Raises `LeaseLostError`."""
        self._write(job, _FINISH, {})

    def retry(self, job: Job, *, run_at: datetime, error: str) -> None:
        """Raises `LeaseLostError`."""
        self._write(job, _RETRY, {"due_at": run_at, "error": error[:_LONGEST_ERROR]})

    def postpone(self, job: Job, *, run_at: datetime, error: str) -> None:
        """Raises `LeaseLostError`."""
        self._write(job, _POSTPONE, {"due_at": run_at, "error": error[:_LONGEST_ERROR]})

    def bury(self, job: Job, *, error: str) -> None:
        """Raises `LeaseLostError`."""
        self._write(job, _BURY, {"error": error[:_LONGEST_ERROR]})

    def _write(self, job: Job, statement: Update | Delete, values: dict[str, object]) -> None:
        if self._connection.execute(statement, {**values, "its_id": job.id, "token": job.attempt}).rowcount != 1:
            msg = f"job {job.id}: attempt {job.attempt} is no longer the current one"
            raise LeaseLostError(msg)
