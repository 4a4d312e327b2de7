"""Other ends than promised, and the lock between a run's lease and the end of what it takes."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import AssetNotFound
from penstock.domain.ids import RunId
from tests.support.core import HOUR, at_once

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from tests.support.core import Core

DAY = timedelta(days=1)


def test_a_promoted_asset_stays_and_no_object_is_touched(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)
    for verb in ("put", "copy", "delete", "head", "peek"):
        core.objects.before[verb] = pytest.fail

    kept = core.lifetimes.promote(acme, asset.id)
    core.clock.advance(DAY)
    core.purging.purge(limit=10)

    assert kept.expires_at is None
    assert core.assets.get(acme, asset.id) == kept


def test_an_asset_whose_time_is_over_is_not_promoted_though_a_run_holds_it(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)
    with core.database.write() as tx:
        tx.assets.lease(RunId("run"), [asset.id])
    core.clock.advance(HOUR)

    with pytest.raises(AssetNotFound):
        core.lifetimes.promote(acme, asset.id)
    with pytest.raises(AssetNotFound):
        core.lifetimes.limit(acme, asset.id, HOUR)


def test_a_promotion_and_a_purge_at_once_agree(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    for _ in range(10):
        asset = core.upload(acme, lifetime=HOUR)
        core.clock.advance(2 * HOUR)
        acts = iter([lambda: core.purging.purge(limit=10), lambda a=asset: promote_late(core, a)])

        at_once(2, lambda acts=acts: next(acts)())  # type: ignore[misc]  # bound by the default

        with core.database.read() as tx:
            known = tx.asset_sweeps.known(acme, asset.id)
        assert (known.purged_at is None) == (asset.object_key in core.keys("assets/"))
        assert (known.purged_at is None) == (known.expires_at is None)


def promote_late(core: Core, asset: Asset) -> None:
    """What `promote` does when its transaction begins long after it looked at the clock."""
    with core.database.write() as tx:
        tx.assets.replace(replace(tx.assets.get(asset.account_id, asset.id), expires_at=None))


def test_a_lease_that_is_not_committed_yet_keeps_the_bytes(core_on_each_database: Core) -> None:
    """The run saw the asset in time; a purge that comes while its transaction is open takes nothing."""
    core = core_on_each_database
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)
    core.clock.advance(DAY)
    purge = threading.Thread(target=core.purging.purge, kwargs={"limit": 10})

    with core.database.write() as tx:
        tx.assets.get(acme, asset.id)
        purge.start()
        tx.assets.lease(RunId("run"), [asset.id])
    purge.join()
    core.purging.purge(limit=10)

    assert core.keys("assets/") == [asset.object_key]
    with core.database.write() as tx:
        tx.assets.release(RunId("run"))
    assert core.purging.purge(limit=10) == 1
    assert core.keys("assets/") == []


def test_a_run_cannot_take_what_is_being_purged(core_on_each_database: Core) -> None:
    """However early the run looked at its clock: the lock decides, and it says that the bytes are going."""
    core = core_on_each_database
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)

    def dawdle() -> None:
        core.objects.before.clear()
        core.clock.advance(DAY)
        core.purging.purge(limit=10)
        core.clock.advance(-DAY)

    core.objects.before["put"] = dawdle  # the second input is kept after the first was found

    with pytest.raises(AssetNotFound):
        core.submit(acme, "acme/free", image=f"asset_{asset.id.replace('-', '')}", second="data:text/plain,hello")
