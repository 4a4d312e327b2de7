from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from penstock.store.completion import Claim, ListedPart
from penstock.store.digests import HashThreads
from penstock.store.faults import Refused
from penstock.store.keyring import Keyring
from penstock.store.multipart import Multipart
from penstock.store.objects import Objects
from penstock.store.record import DamagedError, Record
from penstock.store.uploads import Completed, Upload, new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "some/key"


def anything(_etag: str | None) -> None:
    """A check that allows every write."""


class Bench:
    """The disk layer without a wire."""

    def __init__(self, directory: Path, keyring: Keyring | None) -> None:
        self.directory = directory
        self.threads = HashThreads(1)
        self.objects = Objects(directory, threads=self.threads, keyring=keyring)
        self.multipart = Multipart(self.objects, least_bytes=4, most_bytes=1000)

    def close(self) -> None:
        self.objects.close()
        self.threads.close()

    def begin(self, key: str = KEY) -> Upload:
        upload = Upload(id=new_id(1), bucket="bucket", key=key, content_type="t", created_us=1)
        self.multipart.begin(upload)
        return upload

    def put(self, upload: Upload, number: int, data: bytes) -> ListedPart:
        with self.objects.begin(["sha256"]) as incoming:
            incoming.write(data)
            digest = incoming.finish()["sha256"].hex()
            record = Record(
                bucket="bucket", key=upload.key, size=len(data), etag=f"sha256-{digest}", sha256=digest,
                content_type="", modified_us=2,
            )  # fmt: skip
            self.multipart.put_part(upload, number, incoming, record)
        return ListedPart(number, record.etag)

    def complete(self, upload: Upload, *parts: ListedPart) -> Completed:
        claim = Claim(parts=parts)
        return self.multipart.complete("bucket", upload.key, upload.id, claim, check=anything, modified_us=3)

    def write(self, key: str, data: bytes) -> None:
        with self.objects.begin(["sha256"]) as incoming:
            incoming.write(data)
            record = Record(
                bucket="bucket", key=key, size=len(data), etag="e", content_type="t", modified_us=1,
                sha256=incoming.finish()["sha256"].hex(),
            )  # fmt: skip
            self.objects.commit(incoming, record, check=anything)

    def copy(self, source: str, target: str) -> None:
        def describe(found: Record) -> Record:
            return Record(
                bucket="bucket", key=target, size=found.size, etag=found.etag, sha256=found.sha256,
                content_type="t", modified_us=2,
            )  # fmt: skip

        self.objects.copy("bucket", source, describe=describe, check=anything)

    def read(self, key: str = KEY) -> bytes:
        stored = self.objects.open("bucket", key)
        try:
            return stored.read(0, stored.record.size)
        finally:
            stored.close()

    def files(self) -> list[str]:
        """Every file of objects, parts and uploads, and every directory of parts."""
        found = (path for place in ("objects", "uploads", "tmp") for path in (self.directory / place).rglob("*"))
        return sorted(path.name for path in found if len(path.name) > 2)


