"""Cursors: where a listing goes on. Opaque to callers; they carry no permission, so they need no signature."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from penstock.domain.errors import InvalidCursor, InvalidField
from penstock.domain.library import NUL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.ports.positions import Position

T = TypeVar("T")
MAX_LIMIT = 100
_MOST_PAGES = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items of a listing, and the cursor of the next ones (None at the end)."""

    items: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Generic[T]):
    """Some items of a listing that can be turned in both directions; None: there is nothing that way."""

    items: Sequence[T]
    next_cursor: str | None
    previous_cursor: str | None


def gathered(
    page_of: Callable[[str | None, int], Page[T]],
    cursor: str | None,
    limit: int,
    *,
    each: int = MAX_LIMIT,
    is_full: Callable[[Sequence[T]], bool] = lambda _: False,
) -> Page[T]:
    """One page of several of up to `each`, as long as some are missing of `limit` and it is not full otherwise.

    After so many pages it stops, though there may be more to look at.
    """
    items: list[T] = []
    for _ in range(_MOST_PAGES):
        page = page_of(cursor, min(limit - len(items), each))
        items += page.items
        cursor = page.next_cursor
        if cursor is None or len(items) >= limit or is_full(items):
            break
    return Page(items=items, next_cursor=cursor)


def check_limit(limit: int) -> int:
    """The limit itself, when it is 1–100. Raises `InvalidField`."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidField(("limit",), f"must be 1 to {MAX_LIMIT}")
    return limit


def decode_cursor(cursor: str | None, *, mark: str = "") -> Position | None:
    """The position behind a cursor of the listing with that mark. Raises `InvalidCursor`, also for another's."""
    if cursor is None:
        return None
    try:
        micros, _, rest = _unpacked(cursor).partition(":")
        identifier, _, marked = rest.partition(":")
        position = _EPOCH + timedelta(microseconds=int(micros)), identifier
    except (ValueError, OverflowError):
        raise InvalidCursor from None
    if marked != mark:
        raise InvalidCursor
    return position


def encode_cursor(position: Position, *, mark: str = "") -> str:
    """The cursor of a position in the listing with that mark, which tells it from others of its kind."""
    micros = (position[0] - _EPOCH) // timedelta(microseconds=1)
    return _packed(f"{micros}:{position[1]}" + (f":{mark}" if mark else ""))


def decode_name_cursor(cursor: str | None, *, mark: str = "") -> str:
    """The name behind a cursor of a listing by name; before all names without one. Raises `InvalidCursor`."""
    if cursor is None:
        return ""
    try:
        marked, _, name = _unpacked(cursor).partition("/")
    except ValueError:
        raise InvalidCursor from None
    if marked != mark or not name:
        raise InvalidCursor
    return name


def encode_name_cursor(name: str, *, mark: str = "") -> str:
    """The cursor behind a name in the listing with that mark, in which is no slash."""
    return _packed(f"{mark}/{name}")


def page_of(items: Sequence[T], limit: int, position: Callable[[T], Position]) -> Page[T]:
    """A page from up to `limit + 1` items: the extra one only shows that there is more."""
    shown = items[:limit]
    more = len(items) > limit
    return Page(items=shown, next_cursor=encode_cursor(position(shown[-1])) if more else None)


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _unpacked(cursor: str) -> str:
    """Raises `ValueError`."""
    text = base64.urlsafe_b64decode(cursor.encode() + b"==").decode()
    if NUL in text:
        raise ValueError
    return text
