"""Uploads in parts: sent in any order, gone on with by anybody who has the key, joined once, freed when given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import (
    AssetNotFound,
    FileNotStored,
    FileTooLarge,
    FileTypeMismatch,
    InvalidField,
    ObjectStoreUnavailable,
    UploadIncomplete,
    UploadNotCompletable,
    UploadNotFound,
    WrongUploadMethod,
)
from penstock.domain.uploads import PartPolicy, TypePolicy, Upload, UploadMethod, UploadState
from tests.support.core import HOUR, PNG, POLICY, at_once

if TYPE_CHECKING:
    from penstock.domain.ids import AccountId
    from penstock.ports.objects import StoredPart
    from tests.support.core import Core

PART = 5 * 2**20
FIRST = PNG + b"\0" * (PART - len(PNG))
REST = b"the end"
LARGE = replace(POLICY, max_multipart_bytes=3 * PART)
DAY = timedelta(days=1)


def begin(core: Core, account_id: AccountId, size: int | None = PART + len(REST), **more: object) -> Upload:
    declared = {"policy": LARGE, "size": size, "method": UploadMethod.MULTIPART, "part_size": PART, **more}
    return core.begin(account_id, **declared)  # type: ignore[arg-type]  # a test names its own fields


def send(core: Core, upload: Upload, number: int, data: bytes) -> StoredPart:
    """What a client does: ask for the URL, and PUT to it."""
    signed = core.uploads.parts.sign(upload.account_id, upload.id, [number])
    assert f"partNumber={number}" in signed.urls[number]
    current = core.uploads.get(upload.account_id, upload.id)
    assert current.final_key is not None
    assert current.store_upload_id is not None
    return core.objects.multiparts.put_part(current.final_key, current.store_upload_id, number, data)


def state_of(core: Core, upload: Upload) -> UploadState:
    return core.uploads.get(upload.account_id, upload.id).state


def open_in_store(core: Core) -> int:
    return len(list(core.objects.multiparts.all("")))


def test_parts_in_any_order_become_the_asset(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 2, REST)
    send(core, upload, 1, FIRST)

    asset = core.uploads.complete_upload(upload.account_id, upload.id)

    assert b"".join(core.objects.read(asset.object_key)) == FIRST + REST
    assert (asset.size, asset.content_type) == (PART + len(REST), "image/png")
    assert core.uploads.complete_upload(upload.account_id, upload.id) == asset
    assert core.keys() == [asset.object_key]
    assert open_in_store(core) == 0


def test_beginning_an_upload_does_not_touch_the_store(core: Core) -> None:
    upload = begin(core, core.open_account())

    assert (upload.part_size, upload.store_upload_id) == (PART, None)
    assert open_in_store(core) == 0
    assert DAY - timedelta(seconds=1) <= upload.expires_at - core.clock.now() <= DAY


def test_urls_are_signed_by_the_thousand_for_an_hour_at_most(core: Core) -> None:
    upload = begin(core, core.open_account(), size=None)

    signed = core.uploads.parts.sign(upload.account_id, upload.id, range(1, 1001))

    assert list(signed.urls) == list(range(1, 1001))
    assert signed.expires_at - core.clock.now() <= HOUR
    core.clock.advance(DAY - timedelta(minutes=10))
    later = core.uploads.parts.sign(upload.account_id, upload.id, [1])
    assert later.expires_at == upload.expires_at
    assert open_in_store(core) == 1


def test_whoever_goes_on_learns_what_has_arrived(core: Core) -> None:
    upload = begin(core, core.open_account(), size=None)
    assert core.uploads.parts.arrived(upload.account_id, upload.id, after=0, limit=10) == ((), False)
    sent = [send(core, upload, number, FIRST) for number in (1, 2, 3)]

    assert core.uploads.parts.arrived(upload.account_id, upload.id, after=0, limit=10) == (sent, False)
    assert core.uploads.parts.arrived(upload.account_id, upload.id, after=1, limit=1) == (sent[1:2], True)
    assert core.uploads.parts.arrived(upload.account_id, upload.id, after=3, limit=1) == ([], False)


def test_a_missing_part_can_still_be_sent_after_completion_was_asked_for(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 2, REST)

    with pytest.raises(UploadIncomplete, match="part 1 did not arrive"):
        core.uploads.complete_upload(upload.account_id, upload.id)
    send(core, upload, 1, FIRST)

    assert core.uploads.complete_upload(upload.account_id, upload.id).size == PART + len(REST)


@pytest.mark.parametrize("sign_first", [False, True])
def test_without_a_part_there_is_no_file(core: Core, *, sign_first: bool) -> None:
    upload = begin(core, core.open_account())
    if sign_first:
        core.uploads.parts.sign(upload.account_id, upload.id, [1])

    with pytest.raises(FileNotStored):
        core.uploads.complete_upload(upload.account_id, upload.id)
    assert state_of(core, upload) is UploadState.PENDING


def test_named_parts_of_which_none_arrived_can_still_be_sent(core: Core) -> None:
    upload = begin(core, core.open_account())

    with pytest.raises(UploadIncomplete, match="none of the parts arrived"):
        core.uploads.complete_upload(upload.account_id, upload.id, parts={1: "a"})
    assert state_of(core, upload) is UploadState.PENDING


def test_a_file_of_parts_of_any_size_is_whole_when_its_owner_says_so(core: Core) -> None:
    free = replace(LARGE, part_policy=PartPolicy.ANY)
    upload = begin(core, core.open_account(), policy=free, part_size=None, size=len(FIRST) + 1 + len(REST))
    send(core, upload, 1, FIRST + b"!")
    send(core, upload, 2, REST)

    with pytest.raises(FileNotStored):
        core.uploads.admit(core.uploads.get(upload.account_id, upload.id))
    assert state_of(core, upload) is UploadState.PENDING

    asset = core.uploads.complete_upload(upload.account_id, upload.id)
    assert b"".join(core.objects.read(asset.object_key)) == FIRST + b"!" + REST


@pytest.mark.parametrize(("declared", "chosen"), [(None, HOUR), (HOUR, None), (HOUR, 2 * HOUR), (HOUR, HOUR)])
def test_the_lifetime_chosen_at_the_completion_counts(
    core: Core, declared: timedelta | None, chosen: timedelta | None
) -> None:
    upload = begin(core, core.open_account(), size=None, lifetime=declared)
    send(core, upload, 1, REST)

    asset = core.uploads.complete_upload(upload.account_id, upload.id, lifetime=chosen)

    assert asset.expires_at == (None if chosen is None else core.clock.now() + chosen)
    assert core.uploads.get(upload.account_id, upload.id).lifetime == chosen
    later = core.uploads.complete_upload(upload.account_id, upload.id, lifetime=timedelta(days=9))
    assert later.expires_at == asset.expires_at


def test_the_client_may_say_which_parts_make_the_file(core: Core) -> None:
    upload = begin(core, core.open_account(), size=None)
    first, last = send(core, upload, 1, FIRST), send(core, upload, 2, REST)
    send(core, upload, 3, b"sent in vain")

    with pytest.raises(UploadIncomplete):
        core.uploads.complete_upload(upload.account_id, upload.id)
    with pytest.raises(UploadIncomplete, match="part 2 did not arrive with that ETag"):
        core.uploads.complete_upload(upload.account_id, upload.id, parts={1: first.etag, 2: first.etag})
    asset = core.uploads.complete_upload(upload.account_id, upload.id, parts={1: first.etag, 2: last.etag})

    assert asset.size == PART + len(REST)


def test_a_part_that_is_replaced_while_they_are_joined_is_noticed(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 1, FIRST)
    send(core, upload, 2, REST)
    core.objects.before["complete"] = lambda: send(core, upload, 2, b"another")

    with pytest.raises(UploadIncomplete, match="replaced"):
        core.uploads.complete_upload(upload.account_id, upload.id)

    core.objects.before.clear()
    assert core.uploads.complete_upload(upload.account_id, upload.id).size == PART + len(REST)


def test_a_completion_whose_end_nobody_saw_is_found_by_the_next_one(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 1, FIRST)
    send(core, upload, 2, REST)

    def die() -> None:
        raise ObjectStoreUnavailable("the machine went down")

    core.objects.before["peek"] = die  # the parts are joined by then
    with pytest.raises(ObjectStoreUnavailable):
        core.uploads.complete_upload(upload.account_id, upload.id)
    core.objects.before.clear()

    assert open_in_store(core) == 0
    assert core.uploads.complete_upload(upload.account_id, upload.id).size == PART + len(REST)


@pytest.mark.parametrize("joined", [False, True])
def test_an_upload_that_nobody_completes_is_admitted_if_all_of_it_came(core: Core, *, joined: bool) -> None:
    upload = begin(core, core.open_account())
    parts = [send(core, upload, 1, FIRST), send(core, upload, 2, REST)]
    if joined:
        current = core.uploads.get(upload.account_id, upload.id)
        core.objects.multiparts.complete(current.final_key or "", current.store_upload_id or "", parts)
    core.clock.advance(DAY + 2 * HOUR)

    core.uploads.expire_overdue(limit=10)

    assert state_of(core, upload) in {UploadState.STORED, UploadState.READY}


@pytest.mark.parametrize("size", [PART + len(REST), None], ids=["a part is missing", "the size is unknown"])
def test_an_upload_that_nobody_completes_expires_and_its_parts_are_freed(core: Core, size: int | None) -> None:
    upload = begin(core, core.open_account(), size=size)
    send(core, upload, 1, FIRST)
    core.clock.advance(DAY + 2 * HOUR)

    core.uploads.expire_overdue(limit=10)
    assert state_of(core, upload) is UploadState.EXPIRED
    core.clock.advance(3 * HOUR)
    core.uploads.sweep_staging(limit=10)

    assert open_in_store(core) == 0
    assert core.keys() == []


def test_the_sweeps_plan_tells_uploads_of_which_something_is_missing(core: Core) -> None:
    acme = core.open_account()
    whole, halved, nothing, unknown = begin(core, acme), begin(core, acme), begin(core, acme), begin(core, acme, None)
    send(core, whole, 1, FIRST)
    send(core, whole, 2, REST)
    send(core, halved, 1, FIRST)
    send(core, unknown, 1, FIRST)
    core.clock.advance(DAY + HOUR)

    told = {finding.id for finding in core.plans.uploads()}

    assert told == {halved.id, nothing.id, unknown.id}
    core.uploads.expire_overdue(limit=10)
    ended = {upload.id for upload in (whole, halved, nothing, unknown) if state_of(core, upload) is UploadState.EXPIRED}
    assert ended == told


def test_giving_up_frees_the_parts_at_once(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 1, FIRST)

    core.uploads.abort_upload(upload.account_id, upload.id)

    assert open_in_store(core) == 0
    for act in (
        lambda: core.uploads.parts.sign(upload.account_id, upload.id, [1]),
        lambda: core.uploads.parts.arrived(upload.account_id, upload.id, after=0, limit=1),
        lambda: core.uploads.complete_upload(upload.account_id, upload.id),
    ):
        with pytest.raises(UploadNotCompletable):
            act()


def test_what_cannot_be_freed_while_the_store_is_down_is_freed_later(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 1, FIRST)

    def down() -> None:
        raise ObjectStoreUnavailable("down")

    core.objects.before["abort"] = down
    assert core.uploads.abort_upload(upload.account_id, upload.id).state is UploadState.ABORTED
    core.objects.before.clear()
    assert open_in_store(core) == 1
    core.clock.advance(DAY + 3 * HOUR)

    core.uploads.sweep_staging(limit=10)

    assert open_in_store(core) == 0


def test_bytes_of_another_type_are_refused_and_gone(core: Core) -> None:
    refusing = replace(LARGE, type_policy=TypePolicy.REFUSE)
    upload = begin(core, core.open_account(), policy=refusing, size=None, content_type="audio/wav", filename="a.wav")
    send(core, upload, 1, FIRST)

    with pytest.raises(FileTypeMismatch):
        core.uploads.complete_upload(upload.account_id, upload.id)

    assert state_of(core, upload) is UploadState.FAILED
    assert core.keys() == []


def test_more_bytes_than_allowed_are_refused_before_they_are_joined(core: Core) -> None:
    upload = begin(core, core.open_account(), size=None)
    for number in (1, 2, 3):
        send(core, upload, number, FIRST)
    send(core, upload, 4, REST)

    with pytest.raises(FileTooLarge):
        core.uploads.complete_upload(upload.account_id, upload.id)

    assert (open_in_store(core), core.keys()) == (0, [])


def test_completing_at_once_makes_one_asset(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 1, FIRST)
    send(core, upload, 2, REST)

    assets = at_once(4, lambda: core.uploads.complete_upload(upload.account_id, upload.id))

    assert {getattr(asset, "object_key", asset) for asset in assets} == {upload.final_key}
    assert core.keys() == [upload.final_key]


def test_asking_for_urls_at_once_begins_one_upload_in_the_store(core: Core) -> None:
    upload = begin(core, core.open_account())

    def place() -> str:
        url = core.uploads.parts.sign(upload.account_id, upload.id, [1]).urls[1]
        return url.partition("uploadId=")[2].partition("&")[0]

    assert len(set(at_once(4, place))) == 1
    assert open_in_store(core) == 1


def test_a_completion_that_loses_to_an_abort_leaves_nothing(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 1, FIRST)
    send(core, upload, 2, REST)
    core.objects.before["peek"] = lambda: core.uploads.abort_upload(upload.account_id, upload.id)

    with pytest.raises((UploadNotCompletable, FileNotStored)):
        core.uploads.complete_upload(upload.account_id, upload.id)

    assert state_of(core, upload) is UploadState.ABORTED
    assert (open_in_store(core), core.keys()) == (0, [])


def test_a_completion_that_loses_to_a_refusal_says_that_the_upload_failed(core: Core) -> None:
    refusing = replace(LARGE, type_policy=TypePolicy.REFUSE)
    upload = begin(core, core.open_account(), policy=refusing, size=None, content_type="audio/wav", filename="a.wav")
    send(core, upload, 1, FIRST)

    def somebody_else_completes() -> None:
        core.objects.before.clear()
        with pytest.raises(FileTypeMismatch):
            core.uploads.complete_upload(upload.account_id, upload.id)

    core.objects.before["parts"] = somebody_else_completes

    with pytest.raises(UploadNotCompletable, match="is failed"):
        core.uploads.complete_upload(upload.account_id, upload.id)


def test_a_part_that_was_replaced_since_is_not_what_the_client_named(core: Core) -> None:
    upload = begin(core, core.open_account())
    etags = {1: send(core, upload, 1, FIRST).etag, 2: send(core, upload, 2, REST).etag}
    send(core, upload, 1, b"\0" * PART)

    with pytest.raises(UploadIncomplete, match="part 1 did not arrive with that ETag"):
        core.uploads.complete_upload(upload.account_id, upload.id, parts=etags)

    assert state_of(core, upload) is UploadState.PENDING


def test_parts_are_of_no_use_to_an_upload_that_takes_a_put(core: Core) -> None:
    upload = core.begin(core.open_account())

    with pytest.raises(WrongUploadMethod, match="by `put`"):
        core.uploads.parts.sign(upload.account_id, upload.id, [1])


def test_a_complete_upload_takes_no_more_parts(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 1, FIRST)
    send(core, upload, 2, REST)
    core.uploads.complete_upload(upload.account_id, upload.id)

    with pytest.raises(UploadNotCompletable, match="takes no more parts"):
        core.uploads.parts.sign(upload.account_id, upload.id, [1])


def test_anothers_upload_is_not_found(core: Core) -> None:  # S22
    upload, rival = begin(core, core.open_account()), core.open_account("rival")

    with pytest.raises(UploadNotFound):
        core.uploads.parts.sign(rival, upload.id, [1])
    with pytest.raises(UploadNotFound):
        core.uploads.parts.arrived(rival, upload.id, after=0, limit=1)


def test_a_part_beyond_the_declared_size_gets_no_url(core: Core) -> None:
    upload = begin(core, core.open_account())

    with pytest.raises(InvalidField, match="1 to 2"):
        core.uploads.parts.sign(upload.account_id, upload.id, [3])


def test_a_file_larger_than_one_put_takes_may_come_in_parts(core: Core) -> None:
    acme = core.open_account()

    with pytest.raises(FileTooLarge):
        core.begin(acme, policy=LARGE, size=3 * PART)
    with pytest.raises(FileTooLarge):
        begin(core, acme, size=3 * PART + 1)
    assert begin(core, acme, size=3 * PART).declared_size == 3 * PART


def test_the_media_url_of_a_file_whose_parts_are_not_all_there_is_unknown(core: Core) -> None:
    upload = begin(core, core.open_account())
    send(core, upload, 1, FIRST)

    with pytest.raises(AssetNotFound):
        core.assets.by_media_key(upload.media_key)

    assert state_of(core, upload) is UploadState.PENDING


@pytest.mark.parametrize("number", [-5, 2, 20_000])
@pytest.mark.parametrize("etag", ['"', '""'])
def test_a_part_that_did_not_arrive_is_not_taken_for_one_with_an_empty_etag(core: Core, number: int, etag: str) -> None:
    upload = begin(core, core.open_account(), size=None)
    send(core, upload, 1, REST)

    with pytest.raises(UploadIncomplete, match=f"part {number} did not arrive with that ETag"):
        core.uploads.complete_upload(upload.account_id, upload.id, parts={number: etag})
