"""Which database and which bucket belong together.

Both hold the same mark: a random id, and a generation that the database advances before the bucket does. So a bucket
of another installation is told from our own, and a database that was put back to an earlier state from one that was
not: its generation is behind the bucket's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum

MARK_KEY = "penstock-installation"
MARK_TYPE = "application/json"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What both hold. `id` is 32 hex digits."""

    id: str
    generation: int


class Belonging(StrEnum):
    """What a bucket is to a database."""

    OURS = "ours"
    UNMARKED = "unmarked"
    FOREIGN = "foreign"
    AHEAD = "ahead"


def belonging(*, database: Mark, bucket: Mark | None) -> Belonging:
    """What the bucket is to the database, going by their marks."""
    if bucket is None:
        return Belonging.UNMARKED
    if bucket.id != database.id:
        return Belonging.FOREIGN
    return Belonging.AHEAD if bucket.generation > database.generation else Belonging.OURS


def format_mark(mark: Mark) -> bytes:
    """The mark as an object's bytes."""
    return json.dumps({"id": mark.id, "generation": mark.generation}).encode()


def parse_mark(data: bytes) -> Mark | None:
    """The mark of an object's bytes; None when they are none."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    match found:
        case {"id": str(identity), "generation": int(generation)} if _ID.fullmatch(identity) and generation >= 0:
            return Mark(id=identity, generation=generation)
        case _:
            return None
