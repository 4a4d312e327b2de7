"""Time and chance, handed in so that everything above is repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """The current time, aware, UTC."""
        ...


class Entropy(Protocol):
    """A cryptographically strong source of random bytes (S23)."""

    def random_bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        ...
