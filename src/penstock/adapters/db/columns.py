"""How domain values stand in columns. The same on both databases, exact in both directions, comparable in SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import BigInteger, Text
from sqlalchemy.types import TypeDecorator

from penstock.domain.accounts import Scope
from penstock.domain.ledger import QUANTUM
from penstock.domain.media_facts import MediaFacts

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST_INTEGER = 2**63 - 1
"""What a BIGINT holds; numbers from outside are cut to it before they meet the database."""
_MICROSECOND = timedelta(microseconds=1)
_BINARY_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_ONE = Decimal(1)
_UNITS = int(_ONE / QUANTUM)

E = TypeVar("E", bound=StrEnum)


class Word(TypeDecorator[str]):
    """Text that sorts by code point. Characters that no database keeps (NUL, lone surrogates) become U+FFFD.

    So an id with a NUL in it, straight from a request, is simply not found.
    """

    impl = _BINARY_TEXT
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """Text that both databases accept."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Instant(TypeDecorator[datetime]):
    """An aware time as microseconds since 1970 UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the library's signature
        """Raises `TypeError` for a time without a zone."""
        return None if value is None else (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the library's signature
        """The time, in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Day(TypeDecorator[date]):
    """A day as `YYYY-MM-DD`, which sorts."""

    impl = _BINARY_TEXT
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """The text."""
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Dialect) -> date | None:  # noqa: ARG002 - the library's signature
        """The day."""
        return None if value is None else date.fromisoformat(value)


class Span(TypeDecorator[timedelta]):
    """A duration as microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the library's signature
        """Microseconds."""
        return None if value is None else value // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:  # noqa: ARG002 - the library's signature
        """The duration."""
        return None if value is None else timedelta(microseconds=value)


class Usd(TypeDecorator[Decimal]):
    """An amount of USD as billionths, the ledger's quantum."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the library's signature
        """Raises `ValueError` rather than round an amount."""
        if value is None:
            return None
        units = value * _UNITS
        if units != int(units):
            msg = f"{value} USD is finer than {QUANTUM}"
            raise ValueError(msg)
        return int(units)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - the library's signature
        """The amount, without trailing zeros after the point."""
        if value is None:
            return None
        amount = (value * QUANTUM).normalize()
        return amount.quantize(_ONE) if amount.as_tuple().exponent > 0 else amount  # type: ignore[operator]  # finite, so an int


class Choice(TypeDecorator[E], Generic[E]):
    """A member of an enumeration by its value."""

    impl = _BINARY_TEXT
    cache_ok = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind
        self._members = {member.value: member for member in kind}

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """The value."""
        return None if value is None else value.value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> E | None:  # noqa: ANN401, ARG002 - the library's signature
        """The member. Raises `KeyError` for a value this version does not know."""
        return None if value is None else self._members[value]


class Scopes(TypeDecorator[frozenset[Scope]]):
    """A key's scopes: their names, sorted, one space between."""

    impl = _BINARY_TEXT
    cache_ok = True

    def process_bind_param(self, value: frozenset[Scope] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """The names."""
        return None if value is None else " ".join(sorted(scope.value for scope in value))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> frozenset[Scope] | None:  # noqa: ANN401, ARG002 - the library's signature
        """The scopes. Raises `ValueError` for one this version does not know."""
        return None if value is None else frozenset(Scope(name) for name in value.split())


class Tags(TypeDecorator[tuple[str, ...]]):
    """An asset's tags, as a JSON list; no tags are nothing."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """The list."""
        return json.dumps(value, separators=(",", ":")) if value else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - the library's signature
        """The tags."""
        return () if value is None else tuple(json.loads(value))


class Facts(TypeDecorator[MediaFacts]):
    """Media facts as a JSON object of those that are known."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: MediaFacts | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """The object."""
        if value is None:
            return None
        known = {name: fact for name, fact in asdict(value).items() if fact is not None}
        return json.dumps(known, separators=(",", ":"), allow_nan=False)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> MediaFacts | None:  # noqa: ANN401, ARG002 - the library's signature
        """The facts. Raises `TypeError` for one that this version does not know."""
        return None if value is None else MediaFacts(**json.loads(value))


class Json(TypeDecorator[object]):
    """A JSON value as compact ASCII text: any string in it comes back as it was, NUL and lone surrogates too.

    Not JSONB, which reorders keys and refuses NUL.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """Raises `ValueError` for NaN and infinities, `TypeError` for what is no JSON value."""
        if value is None:
            return None
        return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> object | None:  # noqa: ANN401, ARG002 - the library's signature
        """The value."""
        return None if value is None else json.loads(value)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} is not a JSON value"
    raise TypeError(msg)
