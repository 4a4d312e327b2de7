"""How often a key and an address may ask (S27), counted in the memory of this process."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from penstock.domain.errors import RateLimited
from penstock.domain.rates import Rate, RateLimits, Verdict, take

if TYPE_CHECKING:
    from penstock.domain.ids import KeyId
    from penstock.ports.clock import Clock

_MOST_KNOWN = 100_000
"""Whom one count remembers at most (P9), in about 10 MB."""


class Rates:
    """Everybody who asks this process. For one thread alone, so nothing is locked; no I/O, never blocks."""

    def __init__(self, limits: RateLimits, *, clock: Clock) -> None:
        self._clock = clock
        self._keys = _Count(limits.per_key)
        self._uploads = _Count(limits.uploads)
        self._addresses = _Count(limits.per_address)
        self._failures = _Count(limits.failures)

    def of_address(self, address: str) -> Verdict | None:
        """One request more of an address; None where nothing is limited."""
        return self._addresses.take(address, now=self._now())

    def of_key(self, key_id: KeyId) -> Verdict | None:
        """One request more of a key."""
        return self._keys.take(key_id, now=self._now())

    def of_uploads(self, key_id: KeyId) -> Verdict | None:
        """One upload more that a key begins."""
        return self._uploads.take(key_id, now=self._now())

    def failed(self, address: str) -> None:
        """Count a key that is none against an address."""
        self._failures.take(address, now=self._now())

    def check_failures(self, address: str) -> None:
        """Raises `RateLimited` while an address has tried too many keys that are none."""
        require_fitting(self._failures.look(address, now=self._now()))

    def resets_at(self, verdict: Verdict) -> int:
        """When the allowance is whole again, in Unix seconds, rounded up."""
        return math.ceil(self._now() + verdict.reset_after)

    def _now(self) -> float:
        return self._clock.now().timestamp()


def require_fitting(verdict: Verdict | None) -> None:
    """Raises `RateLimited` for a request that does not fit; the wait is in whole seconds, rounded up."""
    if verdict is not None and not verdict.fits:
        raise RateLimited(retry_after=math.ceil(verdict.retry_after))


class _Count:
    """When the allowance of each of those who asked lately is whole again."""

    def __init__(self, a_minute: int) -> None:
        self._rate = Rate(requests=a_minute) if a_minute else None
        self._whole_at: dict[str, float] = {}

    def take(self, who: str, *, now: float) -> Verdict | None:
        if self._rate is None:
            return None
        if len(self._whole_at) >= _MOST_KNOWN and who not in self._whole_at:
            self._forget(now)
        self._whole_at[who], verdict = take(self._whole_at.get(who, 0.0), self._rate, now=now)
        return verdict

    def look(self, who: str, *, now: float) -> Verdict | None:
        if self._rate is None or who not in self._whole_at:
            return None
        return take(self._whole_at[who], self._rate, now=now)[1]

    def _forget(self, now: float) -> None:
        """Those whose allowance is whole; where too many others are left, everybody: memory has an end."""
        self._whole_at = {who: at for who, at in self._whole_at.items() if at > now}
        if len(self._whole_at) >= _MOST_KNOWN:
            self._whole_at.clear()
