"""Uploads: begun once per key, admitted once whoever asks how often, and ended when nothing came."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.domain.errors import (
    AssetNotFound,
    FileNotStored,
    FileSizeMismatch,
    FileTooLarge,
    FileTypeMismatch,
    FolderNotFound,
    IdempotencyMismatch,
    IllegalTransition,
    InvalidField,
    ObjectStoreUnavailable,
    UploadNotCompletable,
    UploadNotFound,
)
from penstock.domain.idempotency import IdempotentRequest
from penstock.domain.ids import AccountId, AssetId, FolderId, UploadId
from penstock.domain.media_types import Kind
from penstock.domain.uploads import SizePolicy, TypePolicy, Upload, UploadState
from tests.support.core import HOUR, PNG, POLICY, at_once
from tests.support.records import uuid_text

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from tests.support.core import Core

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
EXACT = replace(POLICY, size_policy=SizePolicy.EXACT)
ADVISORY = replace(POLICY, size_policy=SizePolicy.ADVISORY)
REFUSING = replace(POLICY, type_policy=TypePolicy.REFUSE)
TICK = timedelta(microseconds=1)


def state_of(core: Core, upload: Upload) -> UploadState:
    return core.uploads.get(upload.account_id, upload.id).state


def bytes_of(core: Core, asset: Asset) -> bytes:
    return b"".join(core.objects.read(asset.object_key))


# --- begin


def test_a_new_upload_waits_for_its_bytes(core: Core) -> None:
    acme = core.open_account()

    upload = core.begin(acme, filename="../Фото №1.JPG", content_type="image/jpeg", size=len(JPEG))

    assert core.uploads.get(acme, upload.id) == upload
    assert (upload.state, upload.name, upload.asset_id) == (UploadState.PENDING, "Фото №1.JPG", None)
    assert upload.media_key.endswith("-_No1.JPG")
    assert HOUR - timedelta(seconds=1) < upload.expires_at - core.clock.now() <= HOUR
    assert core.keys() == []


@pytest.mark.parametrize(
    ("declared", "error"), [({"size": 10_001}, FileTooLarge), ({"content_type": "x"}, InvalidField)]
)
def test_a_refused_declaration_leaves_nothing(core: Core, declared: dict[str, Any], error: type[Exception]) -> None:
    acme = core.open_account()

    with pytest.raises(error):
        core.begin(acme, **declared)

    assert core.uploads.page(acme, cursor=None, limit=10).items == []


def test_the_signed_put_is_the_same_however_often_it_is_asked_for_and_even_when_it_is_over(core: Core) -> None:
    upload = core.begin(core.open_account(), size=5)

    first = core.uploads.signed_put(upload)
    core.clock.advance(2 * HOUR)

    assert core.uploads.signed_put(upload) == first


def test_the_signed_put_binds_what_the_policy_says(core: Core) -> None:
    acme = core.open_account()

    exact = core.uploads.signed_put(core.begin(acme, size=5))
    unknown = core.uploads.signed_put(core.begin(acme, size=None))
    advisory = core.uploads.signed_put(core.begin(acme, size=5, policy=ADVISORY))

    assert "content-length" in exact.url
    assert "max-length" not in exact.url
    assert "content-length" not in unknown.url
    assert "x-penstock-max-length=10000" in unknown.url
    assert "content-length" not in advisory.url
    assert "x-penstock-max-length=10000" in advisory.url


def test_a_put_may_leave_the_type_open(core: Core) -> None:
    upload = core.begin(core.open_account())

    bound, open_ = core.uploads.signed_put(upload), core.uploads.signed_put(upload, binds_type=False)

    assert "SignedHeaders=content-type%3Bhost" in bound.url
    assert "SignedHeaders=host&" in f"{open_.url}&"


def test_one_idempotency_key_begins_one_upload(core: Core) -> None:
    acme = core.open_account()
    same = IdempotentRequest(key="k", fingerprint="f")

    first = core.begin(acme, idempotency=same)
    core.clock.advance(HOUR)
    again = core.begin(acme, idempotency=same)

    assert again == first
    assert len(core.uploads.page(acme, cursor=None, limit=10).items) == 1


def test_an_idempotency_key_used_for_another_request_has_no_effect(core: Core) -> None:
    acme = core.open_account()
    core.begin(acme, idempotency=IdempotentRequest(key="k", fingerprint="f"))

    with pytest.raises(IdempotencyMismatch):
        core.begin(acme, idempotency=IdempotentRequest(key="k", fingerprint="g"))

    assert len(core.uploads.page(acme, cursor=None, limit=10).items) == 1


def test_an_idempotency_key_belongs_to_its_account(core: Core) -> None:
    same = IdempotentRequest(key="k", fingerprint="f")

    first = core.begin(core.open_account("acme"), idempotency=same)
    second = core.begin(core.open_account("zenith"), idempotency=same)

    assert first.id != second.id


def test_many_at_once_with_one_key_begin_one_upload(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    same = IdempotentRequest(key="k", fingerprint="f")

    begun = at_once(20, lambda: core.begin(acme, idempotency=same))

    assert len({upload.id for upload in begun if isinstance(upload, Upload)}) == 1
    assert [error for error in begun if isinstance(error, Exception)] == []
    assert len(core.uploads.page(acme, cursor=None, limit=100).items) == 1


def test_of_two_requests_racing_for_one_key_one_is_refused(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    fingerprints = iter([str(n) for n in range(20)])

    def begin() -> Upload:
        return core.begin(acme, idempotency=IdempotentRequest(key="k", fingerprint=next(fingerprints)))

    begun = at_once(20, begin)

    assert Counter(type(outcome) for outcome in begun) == {Upload: 1, IdempotencyMismatch: 19}
    assert len(core.uploads.page(acme, cursor=None, limit=100).items) == 1


# --- complete


def test_completing_makes_the_asset_of_the_measured_bytes(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme, size=len(PNG))
    core.put(upload)

    asset = core.uploads.complete_upload(acme, upload.id)

    assert core.assets.get(acme, asset.id) == asset
    assert (str(asset.id), asset.media_key, asset.name) == (upload.id, upload.media_key, "photo.png")
    assert (asset.size, asset.content_type, asset.kind.value) == (len(PNG), "image/png", "image")
    assert asset.sha256 is not None
    assert bytes_of(core, asset) == PNG
    assert core.uploads.get(acme, upload.id).asset_id == asset.id
    assert state_of(core, upload) is UploadState.READY
    assert core.events(acme, upload.id)[-2:] == ["upload.stored", "upload.ready"]


def test_completing_again_returns_the_same_asset_and_tells_nothing_twice(core: Core) -> None:
    acme = core.open_account()
    first = core.upload(acme)
    told = core.events(acme, first.id)
    core.clock.advance(5 * HOUR)

    assert core.uploads.complete_upload(acme, UploadId(first.id)) == first
    assert core.events(acme, first.id) == told


def test_twenty_at_once_make_one_asset_one_object_and_one_event(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)

    assets = at_once(20, lambda: core.uploads.complete_upload(acme, upload.id))

    assert set(map(repr, assets)) == {repr(core.assets.get(acme, core.uploads.complete_upload(acme, upload.id).id))}
    assert len(core.keys("assets/")) == 1
    assert core.events(acme, upload.id).count("upload.stored") == 1
    assert core.events(acme, upload.id).count("upload.ready") == 1


def test_bytes_put_after_completion_change_nothing_that_anybody_reads(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)
    asset = core.uploads.complete_upload(acme, upload.id)

    core.put(upload, JPEG)

    assert core.uploads.complete_upload(acme, upload.id) == asset
    assert bytes_of(core, asset) == PNG
    assert core.assets.get(acme, asset.id).content_type == "image/png"


def test_bytes_that_are_replaced_while_they_are_looked_at_are_looked_at_again(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)

    def replace_once() -> None:
        core.objects.before.clear()
        core.put(upload, JPEG)

    core.objects.before["copy"] = replace_once

    asset = core.uploads.complete_upload(acme, upload.id)

    assert asset.size == len(JPEG)
    assert bytes_of(core, asset) == JPEG


def test_bytes_that_never_stand_still_are_not_admitted_and_can_be_later(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)
    core.objects.before["copy"] = lambda: core.put(upload)

    with pytest.raises(ObjectStoreUnavailable):
        core.uploads.complete_upload(acme, upload.id)
    core.objects.before.clear()

    assert core.uploads.complete_upload(acme, upload.id).size == len(PNG)


def test_without_bytes_there_is_nothing_to_complete_yet(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme)

    with pytest.raises(FileNotStored):
        core.uploads.complete_upload(acme, upload.id)

    assert state_of(core, upload) is UploadState.PENDING
    core.put(upload)
    assert core.uploads.complete_upload(acme, upload.id).size == len(PNG)


def test_a_store_that_does_not_answer_decides_nothing(core: Core) -> None:
    def fail() -> None:
        raise ObjectStoreUnavailable("the store does not answer")

    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)

    for verb in ("peek", "copy"):
        core.objects.before = {verb: fail}
        with pytest.raises(ObjectStoreUnavailable):
            core.uploads.complete_upload(acme, upload.id)
        assert state_of(core, upload) is UploadState.PENDING
    core.objects.before.clear()

    assert core.uploads.complete_upload(acme, upload.id).size == len(PNG)


@pytest.mark.parametrize("actual", [PNG[:-1], PNG + b"x", b""])
def test_another_size_than_the_one_that_binds_fails_the_upload_for_good(core: Core, actual: bytes) -> None:
    acme = core.open_account()
    upload = core.begin(acme, size=len(PNG), policy=EXACT)
    core.put(upload, actual)

    with pytest.raises(FileSizeMismatch) as caught:
        core.uploads.complete_upload(acme, upload.id)
    core.put(upload)
    with pytest.raises(UploadNotCompletable) as later:
        core.uploads.complete_upload(acme, upload.id)

    failed = core.uploads.get(acme, upload.id)
    assert (failed.state, failed.failure) == (UploadState.FAILED, caught.value.message)
    assert later.value.reason == caught.value.message
    assert core.events(acme, upload.id)[-1] == "upload.failed"
    assert core.keys("assets/") == []


def test_another_size_than_an_advisory_one_is_what_counts(core: Core) -> None:
    assert core.upload(core.open_account(), size=3, policy=ADVISORY).size == len(PNG)


def test_a_contradicted_type_is_refused_or_recorded_as_the_policy_says(core: Core) -> None:
    acme = core.open_account()

    recorded = core.upload(acme, JPEG, content_type="image/png")
    with pytest.raises(FileTypeMismatch):
        core.upload(acme, JPEG, content_type="image/png", policy=REFUSING)

    assert (recorded.content_type, recorded.kind) == ("image/png", Kind.IMAGE)
    assert core.objects.head(recorded.object_key).content_type == "image/png"


def test_one_of_many_tells_of_bytes_that_are_refused_and_all_are_refused(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    upload = core.begin(acme, size=1)
    core.put(upload)

    outcomes = at_once(10, lambda: core.uploads.complete_upload(acme, upload.id))

    assert {type(outcome) for outcome in outcomes} <= {FileSizeMismatch, UploadNotCompletable}
    assert core.events(acme, upload.id).count("upload.failed") == 1


def test_whoever_finds_other_bytes_after_somebody_has_completed_gets_the_asset_that_was_made(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme, size=len(PNG))
    core.put(upload)
    made: list[Asset] = []

    def somebody_else_is_quicker() -> None:
        core.objects.before.clear()
        made.append(core.uploads.complete_upload(acme, upload.id))
        core.put(upload, PNG[:-1])

    core.objects.before["peek"] = somebody_else_is_quicker

    assert core.uploads.complete_upload(acme, upload.id) == made[0]
    assert state_of(core, upload) is UploadState.READY
    assert "upload.failed" not in core.events(acme, upload.id)


def test_an_asset_that_is_gone_again_is_not_found(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)
    core.assets.delete(acme, asset.id)

    with pytest.raises(AssetNotFound):
        core.uploads.complete_upload(acme, UploadId(asset.id))


def test_a_foreign_upload_reads_like_an_unknown_one(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    upload = core.begin(acme)
    core.put(upload)

    for act in (core.uploads.get, core.uploads.complete_upload, core.uploads.abort_upload):
        with pytest.raises(UploadNotFound) as foreign:
            act(zenith, upload.id)
        with pytest.raises(UploadNotFound) as unknown:
            act(zenith, UploadId(uuid_text(7)))
        assert foreign.value.message.replace(upload.id, "…") == unknown.value.message.replace(uuid_text(7), "…")

    assert core.uploads.page(zenith, cursor=None, limit=10).items == []
    assert state_of(core, upload) is UploadState.PENDING


# --- lifetimes


def test_a_lifetime_counts_from_completion(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme, lifetime=HOUR)
    core.put(upload)
    core.clock.advance(timedelta(minutes=50))

    asset = core.uploads.complete_upload(acme, upload.id)

    assert asset.expires_at == core.clock.now() + HOUR


# --- abort


def test_a_pending_upload_can_be_given_up_once_and_for_all(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)

    given_up = core.uploads.abort_upload(acme, upload.id)

    assert given_up.state is UploadState.ABORTED
    assert core.uploads.abort_upload(acme, upload.id) == given_up
    assert core.events(acme, upload.id).count("upload.aborted") == 1
    with pytest.raises(UploadNotCompletable):
        core.uploads.complete_upload(acme, upload.id)


def test_a_completed_upload_cannot_be_given_up(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)

    with pytest.raises(IllegalTransition):
        core.uploads.abort_upload(acme, UploadId(asset.id))

    assert core.assets.get(acme, asset.id) == asset


def test_of_completing_and_giving_up_at_once_one_wins_and_the_other_says_so(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    for _ in range(10):
        upload = core.begin(acme)
        core.put(upload)
        acts = iter([core.uploads.complete_upload, core.uploads.abort_upload])

        outcomes = at_once(2, lambda acts=acts, upload=upload: next(acts)(acme, upload.id))  # type: ignore[misc]  # bound

        kinds = {type(outcome).__name__ for outcome in outcomes}
        if state_of(core, upload) is UploadState.READY:
            assert kinds == {"Asset", "IllegalTransition"}
        else:
            assert kinds == {"Upload", "UploadNotCompletable"}
            assert core.keys(f"assets/{upload.id}") == []


# --- sweeps


def test_overdue_uploads_are_admitted_when_their_bytes_came_and_end_when_none_did(core: Core) -> None:
    acme = core.open_account()
    came, nothing, wrong, young = (core.begin(acme, size=len(PNG)) for _ in range(4))
    core.put(came)
    core.put(wrong, b"x")
    core.clock.set(young.expires_at + HOUR)
    young = core.begin(acme)

    assert core.uploads.expire_overdue(limit=100) == 4
    assert core.uploads.expire_overdue(limit=100) == 0

    assert state_of(core, came) is UploadState.READY
    assert core.assets.get(acme, core.uploads.complete_upload(acme, came.id).id).size == len(PNG)
    assert state_of(core, nothing) is UploadState.EXPIRED
    assert core.events(acme, nothing.id)[-1] == "upload.expired"
    assert state_of(core, wrong) is UploadState.FAILED
    assert state_of(core, young) is UploadState.PENDING


def test_an_upload_is_not_overdue_while_a_put_may_still_be_under_way(core: Core) -> None:
    upload = core.begin(core.open_account())
    core.clock.set(upload.expires_at + HOUR - TICK)

    assert core.uploads.expire_overdue(limit=100) == 0
    assert state_of(core, upload) is UploadState.PENDING


def test_an_upload_that_ended_without_bytes_cannot_be_completed_by_bytes_that_come_too_late(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    core.clock.set(upload.expires_at + HOUR)
    core.uploads.expire_overdue(limit=100)

    core.put(upload)

    with pytest.raises(UploadNotCompletable, match="no bytes arrived in time"):
        core.uploads.complete_upload(acme, upload.id)


def test_one_upload_that_cannot_be_settled_does_not_keep_the_others(core: Core) -> None:
    acme = core.open_account()
    restless, nothing = core.begin(acme), core.begin(acme)
    core.put(restless)
    core.objects.before["copy"] = lambda: core.put(restless)
    core.clock.set(nothing.expires_at + HOUR)

    with pytest.raises(ObjectStoreUnavailable):
        core.uploads.expire_overdue(limit=100)

    assert state_of(core, nothing) is UploadState.EXPIRED
    assert state_of(core, restless) is UploadState.PENDING


def test_staging_objects_go_once_nothing_can_write_them_any_more(core: Core) -> None:
    acme = core.open_account()
    done, pending = core.begin(acme), core.begin(acme)
    core.put(done)
    core.put(pending)
    core.uploads.complete_upload(acme, done.id)

    core.clock.set(done.expires_at + 2 * HOUR - TICK)
    assert core.uploads.sweep_staging(limit=100) == 0
    core.clock.advance(TICK)
    assert core.uploads.sweep_staging(limit=100) == 1
    assert core.uploads.sweep_staging(limit=100) == 0

    assert core.keys("staging/") == [pending.staging_key]
    assert bytes_of(core, core.uploads.complete_upload(acme, done.id)) == PNG


def test_a_sweep_that_breaks_off_is_finished_by_the_next(core: Core) -> None:
    def fail() -> None:
        raise ObjectStoreUnavailable("the store does not answer")

    asset = core.upload(core.open_account())
    core.clock.advance(4 * HOUR)
    core.objects.before["delete"] = fail

    with pytest.raises(ObjectStoreUnavailable):
        core.uploads.sweep_staging(limit=100)
    core.objects.before.clear()

    assert core.uploads.sweep_staging(limit=100) == 1
    assert core.keys() == [asset.object_key]


# --- listings


def test_every_upload_that_was_there_all_along_is_listed_once_while_others_come(core: Core) -> None:
    acme = core.open_account()
    there: list[str] = []
    for _ in range(25):
        core.clock.advance(timedelta(milliseconds=1) if len(there) % 3 else timedelta(0))
        there.append(core.begin(acme).id)
    seen: list[str] = []
    cursor: str | None = None

    for _ in range(20):
        page = core.uploads.page(acme, cursor=cursor, limit=7)
        seen += [upload.id for upload in page.items]
        core.clock.advance(timedelta(milliseconds=1))
        core.begin(acme)
        cursor = page.next_cursor
        if cursor is None:
            break

    assert cursor is None
    assert sorted(seen) == sorted(there)


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_page_has_one_to_a_hundred_items(core: Core, limit: int) -> None:
    with pytest.raises(InvalidField) as caught:
        core.uploads.page(AccountId("acme"), cursor=None, limit=limit)

    assert caught.value.path == ("limit",)


# --- confirmation


def test_nobody_but_its_owner_makes_an_asset_of_an_upload_that_is_to_be_confirmed(core: Core) -> None:
    acme = core.open_account()
    confirmed = replace(POLICY, confirm_within=24 * HOUR)
    used, late = core.begin(acme, policy=confirmed), core.begin(acme, policy=confirmed)
    for upload in (used, late):
        core.put(upload)

    with pytest.raises(FileNotStored):
        core.uploads.use_upload(acme, used.id)
    with pytest.raises(AssetNotFound):
        core.assets.first_use(acme, AssetId(used.id))
    with pytest.raises(AssetNotFound):
        core.assets.by_media_key(used.media_key)
    core.clock.advance(23 * HOUR)
    assert core.uploads.expire_overdue(limit=10) == 0
    asset = core.uploads.complete_upload(acme, used.id)
    assert core.uploads.use_upload(acme, used.id) == core.assets.first_use(acme, asset.id) == asset

    core.clock.advance(3 * HOUR)
    assert [found.reason for found in core.plans.uploads()] == ["it was not confirmed in time"]
    assert core.uploads.expire_overdue(limit=10) == 1
    assert core.uploads.get(acme, late.id).failure == "it was not confirmed in time"
    with pytest.raises(UploadNotCompletable):
        core.uploads.complete_upload(acme, late.id)


# --- where it goes


def test_who_completes_an_upload_may_say_where_its_asset_goes(core: Core) -> None:
    acme = core.open_account()
    declared, wanted = (core.folders.create(acme, name, None).id for name in ("declared", "wanted"))
    upload = core.begin(acme, folder_id=declared)
    core.put(upload)

    with pytest.raises(FolderNotFound):
        core.uploads.complete_upload(acme, upload.id, folder_id=FolderId(uuid_text(7)))
    assert state_of(core, upload) is UploadState.PENDING

    assert core.uploads.complete_upload(acme, upload.id, folder_id=wanted).folder_id == wanted
    assert core.uploads.complete_upload(acme, upload.id, folder_id=declared).folder_id == wanted
