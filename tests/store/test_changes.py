"""Changes of the index on their way between processes (two openings of the memory file act as two)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from penstock.store.changes import SharedChanges, create_changes
from penstock.store.index import Entry, KeyIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 1024 * 1024


@pytest.fixture
def shared() -> Iterator[int]:
    fd = create_changes()
    yield fd
    os.close(fd)


@pytest.fixture
def pair(shared: int) -> Iterator[tuple[SharedChanges, SharedChanges]]:
    one, other = SharedChanges(shared), SharedChanges(shared)
    yield one, other
    one.close()
    other.close()


def entry(key: str, *, size: int = 1) -> Entry:
    return Entry(name=key, bucket="b", key=key, size=size, etag="e", modified_us=0, inode=1, mtime_ns=1)


def read(changes: SharedChanges) -> list[bytes]:
    with changes.unread() as lines:
        return lines


def test_each_line_is_read_once_by_whoever_comes_first(pair: tuple[SharedChanges, SharedChanges]) -> None:
    one, other = pair
    one.append(b"1\n")
    other.append(b"2\n")

    assert [read(one), read(other), read(one)] == [[b"1", b"2"], [], []]


def test_lines_that_could_not_be_used_are_read_again(pair: tuple[SharedChanges, SharedChanges]) -> None:
    one, other = pair
    one.append(b"1\n")

    with pytest.raises(ZeroDivisionError), one.unread():
        raise ZeroDivisionError

    assert read(other) == [b"1"]


def test_a_line_that_is_on_its_way_is_left_until_it_is_whole(
    pair: tuple[SharedChanges, SharedChanges], shared: int
) -> None:
    one, other = pair
    writer = os.open(f"/proc/self/fd/{shared}", os.O_WRONLY | os.O_APPEND)
    one.append(b"1\n")
    os.write(writer, b"half")
    before = read(other)
    os.write(writer, b" and half\n")
    os.close(writer)

    assert (before, read(other)) == ([b"1"], [b"half and half"])


def test_the_memory_of_lines_that_were_read_is_given_back(
    pair: tuple[SharedChanges, SharedChanges], shared: int
) -> None:
    one, other = pair
    line = b"x" * 1023 + b"\n"
    for _ in range(8):
        for _ in range(MB // len(line)):
            one.append(line)
        read(other)

    held = os.fstat(shared).st_blocks * 512

    assert held < 3 * MB
    one.append(b"last\n")
    assert read(other) == [b"last"]


def test_two_indexes_of_one_database_agree_on_every_key(tmp_path: Path, shared: int) -> None:
    path = tmp_path / "index.sqlite3"
    KeyIndex(path).close()
    one, other = (KeyIndex(path, changes=SharedChanges(shared)) for _ in range(2))

    one.put(entry("a"))
    other.put(entry("b"))
    one.put(entry("c"))
    other.remove("c")
    one.put(entry("a", size=2))

    for index in (one, other):
        page = index.page("b", prefix="", after="", inclusive=False, limit=9)
        assert [(found.key, found.size) for found in page] == [("a", 2), ("b", 1)]
    one.close()
    other.close()
