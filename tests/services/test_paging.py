"""Cursors: opaque, exact to the microsecond, and refused when nobody issued them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import InvalidCursor, InvalidField
from penstock.services.paging import Page, check_limit, decode_cursor, encode_cursor, gathered, page_of

TIMES = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@given(TIMES, st.uuids(version=4).map(str))
def test_a_cursor_gives_its_position_back(at: datetime, identifier: str) -> None:
    cursor = encode_cursor((at, identifier))

    assert decode_cursor(cursor) == (at, identifier)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=60))
def test_any_text_is_a_position_or_refused(text: str) -> None:
    try:
        position = decode_cursor(text)
    except InvalidCursor:
        return

    assert position is not None
    assert position[0].tzinfo is UTC


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "OmE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA", "9" * 6000, "é", "\ud800"])
def test_a_cursor_that_nobody_issued_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor)


def test_no_cursor_is_the_beginning() -> None:
    assert decode_cursor(None) is None


@pytest.mark.parametrize(("found", "shown", "more"), [(0, 0, False), (2, 2, False), (3, 3, False), (4, 3, True)])
def test_a_page_shows_up_to_its_limit_and_whether_there_is_more(found: int, shown: int, more: bool) -> None:
    items = [(NOON - timedelta(seconds=n), str(n)) for n in range(found)]

    page = page_of(items, 3, lambda item: item)

    assert page == Page(items=items[:shown], next_cursor=encode_cursor(items[2]) if more else None)


@pytest.mark.parametrize("limit", [1, 50, 100])
def test_a_limit_within_bounds_is_kept(limit: int) -> None:
    assert check_limit(limit) == limit


@pytest.mark.parametrize("limit", [0, -1, 101, 2**63])
def test_a_limit_out_of_bounds_is_refused(limit: int) -> None:
    with pytest.raises(InvalidField):
        check_limit(limit)


def _tens(cursor: str | None, size: int) -> Page[int]:
    """A listing of 0 to 9, each page of which has two at most."""
    begin = int(cursor or 0)
    end = min(begin + min(size, 2), 10)
    return Page(items=range(begin, end), next_cursor=str(end) if end < 10 else None)


@pytest.mark.parametrize(("limit", "found", "after"), [(5, 5, "5"), (10, 10, None), (500, 10, None), (2, 2, "2")])
def test_small_pages_are_gathered_into_a_large_one(limit: int, found: int, after: str | None) -> None:
    page = gathered(_tens, None, limit)

    assert (list(page.items), page.next_cursor) == (list(range(found)), after)


def test_gathering_ends_where_there_is_only_more_to_look_at() -> None:
    page: Page[int] = gathered(lambda cursor, _size: Page(items=(), next_cursor=f"{cursor or ''}x"), None, 10)

    assert (page.items, set(page.next_cursor or "")) == ([], {"x"})


def test_gathering_ends_when_there_is_enough() -> None:
    sizes: list[int] = []

    def one_by_one(_cursor: str | None, size: int) -> Page[str]:
        sizes.append(size)
        return Page(items=["a" * 10] * size, next_cursor="more")

    page = gathered(one_by_one, None, 500, each=3, is_full=lambda items: sum(map(len, items)) > 50)

    assert page == Page(items=["a" * 10] * 6, next_cursor="more")
    assert sizes == [3, 3]
