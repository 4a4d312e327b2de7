from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.store.index import Entry, KeyIndex, beyond_prefix
from penstock.store.listing import list_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Characters around every boundary that matters: delimiters, the surrogate gap, the last code point.
KEY = st.text(st.sampled_from("a/b\x01\ud7ff\ue000\U0010ffffé"), min_size=1, max_size=5)


def entry(key: str, *, bucket: str = "b") -> Entry:
    name = f"{bucket}:{key}"
    return Entry(name=name, bucket=bucket, key=key, size=1, etag="e", modified_us=0, inode=1, mtime_ns=1)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[KeyIndex]:
    index = KeyIndex(tmp_path / "index.sqlite3")
    yield index
    index.close()


def everything(index: KeyIndex, *, prefix: str, delimiter: str, limit: int) -> tuple[list[str], list[str]]:
    """All pages of a listing."""
    keys: list[str] = []
    prefixes: list[str] = []
    after = ""
    while True:
        page = list_page(index, "b", prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        keys += [found.key for found in page.entries]
        prefixes += page.prefixes
        assert len(page.entries) + len(page.prefixes) <= limit
        if not page.truncated:
            return keys, prefixes
        after = page.last


@given(
    st.sets(KEY, max_size=30),
    st.text(st.sampled_from("a/b\ud7ff"), max_size=2),
    st.sampled_from(["", "/", "a", "\U0010ffff"]),
    st.integers(1, 5),
)
def test_pages_of_any_size_list_what_a_plain_loop_finds(
    tmp_path_factory: pytest.TempPathFactory, keys: set[str], prefix: str, delimiter: str, limit: int
) -> None:
    index = KeyIndex(tmp_path_factory.mktemp("index") / "index.sqlite3")
    for one in (*map(entry, keys), entry("other", bucket="c")):
        index.put(one)
    plain: list[str] = []
    shared: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            plain.append(key)
        elif (common := key[: end + len(delimiter)]) not in shared:
            shared.append(common)

    found = everything(index, prefix=prefix, delimiter=delimiter, limit=limit)
    index.close()

    assert found == (plain, shared)


@given(KEY, KEY)
def test_the_bound_of_a_prefix_lies_above_all_that_begin_with_it(prefix: str, rest: str) -> None:
    bound = beyond_prefix(prefix)

    if bound is not None:
        assert prefix + rest < bound
        assert not bound.startswith(prefix)
        bound.encode()


def test_a_page_of_no_keys_is_empty_and_not_truncated(index: KeyIndex) -> None:
    index.put(entry("a"))

    page = list_page(index, "b", prefix="", delimiter="", after="", limit=0)

    assert (page.entries, page.truncated) == ((), False)


def test_an_index_file_that_is_no_database_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    path.write_bytes(b"this is not a database" * 1000)

    index = KeyIndex(path)
    index.put(entry("a"))

    assert [found.key for found in index.page("b", prefix="", after="", inclusive=False, limit=9)] == ["a"]
    index.close()


def test_a_put_over_a_key_replaces_its_entry_and_a_removal_ends_it(index: KeyIndex) -> None:
    index.put(entry("a"))
    index.put(entry("a"))
    assert not index.is_empty("b")

    index.remove("b:a")

    assert index.is_empty("b")
