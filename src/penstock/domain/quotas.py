"""Quotas: what an account takes, what it may take, and whether a change fits. Amounts only; no rows, no clock.

An open upload holds a place for its file and, where its size is known, for its bytes (`reserved`). When it is over it
gives both back, and the asset that it became, if any, takes what was measured. So a change is looked at as a whole:
what was set aside for it before is not asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.domain.errors import InvalidField, QuotaExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_LIMIT = 2**63 - 1
"""More than anybody can have; a limit of an account's own that lifts the operator's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that an account may take. None: nothing is said here, so another word or no limit counts."""

    bytes: int | None = None
    files: int | None = None
    open_uploads: int | None = None

    def over(self, defaults: Limits) -> Limits:
        """These limits, and where they say nothing, the defaults."""
        return Limits(
            bytes=defaults.bytes if self.bytes is None else self.bytes,
            files=defaults.files if self.files is None else self.files,
            open_uploads=defaults.open_uploads if self.open_uploads is None else self.open_uploads,
        )

    def told(self) -> Limits:
        """The limits as people are told them: None where there is none."""
        return Limits(bytes=_told(self.bytes), files=_told(self.files), open_uploads=_told(self.open_uploads))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an account takes: bytes and files at rest, bytes set aside for open uploads, and how many those are."""

    bytes: int = 0
    files: int = 0
    reserved: int = 0
    open_uploads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to an account's usage at once. One that is not `bound` is counted whatever the limits say."""

    bytes: int = 0
    files: int = 0
    reserved: int = 0
    open_uploads: int = 0
    bound: bool = False

    def __add__(self, other: Change) -> Change:
        return Change(
            bytes=self.bytes + other.bytes,
            files=self.files + other.files,
            reserved=self.reserved + other.reserved,
            open_uploads=self.open_uploads + other.open_uploads,
            bound=self.bound or other.bound,
        )

    def is_nothing(self) -> bool:
        """Whether the usage stays as it is."""
        return not (self.bytes or self.files or self.reserved or self.open_uploads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """An account's usage, the limits of its own, and the limits that count."""

    usage: Usage
    own: Limits
    limits: Limits


def require_room(change: Change, *, after: Usage, limits: Limits) -> None:
    """Raises `QuotaExceeded` when a change asks for more than there was room for; `after` is the usage with it.

    What grows nothing always fits, also where limits were lowered below what is there.
    """
    if not change.bound:
        return
    for what, grown, used, limit in _measures(change, after, limits):
        if limit is not None and grown > 0 and used > limit:
            raise QuotaExceeded(what=what, limit=limit, used=used - grown, needed=grown)


def check_limits(limits: Limits) -> None:
    """Raises `InvalidField` for a limit below 0 or above what can be counted."""
    for name, limit in (("bytes", limits.bytes), ("files", limits.files), ("open_uploads", limits.open_uploads)):
        if limit is not None and not 0 <= limit <= NO_LIMIT:
            raise InvalidField((name,), f"must be between 0 and {NO_LIMIT}")


def _measures(change: Change, after: Usage, limits: Limits) -> Iterator[tuple[str, int, int, int | None]]:
    yield "open uploads", change.open_uploads, after.open_uploads, limits.open_uploads
    yield "files", change.files + change.open_uploads, after.files + after.open_uploads, limits.files
    yield "bytes", change.bytes + change.reserved, after.bytes + after.reserved, limits.bytes


def _told(limit: int | None) -> int | None:
    return None if limit == NO_LIMIT else limit
