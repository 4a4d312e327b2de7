"""Who may use one of a worker's places now: nobody holds so many that the others wait for somebody slow.

Each name (a host, an account) has a share. Whoever finds its share in use is told how long to stay away: as long as
those that are before it will probably take. So a thousand callbacks for a host that hangs cost a place each only when
it is their turn, and are not asked about in between.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHORTEST_WAIT = 0.05
_LONGEST_WAIT = 120.0
_FIRST_GUESS = 0.5
"""Seconds that a place is used for, before anybody knows."""


@dataclass(slots=True)
class _Share:
    used: int = 0
    lasting: float = _FIRST_GUESS
    turn_at: float = 0.0


class Places:
    """Places of one process; safe to use from many threads. A name that is not used takes no memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shares: dict[str, _Share] = {}

    def enter(self, limits: Mapping[str, int], *, spread: float) -> float:
        """0.0: entered, to be left again. Else the seconds to stay away; `spread` in [0, 1) keeps the longest apart."""
        now = time.monotonic()
        with self._lock:
            shares = {name: self._shares.setdefault(name, _Share()) for name in limits}
            full = [name for name, limit in limits.items() if shares[name].used >= limit]
            if not full:
                for share in shares.values():
                    share.used += 1
                return 0.0
            wait = max(_turn(shares[name], limits[name], now) for name in full)
            self._forget(limits, now)
        if wait < _LONGEST_WAIT:
            return max(_SHORTEST_WAIT, wait)
        return _LONGEST_WAIT * (1 + spread)

    def leave(self, limits: Mapping[str, int], *, seconds: float) -> None:
        """Give the place back after so long."""
        with self._lock:
            for name in limits:
                share = self._shares[name]
                share.used -= 1
                share.lasting += (seconds - share.lasting) / 2
            self._forget(limits, time.monotonic())

    def _forget(self, limits: Mapping[str, int], now: float) -> None:
        for name in limits:
            if not self._shares[name].used and self._shares[name].turn_at <= now:
                del self._shares[name]


def _turn(share: _Share, limit: int, now: float) -> float:
    """Seconds to the next turn that nobody has yet."""
    share.turn_at = min(max(share.turn_at, now) + share.lasting / limit, now + _LONGEST_WAIT)
    return share.turn_at - now
