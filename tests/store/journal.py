"""What clients asked of a store and what it acknowledged, and therefore what it may show afterwards (P1, P2).

A key is a register: its value is the SHA-256 of an object, or None for no object. Every attempt to change it has a
beginning and, once acknowledged, an end. A value may be seen as long as no acknowledged attempt began after that
value's own attempt ended. An attempt that was never answered may have happened, may not have, and may still happen;
unless its client knows that the process that had it is dead: that attempt has ended, but was not acknowledged.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER = float("inf")


@dataclass(slots=True)
class Attempt:
    """One attempt to give a key a value. `began` and `ended` are ticks of the journal's own clock."""

    key: str
    value: str | None
    began: float
    ended: float = NEVER
    acknowledged: bool = False


@dataclass(slots=True)
class Journal:
    """Attempts by key. Safe to use from several threads."""

    acknowledged: int = 0
    _attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    _clock: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, key: str, value: str | None) -> Attempt:
        """To be called before a request is sent."""
        with self._changed:
            attempt = Attempt(key, value, began=self._tick())
            self._attempts.setdefault(key, [_nothing(key)]).append(attempt)
            return attempt

    def acknowledge(self, attempts: Iterable[Attempt]) -> None:
        """To be called when a 2xx has come."""
        with self._changed:
            for attempt in attempts:
                attempt.ended, attempt.acknowledged = self._tick(), True
            self.acknowledged += 1
            self._changed.notify_all()

    def abandon(self, attempts: Iterable[Attempt]) -> None:
        """To be called when the process that had the request is dead: what it has not done it never will."""
        with self._changed:
            for attempt in attempts:
                attempt.ended = self._tick()

    def now(self) -> float:
        with self._changed:
            return self._tick()

    def known(self) -> list[str]:
        with self._changed:
            return list(self._attempts)

    def possible(self, key: str, *, since: float = NEVER) -> set[str | None]:
        """What a look that began at `since` may have seen, now that it is over; without it, what a new look may see."""
        with self._changed:
            attempts = self._attempts.get(key, [_nothing(key)])
            last = max(attempt.began for attempt in attempts if attempt.acknowledged and attempt.ended < since)
            return {attempt.value for attempt in attempts if attempt.ended >= last}

    def settle(self, key: str, value: str | None) -> None:
        """Note what a key shows after a restart: from then on nothing else may be seen."""
        with self._changed:
            self._attempts[key] = [Attempt(key, value, began=self._tick(), ended=self._tick(), acknowledged=True)]

    def wait_for(self, more: int, *, seconds: float) -> None:
        """Wait until so many more requests were acknowledged."""
        with self._changed:
            target = self.acknowledged + more
            assert self._changed.wait_for(lambda: self.acknowledged >= target, seconds), "the store stands still"

    def frozen(self) -> Journal:
        """What it says at this moment, for later."""
        with self._changed:
            attempts = copy.deepcopy(self._attempts)
            return Journal(acknowledged=self.acknowledged, _attempts=attempts, _clock=self._clock)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


def _nothing(key: str) -> Attempt:
    """What every key held before anybody came."""
    return Attempt(key, None, began=-1, ended=-1, acknowledged=True)
