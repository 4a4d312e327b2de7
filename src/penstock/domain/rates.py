"""Rates: how many requests somebody may make in a time, and whether one more fits. Numbers only; no store, no clock.

The whole allowance may be used at once and comes back evenly (the generic cell rate algorithm, ITU-T I.371): all there
is to remember of somebody is when the allowance will be whole again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_A_LITTLE = 1e-6
"""Seconds that rounding may take from a wait or from what remains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `requests` (1 or more) in `seconds`."""

    requests: int
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a request fits, and what the one who asked may know. Times are in seconds from now.

    `retry_after` is 0 for a request that fits; `reset_after` is when the allowance is whole again.
    """

    limit: int
    remaining: int
    reset_after: float
    retry_after: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether the request may go on."""
        return self.retry_after == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Requests in a minute, of each kind; 0: any number.

    `per_key` and `per_address` count every request, `uploads` those of a key that begin an upload, and `failures` those
    of an address whose key is none.
    """

    per_key: int = 0
    per_address: int = 0
    uploads: int = 0
    failures: int = 0


def take(whole_at: float, rate: Rate, *, now: float) -> tuple[float, Verdict]:
    """Take one request of an allowance that is whole again at `whole_at`; when it is whole thereafter, and the verdict.

    A request that does not fit takes nothing. A clock that was set back costs nobody more than one period.
    """
    each = rate.seconds / rate.requests
    used = min(max(whole_at - now, 0.0), rate.seconds)
    wait = used + each - rate.seconds
    if wait > _A_LITTLE:
        return now + used, Verdict(limit=rate.requests, remaining=0, reset_after=used, retry_after=wait)
    used += each
    left = math.floor((rate.seconds - used + _A_LITTLE) / each)
    return now + used, Verdict(limit=rate.requests, remaining=max(0, left), reset_after=used)
