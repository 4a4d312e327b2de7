"""Every run ends: what has not in its time fails, whatever its attempt does."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain import runs as rules
from penstock.domain.errors import RunNotFound
from penstock.domain.events import EventKind
from penstock.services.run_ends import end_run

if TYPE_CHECKING:
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database
    from penstock.services.callbacks import Callbacks

OVERDUE_GRACE = timedelta(seconds=30)
"""So long an attempt has to end by itself after its run's time is over."""


class RunDeadlines:
    """Ends runs that are overdue, queued ones and those whose attempt does not listen."""

    def __init__(self, database: Database, callbacks: Callbacks, *, clock: Clock) -> None:
        self._database = database
        self._callbacks = callbacks
        self._clock = clock

    def expire(self, *, limit: int) -> int:
        """End up to `limit` of them, money back. Returns how many."""
        now = self._clock.now()
        with self._database.read() as tx:
            found = tx.run_queue.overdue(now=now - OVERDUE_GRACE, limit=limit)
        for one in found:
            with contextlib.suppress(RunNotFound), self._database.write() as tx:
                run = tx.runs.get(one.account_id, one.id)
                if rules.is_overdue(run, now=now):
                    ended = rules.overdue(run, now=now)
                    end_run(
                        tx,
                        ended,
                        EventKind.RUN_FAILED,
                        {"error": ended.error},
                        was=run.state,
                        callbacks=self._callbacks,
                    )
        return len(found)
