"""What `ports/objects.Multiparts` means, for every implementation. A test that leaves something behind fails."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.objects.memory import MemoryObjectStore
from penstock.adapters.objects.s3 import Capabilities, S3ObjectStore
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.ports.objects import MultipartGoneError, ObjectNotFoundError, PartsRefusedError, StoredPart
from tests.support.stores import WallClock, embedded_store, swift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.adapters.objects.s3 import Bucket
    from penstock.ports.objects import ObjectStore

CLOCK = WallClock()
LEAST = b"a" * 5 * 2**20
"""The smallest part that may be followed by another (S3 API)."""


@pytest.fixture(scope="module")
def embedded_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with embedded_store(tmp_path_factory.mktemp("embedded")) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def swift_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with swift(tmp_path_factory.mktemp("swift")) as bucket:
        yield bucket


@pytest.fixture(params=["memory", "embedded", "embedded_checked", pytest.param("swift", marks=pytest.mark.real_s3)])
def objects(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    if request.param == "memory":
        store: ObjectStore = MemoryObjectStore(clock=CLOCK)
    else:
        name, _, checked = request.param.partition("_")
        own = Capabilities(trusts_checksums=name == "embedded", checks_crc64=checked == "checked")
        store = S3ObjectStore(request.getfixturevalue(f"{name}_bucket"), clock=CLOCK, capabilities=own)
    yield store
    open_uploads = [(upload.key, upload.upload_id) for upload in store.multiparts.all("k")]
    for key, upload_id in open_uploads:
        store.multiparts.abort(key, upload_id)
    store.delete(["k"])
    if isinstance(store, S3ObjectStore):
        store.close()
    assert not open_uploads, f"the test left uploads behind: {open_uploads}"


def test_parts_become_an_object_in_the_order_of_their_numbers(objects: ObjectStore) -> None:
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    last = objects.multiparts.put_part("k", upload_id, 7, b"the end")
    first = objects.multiparts.put_part("k", upload_id, 2, LEAST)

    made = objects.multiparts.complete("k", upload_id, [first, last])

    assert (made.key, made.size, made.content_type) == ("k", len(LEAST) + 7, "image/png")
    assert made == objects.head("k")
    assert b"".join(objects.read("k", start=len(LEAST) - 2)) == b"aathe end"


def test_what_has_arrived_is_listed_in_order(objects: ObjectStore) -> None:
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    parts = [objects.multiparts.put_part("k", upload_id, number, b"x" * number) for number in (3, 1, 2)]

    assert list(objects.multiparts.parts("k", upload_id)) == sorted(parts, key=lambda part: part.number)
    assert [part.number for part in objects.multiparts.parts("k", upload_id, after=1)] == [2, 3]
    objects.multiparts.abort("k", upload_id)


def test_a_part_that_is_sent_again_replaces_the_first(objects: ObjectStore) -> None:
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    first = objects.multiparts.put_part("k", upload_id, 1, b"first")
    second = objects.multiparts.put_part("k", upload_id, 1, b"the second")

    assert list(objects.multiparts.parts("k", upload_id)) == [second]
    with pytest.raises(PartsRefusedError):
        objects.multiparts.complete("k", upload_id, [first])
    assert objects.multiparts.complete("k", upload_id, [second]).size == 10


def test_nothing_stands_under_the_key_before_completion(objects: ObjectStore) -> None:
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    objects.multiparts.put_part("k", upload_id, 1, b"x")

    with pytest.raises(ObjectNotFoundError):
        objects.head("k")
    objects.multiparts.abort("k", upload_id)


def test_completing_again_gives_the_object_that_was_made(objects: ObjectStore) -> None:
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    part = objects.multiparts.put_part("k", upload_id, 1, b"x")
    made = objects.multiparts.complete("k", upload_id, [part])

    assert objects.multiparts.complete("k", upload_id, [part]) == made


def test_a_part_that_comes_after_completion_changes_no_bytes(objects: ObjectStore) -> None:  # P7
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    part = objects.multiparts.put_part("k", upload_id, 1, b"x")
    made = objects.multiparts.complete("k", upload_id, [part])

    # Swift takes it and from then on refuses to read the object (409 BrokenMPU): lost, but never other bytes.
    with suppress(MultipartGoneError):
        objects.multiparts.put_part("k", upload_id, 1, b"y")

    with suppress(ObjectStoreUnavailable):
        assert b"".join(objects.read("k")) == b"x"
    assert objects.head("k") == made


@pytest.mark.parametrize("named", [[], [2], [2, 1]], ids=["nothing", "an unknown part", "the wrong order"])
def test_parts_that_do_not_fit_are_refused_and_stay(objects: ObjectStore, named: list[int]) -> None:
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    part = objects.multiparts.put_part("k", upload_id, 1, LEAST)
    wanted = [StoredPart(number=number, size=1, etag=part.etag) for number in named]

    with pytest.raises(PartsRefusedError):
        objects.multiparts.complete("k", upload_id, wanted)

    assert list(objects.multiparts.parts("k", upload_id)) == [part]
    objects.multiparts.abort("k", upload_id)


def test_a_small_part_before_another_is_refused(objects: ObjectStore) -> None:
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    parts = [objects.multiparts.put_part("k", upload_id, number, b"small") for number in (1, 2)]

    with pytest.raises(PartsRefusedError):
        objects.multiparts.complete("k", upload_id, parts)
    objects.multiparts.abort("k", upload_id)


def test_an_aborted_upload_is_gone_and_may_be_aborted_again(objects: ObjectStore) -> None:
    upload_id = objects.multiparts.begin("k", content_type="image/png")
    part = objects.multiparts.put_part("k", upload_id, 1, b"x")

    objects.multiparts.abort("k", upload_id)
    objects.multiparts.abort("k", upload_id)

    with pytest.raises(MultipartGoneError):
        list(objects.multiparts.parts("k", upload_id))
    with pytest.raises(MultipartGoneError):
        objects.multiparts.put_part("k", upload_id, 1, b"x")
    with pytest.raises(MultipartGoneError):
        objects.multiparts.complete("k", upload_id, [part])


def test_those_under_way_are_listed_by_prefix(objects: ObjectStore) -> None:
    begun = {key: objects.multiparts.begin(key, content_type="image/png") for key in ("k2", "k1", "other")}

    found = list(objects.multiparts.all("k"))

    assert [(upload.key, upload.upload_id) for upload in found] == [("k1", begun["k1"]), ("k2", begun["k2"])]
    assert abs((CLOCK.now() - found[0].initiated_at).total_seconds()) < 60
    for key, upload_id in begun.items():
        objects.multiparts.abort(key, upload_id)
