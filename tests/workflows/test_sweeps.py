"""The periodic sweeps: all that is over goes, in batches, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.idempotency import IdempotentRequest
from penstock.domain.installation import MARK_KEY
from penstock.domain.uploads import UploadState
from penstock.services.retention import Retention
from penstock.workflows.sweeps import all_sweeps, sweep_schedules
from tests.support.core import HOUR

if TYPE_CHECKING:
    from tests.support.core import Core


def test_more_than_a_batch_of_everything_goes_in_one_turn(core: Core) -> None:
    acme = core.open_account()
    waiting = [core.begin(acme, idempotency=IdempotentRequest(key=f"{n}", fingerprint="")) for n in range(205)]
    done = [core.upload(acme, lifetime=HOUR) for _ in range(205)]
    kept = core.upload(acme)
    core.clock.advance(5 * HOUR)

    retention = Retention(
        core.database,
        clock=core.clock,
        events=2 * HOUR,
        idempotency=3 * HOUR,
        deliveries=4 * HOUR,
        model_uploads=5 * HOUR,
    )
    sweeps = all_sweeps(core.uploads, core.purging, core.registry, core.orphans, core.plans)
    schedules = sweep_schedules(sweeps, retention, core.deadlines)

    counts = {schedule.name: schedule.act() for schedule in schedules}

    assert counts == {
        "overdue-uploads": 205,
        "staging": 411,
        "files": 205,
        "tombstones": 0,
        "model-files": 0,
        "multiparts": 0,
        "orphans": 0,
        "overdue-runs": 0,
        "events": 206,
        "idempotency-keys": 205,
        "deliveries": 0,
        "model-uploads": 0,
    }
    assert {core.uploads.get(acme, upload.id).state for upload in waiting} == {UploadState.EXPIRED}
    assert core.assets.many(acme, tuple(asset.id for asset in done)) == {}
    assert core.keys() == [kept.object_key, MARK_KEY]
    assert [schedule.act() for schedule in schedules] == [0] * 12
    assert core.events(acme, waiting[0].id) == ["upload.expired"]
    assert core.events(acme, done[0].id) == []
    core.clock.advance(3 * HOUR)
    assert [schedule.act() for schedule in schedules] == [0, 0, 0, 0, 0, 0, 0, 0, 205, 0, 0, 0]
