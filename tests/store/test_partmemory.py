from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.store.partmemory import PartMemory, stamp_of
from penstock.store.record import Record

if TYPE_CHECKING:
    from pathlib import Path

STAMP = (1, 2, 3, 4)


def part(etag: str) -> Record:
    return Record(bucket="b", key="k", size=1, etag=etag, sha256="00", content_type="t", modified_us=1)


def test_a_part_is_recalled_for_the_stamp_of_its_file_only() -> None:
    memory = PartMemory()
    memory.keep("upload", 1, STAMP, part("one"))

    assert memory.recall("upload", 1, STAMP) == part("one")
    assert memory.recall("upload", 1, (1, 2, 3, 5)) is None
    assert memory.recall("upload", 2, STAMP) is None
    assert memory.recall("other", 1, STAMP) is None


def test_the_latest_part_of_a_number_is_kept() -> None:
    memory = PartMemory()
    memory.keep("upload", 1, STAMP, part("one"))
    memory.keep("upload", 1, (9, 9, 9, 9), part("again"))

    assert memory.recall("upload", 1, STAMP) is None
    assert memory.recall("upload", 1, (9, 9, 9, 9)) == part("again")


def test_an_upload_that_has_ended_is_forgotten() -> None:
    memory = PartMemory(most=2)
    memory.keep("ended", 1, STAMP, part("one"))
    memory.forget("ended")
    memory.forget("unknown")
    for number in (1, 2):
        memory.keep("upload", number, STAMP, part("two"))

    assert memory.recall("ended", 1, STAMP) is None
    assert memory.recall("upload", 1, STAMP) == part("two")


def test_too_many_parts_push_the_oldest_upload_out() -> None:
    memory = PartMemory(most=3)
    for upload in ("first", "second"):
        for number in (1, 2):
            memory.keep(upload, number, STAMP, part(upload))

    assert memory.recall("first", 1, STAMP) is memory.recall("first", 2, STAMP) is None
    assert memory.recall("second", 1, STAMP) == memory.recall("second", 2, STAMP) == part("second")


def test_a_file_that_took_the_name_of_another_has_another_stamp(tmp_path: Path) -> None:
    path, other = tmp_path / "part", tmp_path / "other"
    path.write_bytes(b"1")
    other.write_bytes(b"2")
    before = stamp_of(path.stat())

    other.rename(path)

    assert stamp_of(path.stat()) != before
