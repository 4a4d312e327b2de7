"""The Range header: one range or the whole (RFC 9110 §14; S3 API). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.store.faults import INVALID_RANGE, Refused

_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,40})-([0-9]{0,40})|-([0-9]{1,40}))[ \t]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` up to, not including, `end` of an object of `size` bytes."""

    start: int
    end: int
    size: int

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one satisfiable range, or None when the whole is to be sent: no range, many ranges, or another syntax.

    Raises `Refused` (416) for a suffix of 0 or a start at or after the end.
    """
    found = _RANGE.fullmatch(header) if header else None
    if not found:
        return None
    first, last, suffix = (int(text) if text else None for text in found.groups())
    if suffix is not None:
        if not suffix or not size:
            raise unsatisfiable(size)
        return ByteRange(max(0, size - suffix), size, size)
    start = first or 0
    if last is not None and last < start:
        return None
    if start >= size:
        raise unsatisfiable(size)
    return ByteRange(start, size if last is None else min(last + 1, size), size)


def unsatisfiable(size: int) -> Refused:
    """416 with the object's size (RFC 9110 §15.5.17)."""
    return Refused(INVALID_RANGE, headers=(("Content-Range", f"bytes */{size}"),))
