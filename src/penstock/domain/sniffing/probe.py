"""A bounded look into a file: a generator asks for ranges and is sent their bytes.

What is at hand answers at once; beyond it at most `MAX_READS` ranges are asked for, of at most `MAX_BYTES` in all with
the head. Past that, and past the file's end, there is nothing to see, and the parsers make do with what they saw.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple, TypeAlias, TypeVar

SNIFF_BYTES = 4096
"""How many first bytes a look wants to begin with."""
MAX_READS = 3
AHEAD = 64 * 1024
MAX_BYTES = SNIFF_BYTES + MAX_READS * AHEAD
"""How many bytes of a file are looked at, at most."""

T = TypeVar("T")


class Range(NamedTuple):
    """Bytes from `start` up to, not including, `end`; within the file."""

    start: int
    end: int


Look: TypeAlias = Generator[Range, bytes, T]
"""Asks for ranges, is sent their bytes (fewer where the file ends early), and returns what it saw."""


class View:
    """The parts of one file that were seen so far."""

    def __init__(self, head: bytes, *, size: int) -> None:
        self.head = head
        self.size = max(size, len(head))
        self._seen = [(0, head)]
        self._reads = 0

    def at(self, start: int, length: int, *, ahead: int = AHEAD) -> Look[bytes]:
        """`length` bytes from `start`, fewer when the file or the budget ends first.

        What is not at hand is asked for in one range of up to `ahead` bytes.
        """
        end = min(start + length, self.size)
        if start >= end:
            return b""
        for begin, piece in reversed(self._seen):
            if begin <= start and end <= begin + len(piece):
                return piece[start - begin : end - begin]
        if self._reads == MAX_READS:
            return self._known(start, end)
        self._reads += 1
        wanted = Range(start, min(start + min(max(length, ahead), AHEAD), self.size))
        piece = (yield wanted)[: wanted.end - wanted.start]
        self._seen.append((start, piece))
        return piece[: end - start]

    def opening(self) -> Look[bytes]:
        """The head and what follows it, as far as one read goes."""
        begin = len(self.head)
        return self.head + (yield from self.at(begin, AHEAD))

    def _known(self, start: int, end: int) -> bytes:
        longest = b""
        for begin, piece in self._seen:
            if begin <= start < begin + len(piece):
                longest = max(longest, piece[start - begin : end - begin], key=len)
        return longest
