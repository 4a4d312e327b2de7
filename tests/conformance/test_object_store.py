"""What `ports/objects.ObjectStore` means, for every implementation. A test that leaves objects behind fails."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.objects.memory import MemoryObjectStore
from penstock.adapters.objects.presigner import S3Presigner
from penstock.adapters.objects.s3 import Capabilities, S3ObjectStore
from penstock.ports.objects import ObjectChangedError, ObjectNotFoundError
from tests.support.exchange import exchange
from tests.support.stores import WallClock, embedded_store, swift

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket
    from penstock.ports.objects import ObjectInfo, ObjectStore

PNG = "image/png"
CLOCK = WallClock()


@pytest.fixture(scope="module")
def embedded_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with embedded_store(tmp_path_factory.mktemp("embedded")) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def swift_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with swift(tmp_path_factory.mktemp("swift")) as bucket:
        yield bucket


@pytest.fixture
def memory_objects() -> MemoryObjectStore:
    return MemoryObjectStore(clock=CLOCK)


@pytest.fixture
def embedded_objects(embedded_bucket: Bucket) -> Iterator[S3ObjectStore]:
    store = S3ObjectStore(embedded_bucket, clock=CLOCK, capabilities=Capabilities(trusts_checksums=True), page_keys=3)
    yield store
    store.close()


@pytest.fixture
def swift_objects(swift_bucket: Bucket) -> Iterator[S3ObjectStore]:
    store = S3ObjectStore(swift_bucket, clock=CLOCK, page_keys=3)
    yield store
    store.close()


@pytest.fixture(params=["memory", "embedded", pytest.param("swift", marks=pytest.mark.real_s3)])
def objects(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    store: ObjectStore = request.getfixturevalue(f"{request.param}_objects")
    yield store
    left = [info.key for info in store.list("")]
    store.delete(left)
    assert not left, f"the test left objects behind: {left}"


@contextmanager
def stored(store: ObjectStore, key: str, data: bytes, *, content_type: str = PNG) -> Iterator[ObjectInfo]:
    yield store.put(key, data, size=len(data), content_type=content_type)
    store.delete([key])


def content(store: ObjectStore, key: str) -> bytes:
    return b"".join(store.read(key))


def test_facts_of_an_object_are_those_of_its_last_write(objects: ObjectStore) -> None:
    with stored(objects, "k", b"hello"):
        info = objects.head("k")

    assert (info.key, info.size, info.content_type) == ("k", 5, PNG)
    assert info.etag.startswith('"')
    assert abs(CLOCK.now() - info.modified_at) < timedelta(minutes=1)


def test_writing_returns_the_facts_that_reading_gives(objects: ObjectStore) -> None:
    with stored(objects, "k", b"hello") as written:
        assert written == objects.head("k")


def test_a_stated_sha256_is_that_of_the_bytes(objects: ObjectStore) -> None:
    with stored(objects, "k", b"hello"):
        info, _ = objects.peek("k", length=2)

        assert objects.head("k").sha256 in {None, hashlib.sha256(b"hello").hexdigest()}
        assert info.sha256 in {None, hashlib.sha256(b"hello").hexdigest()}


def test_an_unknown_key_has_no_facts(objects: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError):
        objects.head("nothing")


def test_writing_again_replaces_bytes_and_type(objects: ObjectStore) -> None:
    with stored(objects, "k", b"first") as first, stored(objects, "k", b"the second", content_type="text/plain"):
        info = objects.head("k")

        assert (info.size, info.content_type) == (10, "text/plain")
        assert info.etag != first.etag
        assert content(objects, "k") == b"the second"


def test_a_path_is_written(objects: ObjectStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    source = tmp_path / "source"
    source.write_bytes(data)

    info = objects.put("k", source, size=len(data), content_type=PNG)

    assert info.size == len(data)
    assert content(objects, "k") == data
    objects.delete(["k"])


def test_a_file_is_written_from_where_it_stands(objects: ObjectStore) -> None:
    source = BytesIO(b"not this, but this")
    source.seek(10)

    objects.put("k", source, size=8, content_type=PNG)

    assert content(objects, "k") == b"but this"
    objects.delete(["k"])


@pytest.mark.parametrize("size", [4, 6])
def test_a_source_of_another_size_than_announced_writes_nothing(objects: ObjectStore, size: int) -> None:
    with pytest.raises(ValueError, match="5 bytes"):
        objects.put("k", b"hello", size=size, content_type=PNG)

    with pytest.raises(ObjectNotFoundError):
        objects.head("k")


def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    with stored(objects, "k", b""):
        info, head = objects.peek("k", length=100)

        assert (info.size, info.content_type, head) == (0, PNG, b"")
        assert objects.head("k").size == 0
        assert content(objects, "k") == b""


@pytest.mark.parametrize(("length", "head"), [(1, b"h"), (4, b"hell"), (5, b"hello"), (4096, b"hello")])
def test_peeking_gives_the_facts_and_the_first_bytes(objects: ObjectStore, length: int, head: bytes) -> None:
    with stored(objects, "k", b"hello") as written:
        info, data = objects.peek("k", length=length)

        assert data == head
        assert (info.size, info.etag, info.content_type) == (5, written.etag, PNG)


def test_peeking_into_an_xml_file_shows_the_file(objects: ObjectStore) -> None:
    data = b"<Error><Code>NoSuchKey</Code></Error>"
    with stored(objects, "k", data, content_type="application/xml"):
        assert objects.peek("k", length=4096)[1] == data
        assert content(objects, "k") == data


def test_peeking_under_an_unknown_key_finds_nothing(objects: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError):
        objects.peek("nothing", length=10)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (0, 4, b"0123"),
        (3, None, b"3456789"),
        (3, 7, b"3456"),
        (3, 100, b"3456789"),
        (9, 10, b"9"),
        (10, None, b""),
        (50, 60, b""),
        (5, 5, b""),
        (6, 2, b""),
    ],
)
def test_reading_gives_the_bytes_from_start_up_to_end(
    objects: ObjectStore, start: int, end: int | None, expected: bytes
) -> None:
    with stored(objects, "k", b"0123456789"):
        assert b"".join(objects.read("k", start=start, end=end)) == expected


@pytest.mark.parametrize(("start", "end"), [(0, None), (3, 7), (3, 3)])
def test_reading_an_unknown_key_finds_nothing(objects: ObjectStore, start: int, end: int | None) -> None:
    with pytest.raises(ObjectNotFoundError):
        b"".join(objects.read("nothing", start=start, end=end))


def test_a_reader_may_stop_early(objects: ObjectStore) -> None:
    data = b"x" * 3_000_000
    with stored(objects, "k", data):
        chunks = objects.read("k")
        first = next(iter(chunks))
        del chunks

        assert data.startswith(first)
        assert content(objects, "k") == data


def test_a_copy_has_the_bytes_and_the_new_type(objects: ObjectStore) -> None:
    with stored(objects, "staging/k", b"hello") as seen:
        copied = objects.copy(seen, "assets/k", content_type="image/webp")

        assert (copied.key, copied.size, copied.content_type) == ("assets/k", 5, "image/webp")
        assert objects.head("assets/k").etag == copied.etag
        assert objects.head("assets/k").content_type == "image/webp"
        assert content(objects, "assets/k") == b"hello"
        assert content(objects, "staging/k") == b"hello"
    objects.delete(["assets/k"])


def test_a_copy_replaces_what_was_there(objects: ObjectStore) -> None:
    with stored(objects, "a", b"new") as seen, stored(objects, "b", b"old one"):
        objects.copy(seen, "b", content_type=PNG)

        assert content(objects, "b") == b"new"


def test_a_copy_may_be_repeated(objects: ObjectStore) -> None:
    with stored(objects, "a", b"hello") as seen:
        objects.copy(seen, "b", content_type=PNG)
        objects.copy(seen, "b", content_type=PNG)

        assert content(objects, "b") == b"hello"
    objects.delete(["b"])


def test_an_object_that_was_replaced_since_is_not_copied(objects: ObjectStore) -> None:
    with stored(objects, "a", b"as seen") as seen, stored(objects, "a", b"swapped"):
        with pytest.raises(ObjectChangedError):
            objects.copy(seen, "b", content_type=PNG)

        with pytest.raises(ObjectNotFoundError):
            objects.head("b")


def test_an_object_that_is_gone_is_not_copied(objects: ObjectStore) -> None:
    with stored(objects, "a", b"hello") as seen:
        objects.delete(["a"])

        with pytest.raises(ObjectNotFoundError):
            objects.copy(seen, "b", content_type=PNG)


def test_a_copy_keeps_its_bytes_when_the_source_is_replaced_and_deleted(objects: ObjectStore) -> None:
    with stored(objects, "staging/k", b"sealed") as seen:
        objects.copy(seen, "assets/k", content_type=PNG)
        objects.put("staging/k", b"later!", size=6, content_type=PNG)

    assert content(objects, "assets/k") == b"sealed"
    objects.delete(["assets/k"])


def test_deleting_removes_what_is_there_and_ignores_what_is_not(objects: ObjectStore) -> None:
    with stored(objects, "a", b"1"), stored(objects, "b", b"2"):
        objects.delete(["a", "nothing", "b"])

        for key in ("a", "b"):
            with pytest.raises(ObjectNotFoundError):
                objects.head(key)


def test_many_are_deleted_whatever_their_keys_hold(objects: ObjectStore) -> None:
    keys = ["a&b", "<a>", "a b", "ä/ö", 'quo"te', "a+b", "a%20b"]
    for key in keys:
        objects.put(key, b"x", size=1, content_type=PNG)

    objects.delete(keys)

    assert list(objects.list("")) == []


def test_deleting_nothing_is_fine(objects: ObjectStore) -> None:
    objects.delete([])


def test_listing_gives_the_keys_of_a_prefix_in_order_over_all_pages(objects: ObjectStore) -> None:
    keys = [f"p/{number:02}" for number in range(8)]
    for key in reversed(keys):
        objects.put(key, key.encode(), size=len(key), content_type=PNG)
    with stored(objects, "o", b"before"), stored(objects, "q/1", b"after"):
        found = list(objects.list("p/"))

    assert [info.key for info in found] == keys
    assert found[3].size == len(keys[3])
    assert found[3].etag == objects.head(keys[3]).etag
    assert abs(CLOCK.now() - found[3].modified_at) < timedelta(minutes=1)
    objects.delete(keys)


def test_listing_goes_on_after_a_key(objects: ObjectStore) -> None:
    keys = [f"p/{number}" for number in range(6)]
    for key in keys:
        objects.put(key, b"x", size=1, content_type=PNG)

    assert [info.key for info in objects.list("p/", after="p/1")] == keys[2:]
    assert [info.key for info in objects.list("p/", after="p/1x")] == keys[2:]
    assert list(objects.list("p/", after="p/5")) == []
    objects.delete(keys)


def test_listing_where_nothing_is_gives_nothing(objects: ObjectStore) -> None:
    assert list(objects.list("nothing/")) == []


@pytest.mark.parametrize("key", ["a b", "a+b", "100%", "%41", "é/日本", "a&b=c?d#e", "it's", "a//b", "x" * 900])
def test_a_key_is_taken_as_it_is(objects: ObjectStore, key: str) -> None:
    with stored(objects, key, b"hello") as seen:
        assert objects.head(key).key == key
        assert [info.key for info in objects.list(key[:3])] == [key]
        objects.copy(seen, "copy", content_type=PNG)
        assert content(objects, "copy") == b"hello"
    objects.delete(["copy"])


def test_many_threads_see_whole_objects_only(objects: ObjectStore) -> None:
    versions = {letter * 50_000 for letter in (b"a", b"b", b"c")}
    with stored(objects, "k", b"a" * 50_000):

        def write(data: bytes) -> bytes:
            objects.put("k", data, size=len(data), content_type=PNG)
            return content(objects, "k")

        with ThreadPoolExecutor(6) as threads:
            seen = set(threads.map(write, [*versions] * 6))

    assert seen <= versions


@pytest.mark.parametrize("kind", ["embedded", pytest.param("swift", marks=pytest.mark.real_s3)])
def test_a_url_that_binds_a_sha256_takes_these_bytes_and_no_others(request: pytest.FixtureRequest, kind: str) -> None:
    bucket: Bucket = request.getfixturevalue(f"{kind}_bucket")
    signed = S3Presigner(bucket).put(
        "k",
        content_type=PNG,
        size=5,
        max_size=None,
        expires_in=timedelta(hours=1),
        now=CLOCK.now(),
        sha256=hashlib.sha256(b"hello").hexdigest(),
    )

    wrong = exchange("PUT", signed.url, b"jello", headers=signed.headers)
    right = exchange("PUT", signed.url, b"hello", headers=signed.headers)

    assert (wrong.status, right.status) == (400, 200)
    store: ObjectStore = request.getfixturevalue(f"{kind}_objects")
    assert content(store, "k") == b"hello"
    store.delete(["k"])
