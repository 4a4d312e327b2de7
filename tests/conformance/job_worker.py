"""A worker of three steps, for tests: each step writes its effect and its checkpoint in one transaction.

Run as a program it kills itself with SIGKILL at a named point, and so never releases anything.
Arguments: database URL, owner, the point.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.adapters.db.database import SqlDatabase, open_database
from penstock.adapters.db.queue import SqlJobQueue
from penstock.domain.events import EventKind
from penstock.domain.ids import AccountId
from penstock.domain.jobs import LEASE
from tests.support.records import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.domain.jobs import Job

KIND = "three_steps"
STEPS = ("fetch", "convert", "publish")
POINTS = (
    "claimed",
    *(f"{moment} {step}" for step in STEPS for moment in ("inside", "after")),
    "inside finish",
    "after finish",
)


def work(database: SqlDatabase, job: Job, *, reach: Callable[[str], None] = lambda _: None) -> None:
    """Carry a job from its last checkpoint to its end. `reach` is told of every point."""
    reach("claimed")
    done = STEPS.index(job.step) + 1 if job.step else 0
    for step in STEPS[done:]:
        with database.write() as tx:
            seen = [*_steps_seen(job), step]
            tx.events.add(AccountId("acme"), str(job.payload["subject"]), EventKind.RUN_LOG, {"step": step}, now=NOW)
            job = tx.fenced.checkpoint(job, step, {"seen": seen})
            reach(f"inside {step}")
        reach(f"after {step}")
    with database.write() as tx:
        tx.events.add(AccountId("acme"), str(job.payload["subject"]), EventKind.RUN_SUCCEEDED, dict(job.state), now=NOW)
        tx.fenced.finish(job)
        reach("inside finish")
    reach("after finish")


def _steps_seen(job: Job) -> list[object]:
    seen = job.state.get("seen", [])
    assert isinstance(seen, list)
    return seen


def main(url: str, owner: str, point: str) -> None:
    database = open_database(url)
    queue = SqlJobQueue(database)

    def reach(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    (job,) = queue.claim(owner, kinds=[KIND], limit=1, lease=LEASE, now=NOW + timedelta(seconds=1))
    work(database, job, reach=reach)


if __name__ == "__main__":
    main(*sys.argv[1:])
