from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from penstock.store.digests import HashThreads
from penstock.store.faults import Refused
from penstock.store.keyring import Keyring
from penstock.store.layout import entry_name
from penstock.store.objects import Objects
from penstock.store.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.store.objects import Check

BODY = b"bytes of an object"


def anything(_etag: str | None) -> None:
    """A check that allows every write."""


@pytest.fixture(params=[None, Keyring({1: bytes(32)})], ids=["plain", "encrypted"])
def objects(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Objects]:
    threads = HashThreads(1)
    objects = Objects(tmp_path, threads=threads, keyring=request.param)
    objects.create_bucket("bucket")
    yield objects
    objects.close()
    threads.close()


def write(objects: Objects, key: str, body: bytes = BODY, *, check: Check = anything) -> Record:
    with objects.begin(["sha256"]) as incoming:
        incoming.write(body)
        record = Record(
            bucket="bucket",
            key=key,
            size=len(body),
            etag=body.hex(),
            sha256=incoming.finish()["sha256"].hex(),
            content_type="text/plain",
            modified_us=1,
        )
        objects.commit(incoming, record, check=check)
    return record


def read(objects: Objects, key: str) -> bytes:
    stored = objects.open("bucket", key)
    try:
        return stored.read(0, stored.record.size)
    finally:
        stored.close()


def copy(objects: Objects, source: str, target: str) -> Record:
    def describe(found: Record) -> Record:
        return Record(
            bucket="bucket",
            key=target,
            size=found.size,
            etag=found.etag,
            sha256=found.sha256,
            content_type="image/png",
            modified_us=2,
        )

    return objects.copy("bucket", source, describe=describe, check=anything)


def files(directory: Path) -> int:
    return sum(path.is_file() for path in (directory / "objects").rglob("*"))


@pytest.mark.parametrize("number", [errno.EMLINK, errno.EPERM, errno.EXDEV])
def test_where_no_link_can_be_made_the_bytes_are_copied(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "injected")

    write(objects, "source", BODY * 200_000)
    monkeypatch.setattr(os, "link", refuse)

    copy(objects, "source", "target")

    assert read(objects, "target") == BODY * 200_000


def test_an_open_version_is_read_to_its_end_whatever_happens_to_the_key(objects: Objects) -> None:
    write(objects, "source")
    copy(objects, "source", "target")
    stored = objects.open("bucket", "target")

    write(objects, "target", b"another version")
    objects.delete("bucket", ["source", "target"])

    assert stored.read(0, stored.record.size) == BODY
    stored.close()


def test_a_source_that_changes_during_a_copy_is_looked_at_again(objects: Objects) -> None:
    write(objects, "source", b"first")
    seen: list[str] = []

    def describe(found: Record) -> Record:
        seen.append(found.etag)
        if len(seen) == 1:
            write(objects, "source", b"second")
        return Record(
            bucket="bucket", key="target", size=found.size, etag=found.etag, sha256=found.sha256,
            content_type="t", modified_us=3,
        )  # fmt: skip

    record = objects.copy("bucket", "source", describe=describe, check=anything)

    assert seen == [b"first".hex(), b"second".hex()]
    assert record.etag == b"second".hex()
    assert read(objects, "target") == b"second"


def test_a_check_sees_the_current_version_and_can_stop_the_write(objects: Objects, tmp_path: Path) -> None:
    seen: list[str | None] = []

    def stop(etag: str | None) -> None:
        seen.append(etag)
        raise PermissionError

    with pytest.raises(PermissionError):
        write(objects, "key", check=stop)
    write(objects, "key")
    with pytest.raises(PermissionError):
        write(objects, "key", b"other", check=stop)

    assert seen == [None, BODY.hex()]
    assert read(objects, "key") == BODY
    assert not list((tmp_path / "tmp").iterdir())


def test_linked_data_that_is_missing_is_damage_not_absence(objects: Objects, tmp_path: Path) -> None:
    write(objects, "source")
    linked = copy(objects, "source", "target").linked
    (tmp_path / "objects" / str(linked)[:2] / str(linked)).unlink()

    with pytest.raises(Refused) as refused:
        objects.open("bucket", "target")

    assert refused.value.fault.status == 500


def test_the_index_follows_files_that_came_changed_and_went_without_it(objects: Objects, tmp_path: Path) -> None:
    for key in ("same", "changed", "gone"):
        write(objects, key)
    objects.close()
    before = {path: path.read_bytes() for path in tmp_path.glob("index.sqlite3*")}
    threads = HashThreads(1)
    later = Objects(tmp_path, threads=threads, keyring=objects.keyring)
    write(later, "changed", b"another size")
    write(later, "came")
    later.delete("bucket", ["gone"])
    later.close()
    for path in tmp_path.glob("index.sqlite3*"):
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)

    restarted = Objects(tmp_path, threads=threads, keyring=objects.keyring)
    changed = restarted.reconcile()
    page = restarted.index.page("bucket", prefix="", after="", inclusive=False, limit=10)

    assert changed == 3
    assert [(entry.key, entry.size) for entry in page] == [("came", 18), ("changed", 12), ("same", 18)]
    assert restarted.reconcile() == 0
    restarted.close()
    threads.close()


def test_a_damaged_file_keeps_nothing_from_starting(objects: Objects, tmp_path: Path) -> None:
    write(objects, "whole")
    name = entry_name("bucket", "broken")
    (tmp_path / "objects" / name[:2] / name).write_bytes(b"not a record")

    objects.reconcile()

    page = objects.index.page("bucket", prefix="", after="", inclusive=False, limit=10)
    assert [entry.key for entry in page] == ["whole"]


def test_a_bucket_deleted_during_an_upload_takes_it_no_more(objects: Objects, tmp_path: Path) -> None:
    record = write(objects, "key")
    objects.delete("bucket", ["key"])

    def upload() -> None:
        with objects.begin(()) as incoming:
            objects.delete_bucket("bucket")
            objects.commit(incoming, record, check=anything)

    with pytest.raises(Refused) as refused:
        upload()

    assert refused.value.fault.code == "NoSuchBucket"
    assert files(tmp_path) == 0
