"""Sweeps: what is over is removed in the background, in batches, never anything that is still referenced.

A sweep is a plan, which tells what would go and changes nothing, and an act, which removes it. A worker acts on a
schedule; an operator may ask for either at any time, also while the worker acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.workflows.engine import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from penstock.domain.sweeps import Finding
    from penstock.services.models import Models
    from penstock.services.orphans import Orphans
    from penstock.services.purging import Purging
    from penstock.services.retention import Retention
    from penstock.services.run_deadlines import RunDeadlines
    from penstock.services.sweep_plans import SweepPlans
    from penstock.services.uploads import Uploads

_BATCH = 200
_MAX_BATCHES = 50
_EVERY = timedelta(seconds=30)
_ORPHANS_EVERY = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One kind of removal. `act` returns how many things it removed, and may be repeated while that is not 0.

    `confirmed_act` removes also what `act` leaves for an operator to decide; `obstacle` says why it would.
    """

    name: str
    every: timedelta
    plan: Callable[[], Iterator[Finding]]
    act: Callable[[], int]
    confirmed_act: Callable[[], int]
    obstacle: Callable[[], str | None]


def all_sweeps(
    uploads: Uploads, purging: Purging, models: Models, orphans: Orphans, plans: SweepPlans
) -> Sequence[Sweep]:
    """Every sweep of files, in an order in which one makes work for the next."""
    return (
        _in_batches("overdue-uploads", plans.uploads, lambda: uploads.expire_overdue(limit=_BATCH)),
        _in_batches("staging", plans.staging, lambda: uploads.sweep_staging(limit=_BATCH)),
        _in_batches("files", plans.files, lambda: purging.purge(limit=_BATCH)),
        _in_batches("tombstones", plans.tombstones, lambda: purging.forget(limit=_BATCH)),
        _in_batches("model-files", plans.model_files, lambda: models.sweep(limit=_BATCH)),
        Sweep(
            name="multiparts",
            every=_ORPHANS_EVERY,
            plan=plans.multiparts,
            act=orphans.sweep_multiparts,
            confirmed_act=orphans.sweep_multiparts,
            obstacle=orphans.multipart_obstacle,
        ),
        Sweep(
            name="orphans",
            every=_ORPHANS_EVERY,
            plan=plans.orphans,
            act=orphans.sweep,
            confirmed_act=lambda: orphans.sweep(confirmed=True),
            obstacle=orphans.obstacle,
        ),
    )


def sweep_schedules(sweeps: Sequence[Sweep], retention: Retention, deadlines: RunDeadlines) -> Sequence[Schedule]:
    """What a worker does periodically."""
    return (
        *(Schedule(name=sweep.name, every=sweep.every, act=sweep.act) for sweep in sweeps),
        Schedule(name="overdue-runs", every=_EVERY, act=_batches(lambda: deadlines.expire(limit=_BATCH))),
        Schedule(name="events", every=_EVERY, act=_batches(lambda: retention.purge_events(limit=_BATCH))),
        Schedule(
            name="idempotency-keys",
            every=_EVERY,
            act=_batches(lambda: retention.purge_idempotency_keys(limit=_BATCH)),
        ),
        Schedule(name="deliveries", every=_EVERY, act=_batches(lambda: retention.purge_deliveries(limit=_BATCH))),
        Schedule(name="model-uploads", every=_EVERY, act=_batches(lambda: retention.purge_model_uploads(limit=_BATCH))),
    )


def _in_batches(name: str, plan: Callable[[], Iterator[Finding]], batch: Callable[[], int]) -> Sweep:
    act = _batches(batch)
    return Sweep(name=name, every=_EVERY, plan=plan, act=act, confirmed_act=act, obstacle=lambda: None)


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
