"""What a sweep finds: the things it would remove, and why. Telling it changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a sweep would remove now. `keys` are the objects that would go, with `size` bytes in all.

    `id` is a row's, or an object's key where no row leads to it. `since`: from when on it was to be removed.
    """

    id: str
    keys: tuple[str, ...]
    size: int
    reason: str
    since: datetime
