"""Places in listings and sweeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

Position = tuple["datetime", str]
"""A place in a listing by (created_at, id), newest first, that goes on below it; or in a sweep by (when it is due, id),
that goes on above it."""
