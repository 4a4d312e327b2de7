"""The records of parts that arrived lately, so that completing an upload need not read them from the disk again.

A record is remembered with the stamp of its file and given out for that stamp only: what another process replaced is
not mistaken for it. To forget is always allowed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from penstock.store.record import Record

Stamp = tuple[int, int, int, int]
"""What tells a part's file from one that replaced it: inode, times of content and name, and size."""

_MOST = 10_000


def stamp_of(stat: os.stat_result) -> Stamp:
    """The stamp of a file that has its name."""
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


class PartMemory:
    """Up to `most` parts, about 1 KB each. Safe to use from several threads."""

    def __init__(self, most: int = _MOST) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._count = 0
        self._uploads: dict[str, dict[int, tuple[Stamp, Record]]] = {}

    def keep(self, upload_id: str, number: int, stamp: Stamp, record: Record) -> None:
        """Remember a part; when there are too many, those of the upload that began longest ago go."""
        with self._lock:
            parts = self._uploads.setdefault(upload_id, {})
            self._count += number not in parts
            parts[number] = stamp, record
            while self._count > self._most:
                self._count -= len(self._uploads.pop(next(iter(self._uploads))))

    def recall(self, upload_id: str, number: int, stamp: Stamp) -> Record | None:
        """The record of the part whose file has this stamp, if it is remembered."""
        with self._lock:
            known = self._uploads.get(upload_id, {}).get(number)
        return known[1] if known and known[0] == stamp else None

    def forget(self, upload_id: str) -> None:
        """An upload has ended."""
        with self._lock:
            self._count -= len(self._uploads.pop(upload_id, {}))
