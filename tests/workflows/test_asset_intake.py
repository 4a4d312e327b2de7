"""Intake: the hash of bytes that the store did not measure, whatever becomes of the asset meanwhile."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.assets import IntakeState, event_subject
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.domain.ids import AssetId, UploadId
from penstock.domain.jobs import LEASE
from penstock.domain.media_facts import MediaFacts
from penstock.domain.uploads import UploadState
from penstock.ports.jobs import LeaseLostError
from penstock.ports.media import Inspection
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


# --- looking into media


def looked_into(core: Core) -> tuple[AccountId, Asset]:
    """A picture of a store that tells hashes, after its intake."""
    acme = core.open_account()
    asset = core.upload(acme)
    assert core.intake_worker.drain() == 1
    return acme, core.assets.get(acme, asset.id)


def test_a_picture_gets_its_facts_and_its_thumbnail(core: Core) -> None:
    acme, asset = looked_into(core)

    assert core.inspector.looks == [("image/png", len(PNG), True, PNG)]
    assert (asset.facts, asset.intake_problem) == (MediaFacts(width=4, height=3), None)
    assert asset.intake is IntakeState.DONE
    assert b"".join(core.objects.read(str(asset.thumbnail_key))) == b"RIFF-a-thumbnail"
    assert core.events(acme, event_subject(asset.id)) == ["asset.ready"]


def test_an_upload_is_ready_before_its_file_was_looked_into(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)

    assert state_of(core, acme, asset) is UploadState.READY
    assert (asset.intake, asset.facts) == (IntakeState.PENDING, None)


def test_what_has_a_hash_and_nothing_to_show_gets_no_job(core: Core) -> None:
    acme = core.open_account()

    asset = core.upload(acme, b"just words", filename="a.txt", content_type="text/plain")

    assert asset.intake is IntakeState.DONE
    assert not core.has_jobs(INTAKE_JOB)


def test_of_a_large_file_both_ends_are_looked_into(core: Core) -> None:
    data = PNG + bytes(6000) + b"its end"
    acme = core.open_account()
    core.upload(acme, data)
    assert core.intake_worker.drain() == 1

    ((_, size, complete, copy),) = core.inspector.looks
    assert (size, complete, len(copy)) == (len(data), False, len(data))
    assert (copy[:1000], copy[-500:]) == (data[:1000], data[-500:])


def test_a_file_that_cannot_be_seen_is_kept_with_the_reason(core: Core) -> None:
    core.inspector.sight = Inspection(problem="it is broken")

    _, asset = looked_into(core)

    assert (asset.intake, asset.intake_problem, asset.thumbnail_key) == (IntakeState.DONE, "it is broken", None)
    assert core.keys("thumbs/") == []


def test_bytes_that_are_lost_are_a_reason_too(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)
    core.objects.delete([asset.object_key])

    assert core.intake_worker.drain() == 1

    assert core.assets.get(acme, asset.id).intake_problem == "the file is not in the store"


def test_a_deleted_file_is_looked_into_as_well_for_it_may_come_back(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)
    core.assets.delete(acme, asset.id)

    assert core.intake_worker.drain() == 1

    with core.database.read() as tx:
        assert tx.assets.held(acme, asset.id).thumbnail_key == f"thumbs/{asset.id}"


def test_a_file_that_is_purged_while_it_is_looked_into_leaves_no_thumbnail(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)

    def purge() -> None:
        with core.database.write() as tx:
            tx.assets.replace(replace(asset, purged_at=core.clock.now()))

    core.inspector.before = purge

    assert core.intake_worker.drain() == 1

    assert core.keys("thumbs/") == []
    assert not core.has_jobs(INTAKE_JOB)


def test_a_late_worker_leaves_the_thumbnail_that_another_file_shares(core: Core) -> None:
    acme = core.open_account()
    first = core.upload(acme)
    late = core.claim(INTAKE_JOB)
    core.clock.advance(LEASE)
    core.intake.run(core.claim(INTAKE_JOB))
    second = core.begin(acme, size=len(PNG), sha256=SHA256)
    core.assets.delete(acme, first.id, permanent=True)
    core.clock.advance(HOUR)
    assert core.purging.purge(limit=10) == 1

    with pytest.raises(LeaseLostError):
        core.intake.run(late)

    shared = core.assets.get(acme, AssetId(second.id))
    assert shared.thumbnail_key in core.keys("thumbs/")


def test_looking_that_a_stop_of_the_server_interrupts_is_no_failure(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)
    core.inspector.before = core.interrupt.set

    assert core.intake_worker.drain() == 1

    core.inspector.before = lambda: None
    core.interrupt.clear()
    core.clock.advance(HOUR)
    job = core.claim(INTAKE_JOB)
    core.intake.run(job)
    assert job.failures == 0
    assert core.assets.get(acme, asset.id).intake is IntakeState.DONE


MOMENTS = ["measuring", "copying", "looking", "before the thumbnail", "after the thumbnail", "settling"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_at_any_moment_ends_in_the_same_state(core: Core, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        raise Crash

    def die_at_second_read() -> None:
        if core.objects.calls["read"] > 1:
            raise Crash

    acme, asset = admitted(core)
    if moment == "measuring":
        core.objects.before["read"] = die
    elif moment == "copying":
        core.objects.before["read"] = die_at_second_read
    elif moment == "looking":
        core.inspector.before = die
    elif moment == "before the thumbnail":
        core.objects.before["put"] = die
    elif moment == "after the thumbnail":
        core.objects.after_put = die
    else:
        core.objects.after_put = lambda: monkeypatch.setattr(core.clock, "now", die)
    with pytest.raises(Crash):
        core.intake_worker.drain()

    monkeypatch.undo()
    core.objects.before.clear()
    core.objects.after_put = core.inspector.before = lambda: None
    core.clock.advance(LEASE)
    assert core.intake_worker.drain() == 1

    done = core.assets.get(acme, asset.id)
    assert (done.sha256, done.facts, done.intake) == (SHA256, MediaFacts(width=4, height=3), IntakeState.DONE)
    assert (done.intake_problem, core.keys("thumbs/")) == (None, [done.thumbnail_key])
    assert core.events(acme, event_subject(asset.id)) == ["asset.ready"]
    assert core.events(acme, asset.id) == ["upload.stored", "upload.ready"]
    assert state_of(core, acme, asset) is UploadState.READY
    assert not core.has_jobs(INTAKE_JOB)