@pytest.fixture(params=[None, Keyring({1: bytes(32)})], ids=["plain", "encrypted"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(tmp_path, request.param)
    bench.objects.create_bucket("bucket")
    yield bench
    bench.close()


def refusal(code: str) -> pytest.RaisesExc[Refused]:
    return pytest.RaisesExc(Refused, check=lambda refused: refused.fault.code == code)


def test_parts_in_any_order_and_with_gaps_make_the_object_in_the_order_of_their_numbers(bench: Bench) -> None:
    upload = bench.begin()
    parts = {number: bench.put(upload, number, bytes([48 + number]) * 5) for number in (7, 1, 3)}

    bench.complete(upload, parts[1], parts[3], parts[7])

    assert bench.read() == b"111113333377777"
    assert bench.files().count("00003") == 1


def test_any_range_is_read_across_parts(bench: Bench) -> None:
    upload = bench.begin()
    whole = bytes(range(64, 84))
    parts = [
        bench.put(upload, number, whole[place : place + 6]) for number, place in ((1, 0), (2, 6), (5, 12), (6, 18))
    ]
    bench.complete(upload, *parts)
    stored = bench.objects.open("bucket", KEY)

    for start in range(len(whole)):
        for end in range(start, len(whole) + 1):
            assert stored.read(start, end - start) == whole[start:end]
    stored.close()


def test_a_part_that_was_sent_again_is_the_last_one_that_was_completed(bench: Bench) -> None:
    upload = bench.begin()
    old = bench.put(upload, 1, b"first")
    new = bench.put(upload, 1, b"second")

    with refusal("InvalidPart"):
        bench.complete(upload, old)
    bench.complete(upload, new)

    assert bench.read() == b"second"


def test_parts_that_are_not_listed_are_removed(bench: Bench) -> None:
    upload = bench.begin()
    bench.put(upload, 1, b"unlisted")
    listed = bench.put(upload, 2, b"listed")

    bench.complete(upload, listed)

    assert bench.files() == sorted([upload.name, upload.directory, "00002", f"{upload.id}.done"])


def test_completing_again_gives_the_same_answer_and_another_list_finds_no_upload(bench: Bench) -> None:
    upload = bench.begin()
    one, two = bench.put(upload, 1, b"11111"), bench.put(upload, 2, b"22222")
    answer = bench.complete(upload, one, two)

    assert bench.complete(upload, one, two) == answer
    with refusal("NoSuchUpload"):
        bench.complete(upload, one)
    bench.write(KEY, b"a later object")
    assert bench.complete(upload, one, two) == answer
    assert bench.read() == b"a later object"


def test_after_completion_parts_are_dead_and_nothing_can_be_aborted(bench: Bench) -> None:
    upload = bench.begin()
    bench.complete(upload, bench.put(upload, 1, b"part"))

    with refusal("NoSuchUpload"):
        bench.put(upload, 1, b"swap")
    with refusal("NoSuchUpload"):
        bench.multipart.abort("bucket", KEY, upload.id)

    assert bench.read() == b"part"


def test_an_abort_leaves_nothing_and_closes_the_upload(bench: Bench) -> None:
    upload = bench.begin()
    part = bench.put(upload, 1, b"part")

    bench.multipart.abort("bucket", KEY, upload.id)

    assert bench.files() == []
    with refusal("NoSuchUpload"):
        bench.put(upload, 1, b"late")
    with refusal("NoSuchUpload"):
        bench.complete(upload, part)
    with refusal("NoSuchUpload"):
        bench.multipart.abort("bucket", KEY, upload.id)
    assert bench.files() == []


@pytest.mark.parametrize("upload_id", ["", "..", "0" * 32, "x" * 32, "../buckets/bucket"])
def test_an_id_that_nobody_was_given_is_no_upload(bench: Bench, upload_id: str) -> None:
    with refusal("NoSuchUpload"):
        bench.multipart.require_open("bucket", KEY, upload_id)


def test_an_upload_is_that_of_its_bucket_and_key_only(bench: Bench) -> None:
    upload = bench.begin()

    for bucket, key in (("bucket", "other"), ("other", KEY)):
        with refusal("NoSuchUpload"):
            bench.multipart.require_open(bucket, key, upload.id)
        with refusal("NoSuchUpload"):
            bench.multipart.abort(bucket, key, upload.id)
    assert bench.multipart.require_open("bucket", KEY, upload.id) == upload


def test_a_check_that_stops_the_completion_leaves_the_upload_open(bench: Bench) -> None:
    upload = bench.begin()
    part = bench.put(upload, 1, b"part")
    before = bench.files()

    def stop(_etag: str | None) -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        bench.multipart.complete("bucket", KEY, upload.id, Claim(parts=(part,)), check=stop, modified_us=1)

    assert bench.files() == before
    bench.complete(upload, part)
    assert bench.read() == b"part"


def test_an_open_version_is_read_to_its_end_while_the_key_is_overwritten_and_its_parts_go_afterwards(
    bench: Bench,
) -> None:
    upload = bench.begin()
    parts = [bench.put(upload, number, b"%05d" % number) for number in (1, 2, 3)]
    bench.complete(upload, *parts)
    stored = bench.objects.open("bucket", KEY)

    bench.write(KEY, b"another version")
    during = stored.read(0, 15)
    bench.objects.drop_later()
    kept = bench.files()
    stored.close()
    bench.objects.drop_later()

    assert during == b"000010000200003"
    assert upload.directory in kept
    assert bench.files() == sorted([upload.name, f"{upload.id}.done"])
    assert bench.read() == b"another version"


def test_deleting_or_overwriting_removes_the_parts(bench: Bench) -> None:
    first, second = bench.begin(), bench.begin()
    bench.complete(first, bench.put(first, 1, b"first"))
    bench.complete(second, bench.put(second, 1, b"second"))

    assert bench.read() == b"second"
    assert first.directory not in bench.files()
    bench.objects.delete("bucket", [KEY])
    assert bench.files() == sorted([f"{first.id}.done", f"{second.id}.done"])


@pytest.mark.parametrize("number", [None, errno.EMLINK, errno.EXDEV])
def test_a_copy_outlives_its_source_also_where_no_link_can_be_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    upload = bench.begin()
    bench.complete(upload, bench.put(upload, 1, b"11111"), bench.put(upload, 4, b"4"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "injected")

    if number is not None:
        monkeypatch.setattr(os, "link", refuse)
    bench.copy(KEY, "copy")
    bench.objects.delete("bucket", [KEY])

    assert bench.read("copy") == b"111114"
    bench.copy("copy", "third")
    assert bench.read("third") == b"111114"


def test_a_copy_that_fails_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = bench.begin()
    bench.complete(upload, bench.put(upload, 1, b"11111"), bench.put(upload, 2, b"2"))
    before = bench.files()
    real = os.link

    def full(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if source == "00002":
            raise OSError(errno.ENOSPC, "injected")
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="injected"):
        bench.copy(KEY, "copy")

    assert bench.files() == before


def test_a_part_that_is_missing_on_disk_is_an_error_and_not_shorter_data(bench: Bench) -> None:
    upload = bench.begin()
    bench.complete(upload, bench.put(upload, 1, b"11111"), bench.put(upload, 2, b"22222"))
    directory = bench.directory / "objects" / upload.name[:2] / upload.directory

    (directory / "00002").unlink()
    with pytest.raises(DamagedError):
        bench.read()


def test_listed_parts_begin_after_a_marker(bench: Bench) -> None:
    upload = bench.begin()
    for number in (9, 2, 10, 5):
        bench.put(upload, number, b"%d" % number)

    found = bench.multipart.parts(upload, after=2, limit=2)

    assert [(number, record.size) for number, record in found] == [(5, 1), (9, 1)]


def test_uploads_of_a_bucket_that_went_do_not_come_back_with_it(bench: Bench) -> None:
    upload = bench.begin()
    bench.put(upload, 1, b"part")
    bench.objects.delete_bucket("bucket")
    bench.multipart.forget_bucket("bucket")
    bench.objects.create_bucket("bucket")

    assert bench.multipart.files.all() == []
    assert bench.files() == []


def test_a_failed_fsync_of_the_shard_takes_a_new_object_back_and_the_upload_stays_completable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = bench.begin()
    part = bench.put(upload, 1, b"part")
    shard = bench.directory / "objects" / upload.name[:2]
    real = os.fsync

    def fail_at_shard(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), shard.stat()):
            raise OSError(errno.EIO, "injected")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_at_shard)
        with pytest.raises(OSError, match="injected"):
            bench.complete(upload, part)
        with refusal("NoSuchKey"):
            bench.read()

    bench.complete(upload, part)
    assert bench.read() == b"part"


def test_a_failed_fsync_of_a_replaced_key_lets_the_completion_be_repeated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(KEY, b"old")
    upload = bench.begin()
    part = bench.put(upload, 1, b"part")
    shard = bench.directory / "objects" / upload.name[:2]
    real = os.fsync

    def fail_at_shard(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), shard.stat()):
            raise OSError(errno.EIO, "injected")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_at_shard)
        for _ in range(2):
            with pytest.raises(OSError, match="injected"):
                bench.complete(upload, part)

    answer = bench.complete(upload, part)
    assert bench.complete(upload, part) == answer
    assert bench.read() == b"part"
    assert bench.multipart.files.all() == []


def test_equal_parts_of_a_large_upload_make_a_small_record(bench: Bench) -> None:
    upload = bench.begin()
    parts = [bench.put(upload, number, hashlib.sha256(b"%d" % number).digest()[:10]) for number in range(1, 61)]
    bench.complete(upload, *parts)

    record = bench.objects.current(upload.name)

    assert record is not None
    assert record.segments == ((1, 60, 10),)


def test_many_parts_are_removed_after_the_answer(bench: Bench) -> None:
    upload = bench.begin()
    bench.complete(upload, *[bench.put(upload, number, b"part") for number in range(1, 31)])

    bench.objects.delete("bucket", [KEY])
    at_the_answer = bench.files()
    bench.objects.drop_later()

    assert upload.name not in at_the_answer
    assert upload.directory in at_the_answer
    assert bench.files() == [f"{upload.id}.done"]
