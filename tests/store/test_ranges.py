from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.store.faults import Refused
from penstock.store.ranges import ByteRange, parse_range


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=2-5", 2, 6),
        ("bytes=5-", 5, 10),
        ("bytes=0-999", 0, 10),
        ("bytes=-3", 7, 10),
        ("bytes=-999", 0, 10),
        ("Bytes= 2-5 ", 2, 6),
        ("bytes=9-9", 9, 10),
    ],
)
def test_one_range_is_cut_to_the_object(header: str, start: int, end: int) -> None:
    assert parse_range(header, 10) == ByteRange(start, end, 10)


@pytest.mark.parametrize(
    "header", [None, "", "bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=a-b", "bytes=", "bytes=-"]
)
def test_another_syntax_or_many_ranges_mean_the_whole(header: str | None) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=-0", 10), ("bytes=10-", 10), ("bytes=99-", 10), ("bytes=0-", 0), ("bytes=-1", 0)]
)
def test_a_range_beyond_the_object_is_416_with_its_size(header: str, size: int) -> None:
    with pytest.raises(Refused) as refused:
        parse_range(header, size)

    assert refused.value.fault.status == 416
    assert refused.value.headers == (("Content-Range", f"bytes */{size}"),)


@given(st.text(max_size=20), st.integers(0, 100))
def test_whatever_the_header_a_range_lies_within_the_object(text: str, size: int) -> None:
    try:
        found = parse_range(f"bytes={text}", size)
    except Refused:
        return

    assert found is None or 0 <= found.start < found.end <= size


NUMBERS = st.one_of(st.just(""), st.integers(0, 120).map(str), st.integers(0, 10**25).map(str))
NEARLY_RANGES = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["bytes=", "bytes=", "bytes=", "Bytes= ", "bytes =", "items=", ""]),
    NUMBERS,
    st.sampled_from(["-", "-", "-", "--", "", " - ", ",", "-+"]),
    NUMBERS,
    st.sampled_from(["", "", " ", ",", "x", "\n"]),
)


@given(NEARLY_RANGES, st.integers(0, 120))
def test_a_range_selects_the_bytes_that_its_numbers_say(header: str, size: int) -> None:
    """Against a list of all positions, from which the numbers pick."""
    first, dash, last = header.lower().removeprefix("bytes=").strip(" ").partition("-")
    positions = list(range(size))
    is_range = (
        header.lower().startswith("bytes=") and dash and all(part in {"", *_digits(part)} for part in (first, last))
    )
    if not is_range or not (first or last) or (first and last and int(last) < int(first)):
        assert parse_range(header, size) is None
        return
    picked = [place for place in positions if int(first) <= place <= int(last or size)] if first else []
    if not first and int(last):
        picked = positions[-int(last) :]

    try:
        found = parse_range(header, size)
    except Refused:
        found = ByteRange(0, 0, size)

    assert found is not None
    assert list(range(found.start, found.end)) == picked


def _digits(text: str) -> set[str]:
    return {text} if text.isascii() and text.isdigit() and len(text) <= 40 else set()
