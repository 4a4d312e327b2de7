from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.store.record import DamagedError, Record, encode, read_record

if TYPE_CHECKING:
    from pathlib import Path

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def record(**changes: object) -> Record:
    values: dict[str, object] = {
        "bucket": "b", "key": "k", "size": 4, "etag": "e", "sha256": "00", "content_type": "t", "modified_us": 1,
    }  # fmt: skip
    return Record(**(values | changes))  # type: ignore[arg-type]  # the test names the fields


def read_back(path: Path, content: bytes) -> Record:
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_record(fd, None, place="here")
    finally:
        os.close(fd)


@given(key=WORDS, user=st.dictionaries(WORDS, WORDS, max_size=20), checksum=st.sampled_from(["", "xx"]))
def test_a_record_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, key: str, user: dict[str, str], checksum: str
) -> None:
    written = record(key=key, user=user, checksums={"crc32": checksum} if checksum else {})

    assert (
        read_back(tmp_path_factory.getbasetemp() / "record", b"data" + encode(written, None, place="here")) == written
    )


def test_a_record_of_linked_data_stands_alone(tmp_path: Path) -> None:
    written = record(linked="name.id", size=10**12)

    assert read_back(tmp_path / "record", encode(written, None, place="here")) == written


@pytest.mark.parametrize("position", [*range(-32, 0), 4, 20])
def test_a_flipped_bit_in_the_record_is_noticed(tmp_path: Path, position: int) -> None:
    content = bytearray(b"data" + encode(record(), None, place="here"))
    content[position] ^= 1

    with pytest.raises(DamagedError):
        read_back(tmp_path / "record", bytes(content))


@pytest.mark.parametrize("change", [b"", b"data", b"too short"])
def test_a_file_without_a_whole_record_is_damaged(tmp_path: Path, change: bytes) -> None:
    with pytest.raises(DamagedError):
        read_back(tmp_path / "record", change)


def test_a_truncated_or_lengthened_file_is_damaged(tmp_path: Path) -> None:
    content = b"data" + encode(record(), None, place="here")

    for changed in (content[1:], b"x" + content, content[:-1], content + b"\0"):
        with pytest.raises(DamagedError):
            read_back(tmp_path / "record", changed)


def test_what_a_record_proves_its_data_by_is_the_strongest_that_it_has() -> None:
    both = record(sha256="ab" * 32, checksums={"crc64nvme": "AAAAAAAAAAE="})

    assert both.proof == ("sha256", b"\xab" * 32)
    assert replace(both, sha256=None).proof == ("crc64nvme", (1).to_bytes(8, "big"))
    with pytest.raises(DamagedError):
        _ = replace(both, sha256=None, checksums={}).proof
