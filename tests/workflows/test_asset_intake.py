"""Intake: the hash of bytes that the store did not measure, whatever becomes of the asset meanwhile."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.assets import IntakeState
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.domain.ids import UploadId
from penstock.domain.jobs import LEASE
from penstock.domain.uploads import UploadState
from penstock.ports.database import LeaseLostError
from penstock.services.intake import INTAKE_JOB
from tests.support.core import HOUR, PNG, at_once

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from tests.support.core import Core

SHA256 = hashlib.sha256(PNG).hexdigest()


class Crash(BaseException):
    """The process dies here."""


def admitted(core: Core) -> tuple[AccountId, Asset]:
    """An asset of a store that tells no hashes, and its account."""
    core.objects.tells_sha256 = False
    acme = core.open_account()
    return acme, core.upload(acme)


def state_of(core: Core, account_id: AccountId, asset: Asset) -> UploadState:
    return core.uploads.get(account_id, UploadId(asset.id)).state


def test_an_asset_is_usable_at_once_and_measured_afterwards(core: Core) -> None:
    acme, asset = admitted(core)
    assert (asset.sha256, state_of(core, acme, asset)) == (None, UploadState.STORED)
    assert core.assets.get(acme, asset.id) == asset

    assert core.intake_worker.drain() == 1

    assert core.assets.get(acme, asset.id).sha256 == SHA256
    assert state_of(core, acme, asset) is UploadState.READY
    assert core.events(acme, asset.id)[-2:] == ["upload.stored", "upload.ready"]
    assert not core.has_jobs(INTAKE_JOB)


def test_measuring_that_a_stop_of_the_server_interrupts_is_no_failure(core: Core) -> None:
    acme, asset = admitted(core)
    core.interrupt.set()
    assert core.intake_worker.drain() == 1
    assert core.assets.get(acme, asset.id).sha256 is None
    core.clock.advance(HOUR)

    core.interrupt.clear()
    job = core.claim(INTAKE_JOB)
    core.intake.run(job)

    assert job.failures == 0
    assert core.assets.get(acme, asset.id).sha256 == SHA256


def test_twenty_completions_at_once_make_one_intake(core_on_each_database: Core) -> None:
    core = core_on_each_database
    core.objects.tells_sha256 = False
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)

    at_once(20, lambda: core.uploads.complete_upload(acme, upload.id))

    assert core.intake_worker.drain() == 1
    assert core.events(acme, upload.id).count("upload.ready") == 1


@pytest.mark.parametrize("gone", ["deleted", "swept", "lost"])
def test_a_job_of_an_asset_that_is_gone_ends_quietly(core: Core, gone: str) -> None:
    acme, asset = admitted(core)
    if gone == "lost":
        core.objects.delete([asset.object_key])
    else:
        core.assets.delete(acme, asset.id, permanent=True)
    if gone == "swept":
        core.clock.advance(HOUR)
        assert core.purging.purge(limit=10) == 1

    assert core.intake_worker.drain() == 1

    assert not core.has_jobs(INTAKE_JOB)
    assert core.queue.dead(limit=10) == []


def test_an_asset_that_is_deleted_while_it_is_measured_stays_deleted(core: Core) -> None:
    acme, asset = admitted(core)
    core.objects.before["read"] = lambda: core.assets.delete(acme, asset.id)

    assert core.intake_worker.drain() == 1

    assert core.assets.many(acme, (asset.id,)) == {}
    assert not core.has_jobs(INTAKE_JOB)


def test_after_a_crash_it_goes_on_from_what_was_measured(core: Core) -> None:
    def die() -> None:
        raise Crash

    acme, asset = admitted(core)
    core.inspector.before = die
    with pytest.raises(Crash):
        core.intake_worker.drain()
    reads = core.objects.calls["read"]
    core.inspector.before = lambda: None
    core.clock.advance(LEASE)

    assert core.intake_worker.drain() == 1

    assert core.objects.calls["read"] == reads + 1  # to be looked into, not to be measured
    assert core.assets.get(acme, asset.id).sha256 == SHA256
    assert state_of(core, acme, asset) is UploadState.READY


def test_a_crash_before_anything_was_measured_repeats_the_measuring(core: Core) -> None:
    def die() -> None:
        core.objects.before.clear()
        raise Crash

    acme, asset = admitted(core)
    core.objects.before["read"] = die

    with pytest.raises(Crash):
        core.intake_worker.drain()
    core.clock.advance(LEASE)
    assert core.intake_worker.drain() == 1

    assert core.assets.get(acme, asset.id).sha256 == SHA256


def test_a_worker_that_lost_its_lease_writes_nothing(core: Core) -> None:
    acme, asset = admitted(core)
    late = core.claim(INTAKE_JOB)
    core.clock.advance(LEASE)
    core.claim(INTAKE_JOB)

    with pytest.raises(LeaseLostError):
        core.intake.run(late)

    assert core.assets.get(acme, asset.id).sha256 is None
    assert state_of(core, acme, asset) is UploadState.STORED


def test_a_store_that_is_away_is_waited_for_and_in_the_end_the_asset_stays_usable(core: Core) -> None:
    def fail() -> None:
        raise ObjectStoreUnavailable("the store does not answer")

    acme, asset = admitted(core)
    core.objects.before["read"] = fail

    for _ in range(300):
        core.intake_worker.drain()
        core.clock.advance(timedelta(minutes=16))

    assert not core.has_jobs(INTAKE_JOB)
    (dead,) = core.queue.dead(limit=10)
    core.objects.before.clear()
    given_up = core.assets.get(acme, asset.id)
    problem = "it could not be looked into: the store does not answer"
    assert given_up == replace(asset, intake=IntakeState.DONE, intake_problem=problem)
    assert core.queue.redrive(dead.id, now=core.clock.now())
    core.intake_worker.drain()
    assert core.assets.get(acme, asset.id).sha256 == SHA256
