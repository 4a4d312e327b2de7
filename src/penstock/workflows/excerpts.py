"""A private copy of an asset's bytes to be looked into: whole, or of a large one both ends at their places."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.domain.assets import Asset
    from penstock.ports.objects import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcerptLimits:
    """In bytes: up to which size a file is copied whole, and how much of a larger one, at its head and its tail.

    Films keep their index at either end, and their first picture near the head.
    """

    whole: int = 256 << 20
    head: int = 64 << 20
    tail: int = 16 << 20


@contextmanager
def excerpt(
    objects: ObjectStore, asset: Asset, *, scratch: Path, limits: ExcerptLimits, go_on: Callable[[], None]
) -> Iterator[tuple[BinaryIO, bool]]:
    """The copy, at its start, and whether it is whole. It has no name, and is gone with the block.

    Raises `ObjectNotFoundError`, what the store raises, and whatever `go_on`, called between chunks, raises.
    """
    complete = asset.size <= limits.whole
    ranges = [(0, None)] if complete else [(0, limits.head), (asset.size - limits.tail, None)]
    with tempfile.TemporaryFile(dir=scratch) as copy:
        copy.truncate(asset.size)
        for start, end in ranges:
            copy.seek(start)
            for chunk in objects.read(asset.object_key, start=start, end=end):
                copy.write(chunk)
                go_on()
        copy.seek(0)
        yield copy, complete
