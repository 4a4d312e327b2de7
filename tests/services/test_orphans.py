"""Orphans: what nothing leads to goes, once it is sure that this database is the one that would know."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import ObjectStoreUnavailable
from penstock.domain.installation import MARK_KEY
from penstock.domain.model_uploads import Phase
from penstock.domain.uploads import UploadMethod
from penstock.services.orphans import AGE, MULTIPART_AGE
from tests.support.core import HOUR, PNG, POLICY
from tests.support.records import make_asset, make_model_file, make_model_upload

if TYPE_CHECKING:
    from tests.support.core import Core

TICK = timedelta(microseconds=1)


def leave(core: Core, *keys: str) -> None:
    for key in keys:
        core.objects.put(key, PNG, size=len(PNG), content_type="image/png")


def mark(core: Core) -> dict[str, object]:
    told: dict[str, object] = json.loads(core.objects.peek(MARK_KEY, length=1000)[1])
    return told


def settle(core: Core) -> None:
    """The bucket is ours, and everything in it is old."""
    assert core.orphans.sweep() == 0
    core.clock.advance(AGE)


def found(core: Core) -> list[str]:
    return [info.key for info in core.orphans.find()]


def test_what_nothing_leads_to_goes_when_it_is_old_enough(core: Core) -> None:
    core.orphans.sweep()
    leave(core, "assets/lost", "models/lost", "staging/lost", "thumbs/lost", "something-else")

    core.clock.advance(AGE - TICK)
    assert (found(core), core.orphans.sweep()) == ([], 0)
    core.clock.advance(TICK)
    assert found(core) == ["assets/lost", "models/lost", "staging/lost", "thumbs/lost"]
    assert core.orphans.obstacle() is None
    assert core.orphans.sweep() == 4

    assert core.keys() == [MARK_KEY, "something-else"]
    assert core.orphans.sweep() == 0


def test_what_a_row_leads_to_stays(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    core.orphans.sweep()
    kept, trashed, waiting = core.upload(acme), core.upload(acme), core.begin(acme)
    core.assets.delete(acme, trashed.id)
    core.put(waiting)
    shown = make_asset(7, acme, object_key="assets/shown", thumbnail_key="thumbs/shown")
    with core.database.write() as tx:
        tx.assets.add(shown)
    weights, coming = make_model_file(8, acme), make_model_upload(9, acme)
    with core.database.write() as tx:
        tx.model_files.add(weights)
        tx.model_uploads.add(coming)
    leave(core, "assets/shown", "thumbs/shown", f"assets/{waiting.id}-in-parts")
    leave(core, weights.original_key, weights.optimized_key, weights.manifest_key, f"models/{coming.file_id}/original")
    before = core.keys()

    core.clock.advance(2 * AGE)

    assert found(core) == []
    assert core.orphans.sweep() == 0
    assert core.keys() == before
    assert core.assets.get(acme, kept.id) == kept


def test_the_leftovers_of_an_upload_that_is_over_go(core: Core) -> None:
    acme = core.open_account()
    core.orphans.sweep()
    upload = core.begin(acme)
    core.uploads.abort_upload(acme, upload.id)
    core.clock.advance(4 * HOUR)
    assert core.uploads.sweep_staging(limit=5) == 1
    leave(core, upload.staging_key, f"assets/{upload.id}-late")

    core.clock.advance(AGE)

    assert core.orphans.sweep() == 2


def test_an_object_whose_asset_was_purged_before_it_came_goes(core: Core) -> None:
    acme = core.open_account()
    core.orphans.sweep()
    asset = core.upload(acme, lifetime=HOUR)
    core.clock.advance(5 * HOUR)
    core.purging.purge(limit=5)
    core.uploads.sweep_staging(limit=5)
    leave(core, asset.object_key)

    core.clock.advance(AGE)

    assert found(core) == [asset.object_key]


# --- whose bucket


def test_an_empty_bucket_becomes_ours(core: Core) -> None:
    assert core.orphans.obstacle() is None
    core.orphans.sweep()

    with core.database.read() as tx:
        ours = tx.installation.mark()
    assert ours is not None
    assert mark(core) == {"id": ours.id, "generation": ours.generation}


def test_a_bucket_in_which_we_know_everything_becomes_ours(core: Core) -> None:
    acme = core.open_account()
    core.upload(acme)

    settle(core)
    leave(core, "assets/lost")
    core.clock.advance(AGE)

    assert core.orphans.sweep() == 1


@pytest.mark.parametrize("age", [timedelta(0), 10 * AGE])
def test_an_unmarked_bucket_with_a_stranger_in_it_is_left_alone(core: Core, age: timedelta) -> None:
    leave(core, "assets/strange")
    core.clock.advance(age)

    assert "no mark" in (core.orphans.obstacle() or "")
    assert core.orphans.sweep() == 0

    assert core.keys() == ["assets/strange"]


def test_a_mark_that_cannot_be_read_is_not_ours(core: Core) -> None:
    core.orphans.sweep()
    core.objects.put(MARK_KEY, b"{", size=1, content_type="text/plain")
    leave(core, "assets/lost")
    core.clock.advance(AGE)

    assert "another installation" in (core.orphans.obstacle() or "")
    assert core.orphans.sweep() == 0


def test_another_installations_bucket_is_left_alone_until_it_is_adopted(core: Core) -> None:
    data = json.dumps({"id": "0" * 32, "generation": 7}).encode()
    core.objects.put(MARK_KEY, data, size=len(data), content_type="application/json")
    leave(core, "assets/theirs")
    core.clock.advance(AGE)

    assert "another installation" in (core.orphans.obstacle() or "")
    assert core.orphans.sweep(confirmed=True) == 0
    assert core.keys() == ["assets/theirs", MARK_KEY]

    core.orphans.adopt()
    assert core.orphans.obstacle() is None
    assert core.orphans.sweep() == 1


def test_a_database_put_back_to_an_earlier_state_removes_nothing_unasked(core: Core) -> None:
    core.orphans.sweep()
    with core.database.write() as tx:
        behind = tx.installation.mark()
    assert behind is not None
    data = json.dumps({"id": behind.id, "generation": behind.generation + 1}).encode()
    core.objects.put(MARK_KEY, data, size=len(data), content_type="application/json")
    leave(core, "assets/newer-than-the-backup")
    core.clock.advance(AGE)

    assert "restored from a backup" in (core.orphans.obstacle() or "")
    assert core.orphans.sweep() == 0
    core.orphans.adopt()
    assert core.orphans.sweep() == 1


def test_each_round_leaves_the_marks_alike_and_higher(core: Core) -> None:
    core.orphans.sweep()
    first = mark(core)
    core.orphans.sweep()
    second = mark(core)

    assert first["id"] == second["id"]
    assert isinstance(first["generation"], int)
    assert second["generation"] == first["generation"] + 1


def test_a_round_that_breaks_off_between_the_marks_does_not_lock_us_out(core: Core) -> None:
    core.orphans.sweep()

    def fail() -> None:
        core.objects.before.clear()
        raise ObjectStoreUnavailable("no answer")

    core.objects.before["put"] = fail
    with pytest.raises(ObjectStoreUnavailable):
        core.orphans.sweep()

    leave(core, "assets/lost")
    core.clock.advance(AGE)
    assert core.orphans.sweep() == 1


def test_many_orphans_wait_for_an_operators_word(core: Core) -> None:
    settle(core)
    leave(core, *(f"assets/lost-{number}" for number in range(101)))
    core.clock.advance(AGE)

    assert "101 of 101" in (core.orphans.obstacle() or "")
    assert core.orphans.sweep() == 0
    assert len(core.keys("assets/")) == 101
    assert core.orphans.sweep(confirmed=True) == 101
    assert core.keys("assets/") == []


def test_telling_changes_nothing(core: Core) -> None:
    core.orphans.sweep()
    leave(core, "assets/lost")
    core.clock.advance(AGE)
    before = (core.keys(), mark(core))
    for verb in ("put", "copy", "delete"):
        core.objects.before[verb] = pytest.fail

    list(core.plans.orphans())
    core.orphans.obstacle()

    assert (core.keys(), mark(core)) == before


# --- uploads in parts


def begin_in_the_store(core: Core, key: str) -> str:
    multipart = core.objects.multiparts.begin(key, content_type="image/png")
    core.objects.multiparts.put_part(key, multipart, 1, PNG)
    return multipart


def under_way(core: Core) -> list[str]:
    return [multipart.upload_id for multipart in core.objects.multiparts.all("")]


def test_uploads_in_parts_that_nobody_goes_on_with_are_aborted_when_they_are_old(core: Core) -> None:
    core.orphans.sweep()
    lost = {begin_in_the_store(core, key) for key in ("assets/lost", "staging/lost")}
    foreign = begin_in_the_store(core, "something-else")

    core.clock.advance(MULTIPART_AGE - TICK)
    assert (list(core.orphans.find_multiparts()), core.orphans.sweep_multiparts()) == ([], 0)
    core.clock.advance(TICK)
    assert {multipart.upload_id for multipart in core.orphans.find_multiparts()} == lost
    assert core.orphans.multipart_obstacle() is None
    assert core.orphans.sweep_multiparts() == 2

    assert under_way(core) == [foreign]
    assert core.orphans.sweep_multiparts() == 0


def test_only_the_one_that_a_pending_upload_goes_on_with_stays(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    core.orphans.sweep()
    long = replace(POLICY, multipart_ttl=timedelta(days=7), max_multipart_bytes=2**30)
    waiting, over = (core.begin(acme, method=UploadMethod.MULTIPART, policy=long) for _ in range(2))
    for upload in (waiting, over):
        core.uploads.parts.sign(acme, upload.id, [1])
    assert waiting.final_key is not None
    wanted = core.uploads.get(acme, waiting.id).store_upload_id
    begin_in_the_store(core, waiting.final_key)  # its answer was lost
    core.objects.before["abort"] = _fail
    core.uploads.abort_upload(acme, over.id)
    core.objects.before.clear()
    core.clock.advance(MULTIPART_AGE)

    assert core.orphans.sweep_multiparts() == 2

    assert under_way(core) == [wanted]


def test_parts_of_a_model_stay_while_its_upload_goes_on(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    core.orphans.sweep()
    coming = make_model_upload(9, acme)
    over = make_model_upload(10, acme, phase=Phase.FAILED, finished_at=core.clock.now())
    with core.database.write() as tx:
        tx.model_uploads.add(coming)
        tx.model_uploads.add(over)
    wanted = begin_in_the_store(core, f"models/{coming.file_id}/original")
    begin_in_the_store(core, f"models/{over.file_id}/original")
    core.clock.advance(MULTIPART_AGE)

    assert core.orphans.sweep_multiparts() == 1

    assert under_way(core) == [wanted]


def test_in_a_bucket_that_is_not_ours_uploads_in_parts_go_on(core: Core) -> None:
    settle(core)
    other = begin_in_the_store(core, "assets/other")
    core.objects.put(MARK_KEY, b"{}", size=2, content_type="application/json")
    core.clock.advance(MULTIPART_AGE)

    assert core.orphans.multipart_obstacle() is not None
    assert core.orphans.sweep_multiparts() == 0

    assert under_way(core) == [other]


def _fail() -> None:
    raise ObjectStoreUnavailable("the store does not answer")
