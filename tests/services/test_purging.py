"""Purging: shared bytes go with the last who shares them, and a plan tells beforehand exactly what goes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import AssetNotFound, ObjectStoreUnavailable
from penstock.domain.ids import RunId
from penstock.services.purging import Purging
from tests.support.core import HOUR, PNG, TOMBSTONES, TRASH, at_once
from tests.support.records import make_asset

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from tests.support.core import Core

DAY = timedelta(days=1)


def add(core: Core, account_id: AccountId, number: int, **fields: object) -> Asset:
    """An asset whose objects are there; several may name the same."""
    asset = make_asset(number, account_id, **fields)
    for key in {asset.object_key, asset.thumbnail_key} - {None}:
        core.objects.put(str(key), PNG, size=len(PNG), content_type="image/png")
    with core.database.write() as tx:
        tx.assets.add(asset)
    return asset


def shared(core: Core, account_id: AccountId, *ends: timedelta | None) -> list[Asset]:
    """Assets of the same bytes and thumbnail that end so long from now."""
    now = core.clock.now()
    return [
        add(
            core,
            account_id,
            number,
            object_key="assets/same",
            thumbnail_key="thumbs/same",
            expires_at=None if end is None else now + end,
        )
        for number, end in enumerate(ends, start=1)
    ]


def planned(core: Core) -> dict[str, tuple[str, ...]]:
    return {finding.id: finding.keys for finding in core.plans.files()}


def purge_all(core: Core) -> int:
    total = 0
    while count := core.purging.purge(limit=3):
        total += count
    return total


def test_shared_bytes_stay_until_the_last_who_shares_them_goes(core_on_each_database: Core) -> None:
    core = core_on_each_database
    shared(core, core.open_account(), HOUR, 2 * HOUR, None)

    core.clock.advance(DAY)
    assert set(planned(core).values()) == {()}
    assert purge_all(core) == 2

    assert core.keys() == ["assets/same", "thumbs/same"]


def test_shared_bytes_go_once_with_the_last_of_those_who_go_together(core_on_each_database: Core) -> None:
    core = core_on_each_database
    first, second, last = shared(core, core.open_account(), HOUR, HOUR, 2 * HOUR)

    core.clock.advance(DAY)
    told = planned(core)

    assert told == {first.id: (), second.id: (), last.id: ("assets/same", "thumbs/same")}
    assert purge_all(core) == 3
    assert core.keys() == []


def test_a_lease_on_one_asset_keeps_the_bytes_of_all(core: Core) -> None:
    held, other = shared(core, core.open_account(), HOUR, HOUR)
    with core.database.write() as tx:
        tx.assets.lease(RunId("run"), [held.id])

    core.clock.advance(DAY)
    assert planned(core) == {other.id: ()}
    assert purge_all(core) == 1
    assert core.keys() == ["assets/same", "thumbs/same"]

    with core.database.write() as tx:
        tx.assets.release(RunId("run"))
    assert planned(core) == {held.id: ("assets/same", "thumbs/same")}
    assert purge_all(core) == 1
    assert core.keys() == []


def test_two_who_purge_at_once_leave_nothing_and_lose_nothing(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    kept = core.upload(acme)
    shared(core, acme, HOUR, HOUR, HOUR, HOUR)
    core.clock.advance(DAY)

    at_once(4, lambda: core.purging.purge(limit=1))
    purge_all(core)

    assert core.keys("assets/") == [kept.object_key]
    assert core.keys("thumbs/") == []


@pytest.mark.parametrize("steps", ["mark", "remove"])
def test_what_got_stuck_goes_with_the_next_purge(core: Core, steps: str) -> None:
    """The store fails before or after it has removed; the next round finds the assets by their mark."""
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)
    core.clock.advance(5 * HOUR)

    def fail() -> None:
        core.objects.before.clear()
        if steps == "remove":
            core.objects.delete([asset.object_key])
        raise ObjectStoreUnavailable("the store does not answer")

    core.objects.before["delete"] = fail
    with pytest.raises(ObjectStoreUnavailable):
        core.purging.purge(limit=10)

    assert planned(core) == {asset.id: (asset.object_key,)}
    assert core.purging.purge(limit=10) == 1
    assert core.keys("assets/") == []
    assert core.purging.purge(limit=10) == 0


def test_the_plans_tell_what_the_sweeps_then_do(core: Core) -> None:
    acme = core.open_account()
    expired, trashed, kept = core.upload(acme, lifetime=HOUR), core.upload(acme), core.upload(acme)
    waiting, sent = core.begin(acme), core.begin(acme)
    core.put(sent)
    core.assets.delete(acme, trashed.id)
    core.clock.advance(TRASH + 3 * HOUR)
    for verb in ("put", "copy", "delete"):
        core.objects.before[verb] = pytest.fail

    files = {finding.id: finding for finding in core.plans.files()}
    uploads = {finding.id: finding for finding in core.plans.uploads()}
    staging = {finding.id: finding for finding in core.plans.staging()}

    core.objects.before.clear()
    assert {found.id: (found.reason, found.size) for found in files.values()} == {
        expired.id: ("expired", len(PNG)),
        trashed.id: ("deleted", len(PNG)),
    }
    assert list(uploads) == [waiting.id]
    assert {key for found in staging.values() for key in found.keys} == {
        f"staging/{asset.upload_id}" for asset in (expired, trashed, kept)
    }
    before = set(core.keys())
    core.uploads.sweep_staging(limit=10)
    purge_all(core)
    assert before - set(core.keys()) == {key for plan in (files, staging) for f in plan.values() for key in f.keys}
    assert core.uploads.expire_overdue(limit=10) == 2
    assert core.uploads.get(acme, waiting.id).state.value == "expired"
    assert core.uploads.get(acme, sent.id).asset_id is not None


def test_a_plan_of_many_pages_tells_each_thing_once(core: Core) -> None:
    acme = core.open_account()
    many = [
        make_asset(number, acme, expires_at=core.clock.now() + timedelta(seconds=number // 150))
        for number in range(450)
    ]
    with core.database.write() as tx:
        for asset in many:
            tx.assets.add(asset)
    core.clock.advance(DAY)

    told = [finding.id for finding in core.plans.files()]

    assert sorted(told) == sorted(asset.id for asset in many)
    while core.purging.purge(limit=200):
        pass
    core.clock.advance(TOMBSTONES)
    assert sorted(finding.id for finding in core.plans.tombstones()) == sorted(told)


def test_without_tombstones_nothing_is_remembered(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)
    core.clock.advance(5 * HOUR)

    forgetful = Purging(core.database, core.objects, clock=core.clock, tombstones=timedelta(0))

    assert forgetful.purge(limit=10) == 1
    assert forgetful.purge(limit=10) == 0
    with core.database.read() as tx, pytest.raises(AssetNotFound):
        tx.asset_sweeps.known(acme, asset.id)
