"""What went into a run and what came out is removed some time after its end, where its owner asked for that.

The files that it made stay: they have lifetimes of their own. So does the log of what its receivers were told.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.errors import RunNotFound
from penstock.domain.ids import AccountId, RunId
from penstock.domain.runs import without_payloads

if TYPE_CHECKING:
    from penstock.domain.jobs import Job
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database


class PayloadRemoval:
    """The flow of kind `payload_removal`; payload `{run_id, keep_seconds}`. One step, which may be repeated."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def run(self, job: Job) -> None:
        """Remove them when their time is over, or look again then."""
        now = self._clock.now()
        keep = timedelta(seconds=int(str(job.payload["keep_seconds"])))
        with self._database.write() as tx:
            try:
                run = tx.runs.get(AccountId(job.account_id or ""), RunId(str(job.payload["run_id"])))
            except RunNotFound:
                tx.fenced.finish(job)
                return
            due = (run.finished_at or now) + keep
            if run.finished_at is None or now < due:
                tx.fenced.postpone(job, run_at=due, error="the run needs its payloads")
                return
            tx.runs.clear(without_payloads(run, now=now))
            tx.fenced.finish(job)

    def give_up(self, job: Job, reason: str) -> None:
        """They stay; repeating the job goes on."""
        with self._database.write() as tx:
            tx.fenced.bury(job, error=reason)
