"""Time and chance under a test's control."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


class SteppedClock:
    """Stands still until the test moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by

    def set(self, now: datetime) -> None:
        self._now = now


class SeededEntropy:
    """The same bytes in every run of a test; used from many threads, each call gets bytes of its own."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._lock = threading.Lock()

    def random_bytes(self, count: int) -> bytes:
        with self._lock:
            return self._random.randbytes(count)
