"""Cursors: where a listing goes on. Opaque to callers; they carry no permission, so they need no signature."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from penstock.domain.errors import InvalidCursor, InvalidField

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.ports.database import Position

T = TypeVar("T")
MAX_LIMIT = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items of a listing, and the cursor of the next ones (None at the end)."""

    items: Sequence[T]
    next_cursor: str | None


def check_limit(limit: int) -> int:
    """The limit itself, when it is 1–100. Raises `InvalidField`."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidField(("limit",), f"must be 1 to {MAX_LIMIT}")
    return limit


def decode_cursor(cursor: str | None) -> Position | None:
    """The position behind a cursor. Raises `InvalidCursor`."""
    if cursor is None:
        return None
    try:
        micros, _, identifier = base64.urlsafe_b64decode(cursor.encode() + b"==").decode().partition(":")
        return _EPOCH + timedelta(microseconds=int(micros)), identifier
    except (ValueError, binascii.Error, UnicodeError, OverflowError):
        raise InvalidCursor from None


def encode_cursor(position: Position) -> str:
    """The cursor of a position."""
    micros = (position[0] - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}:{position[1]}".encode()).rstrip(b"=").decode()


def page_of(items: Sequence[T], limit: int, position: Callable[[T], Position]) -> Page[T]:
    """A page from up to `limit + 1` items: the extra one only shows that there is more."""
    shown = items[:limit]
    more = len(items) > limit
    return Page(items=shown, next_cursor=encode_cursor(position(shown[-1])) if more else None)
