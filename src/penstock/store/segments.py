"""The parts of an object that was uploaded in parts: their numbers and sizes, run-length coded. Pure.

Numbers ascend and may have gaps; an object's bytes are those of its parts in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.store.ranges import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Run = tuple[int, int, int]
"""First part number, how many numbers follow each other from there on, and the size of each such part in bytes."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One part: its number, where it begins in the object, and its size in bytes."""

    number: int
    start: int
    size: int

    def range_of(self, whole: int) -> ByteRange | None:
        """Its bytes as a range of an object of `whole` bytes; None when it has none."""
        return ByteRange(self.start, self.start + self.size, whole) if self.size else None


def runs_of(parts: Iterable[tuple[int, int]]) -> tuple[Run, ...]:
    """Runs of (number, size) pairs, which must ascend by number."""
    runs: list[Run] = []
    for number, size in parts:
        if runs:
            first, count, usual = runs[-1]
            if number == first + count and size == usual:
                runs[-1] = first, count + 1, usual
                continue
        runs.append((number, 1, size))
    return tuple(runs)


def segments_of(runs: Iterable[Run]) -> Iterator[Segment]:
    """Every part, in order."""
    start = 0
    for first, count, size in runs:
        for number in range(first, first + count):
            yield Segment(number, start, size)
            start += size


def covering(runs: Iterable[Run], offset: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Where `count` bytes from `offset` on are: part number, offset in that part, and how many bytes of it."""
    end, start = offset + count, 0
    for first, parts, size in runs if count else ():
        begin, start = start, start + parts * size
        if begin >= end:
            return
        if not size or start <= offset:
            continue
        skipped = max(0, offset - begin) // size
        for index in range(skipped, min(parts, (end - begin - 1) // size + 1)):
            position = begin + index * size
            inside = max(0, offset - position)
            yield first + index, inside, min(size, end - position) - inside


def segment_of(runs: Iterable[Run], number: int) -> Segment | None:
    """The part of this number; None when there is none."""
    start = 0
    for first, count, size in runs:
        if first <= number < first + count:
            return Segment(number, start + (number - first) * size, size)
        start += count * size
    return None


def how_many(runs: Iterable[Run]) -> int:
    """The number of parts."""
    return sum(count for _, count, _ in runs)
