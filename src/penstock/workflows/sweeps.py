"""Sweeps: what is over is removed in the background, in batches, never anything that is still referenced."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.workflows.engine import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.services.purging import Purging
    from penstock.services.retention import Retention
    from penstock.services.uploads import Uploads

_BATCH = 200
_MAX_BATCHES = 50
_EVERY = timedelta(seconds=30)


def sweep_schedules(uploads: Uploads, purging: Purging, retention: Retention) -> Sequence[Schedule]:
    """The periodic sweeps of a worker."""
    return (
        Schedule(name="overdue-uploads", every=_EVERY, act=_batches(lambda: uploads.expire_overdue(limit=_BATCH))),
        Schedule(name="staging", every=_EVERY, act=_batches(lambda: uploads.sweep_staging(limit=_BATCH))),
        Schedule(name="files", every=_EVERY, act=_batches(lambda: purging.purge(limit=_BATCH))),
        Schedule(name="tombstones", every=_EVERY, act=_batches(lambda: purging.forget(limit=_BATCH))),
        Schedule(name="events", every=_EVERY, act=_batches(lambda: retention.purge_events(limit=_BATCH))),
        Schedule(
            name="idempotency-keys",
            every=_EVERY,
            act=_batches(lambda: retention.purge_idempotency_keys(limit=_BATCH)),
        ),
    )


def _batches(sweep: Callable[[], int]) -> Callable[[], int]:
    """Repeat a sweep while it finds full batches, so that memory stays constant, with an end for fairness."""

    def act() -> int:
        total = 0
        for _ in range(_MAX_BATCHES):
            count = sweep()
            total += count
            if count < _BATCH:
                break
        return total

    return act
