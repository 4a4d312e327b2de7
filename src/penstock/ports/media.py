"""Looking into media files, behind a wall: whatever a file does to its decoder, the caller gets an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.domain.media_facts import MediaFacts


class InspectorUnavailableError(Exception):
    """Nothing can be looked into now, for no reason of the file's (no process could be started, say)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFile:
    """Bytes to look into. `content_type` is what the bytes show, never a declared one.

    Of a file that is not `complete`, holes stand for the middle: it has its full size, and true bytes at both ends.
    """

    bytes: BinaryIO
    content_type: str
    size: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was seen: the facts that could be told, a thumbnail (WebP), and why something could not be seen."""

    facts: MediaFacts | None = None
    thumbnail: bytes | None = None
    problem: str | None = None


class MediaInspector(Protocol):
    """Safe to call from several threads."""

    def inspect(self, file: MediaFile, *, want_thumbnail: bool, cancelled: Callable[[], bool]) -> Inspection:
        """Never fails for what stands in the file: that is a `problem` (broken, too large, took too long).

        Raises `InspectorUnavailableError`, and `AttemptInterruptedError` soon after `cancelled` says so.
        """
        ...
