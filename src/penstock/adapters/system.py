"""The machine's clock and randomness: the only place that asks for either."""

from __future__ import annotations

import os
from datetime import UTC, datetime


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """The current time, aware, UTC."""
        return datetime.now(UTC)


class SystemEntropy:
    """The kernel's random numbers."""

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes fit for secrets."""
        return os.urandom(count)
