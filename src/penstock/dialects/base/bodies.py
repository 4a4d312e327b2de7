"""Large request bodies: few at a time, parsed apart from the event loop, so that nobody else waits for them (P9)."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import CapacityLimiter, move_on_after, to_thread

from penstock.dialects.base.strict_json import parse_strict
from penstock.domain.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.domain.ids import AccountId

MAX_BODY = 64 * 2**10
"""Bytes of a JSON body, where nothing else is said."""
MAX_LARGE_BODY = 16 * 2**20
"""Bytes of a JSON body with a model's input: room for data URIs of a few megabytes."""
_PLACES = 16
_PLACES_OF_ACCOUNT = 4
_PARSERS = 1
"""Parsing holds the interpreter, so that two at once would only take more memory."""
_WAIT_SECONDS = 10.0


class LargeBodies:
    """The bodies above `MAX_BODY` that this process holds, from their reading to the end of their request."""

    def __init__(self, *, places: int = _PLACES, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._places = CapacityLimiter(places)
        self._parsers = CapacityLimiter(_PARSERS)
        self._accounts: dict[AccountId, CapacityLimiter] = {}
        self._known: Counter[AccountId] = Counter()

    @asynccontextmanager
    async def place(self, account_id: AccountId) -> AsyncIterator[None]:
        """Room for one body; waited for in line. Raises `RateLimited` when none becomes free in time."""
        own = self._accounts.setdefault(account_id, CapacityLimiter(_PLACES_OF_ACCOUNT))
        self._known[account_id] += 1
        try:
            async with self._one_of(own), self._one_of(self._places):
                yield
        finally:
            self._known[account_id] -= 1
            if not self._known[account_id]:
                del self._known[account_id], self._accounts[account_id]

    async def parsed(self, body: bytes) -> object:
        """As `parse_strict`."""
        return await to_thread.run_sync(parse_strict, body, limiter=self._parsers)

    @asynccontextmanager
    async def _one_of(self, limiter: CapacityLimiter) -> AsyncIterator[None]:
        borrower = object()
        with move_on_after(self._wait_seconds) as waiting:
            await limiter.acquire_on_behalf_of(borrower)
        if waiting.cancelled_caught:
            raise RateLimited(retry_after=self._wait_seconds)
        try:
            yield
        finally:
            limiter.release_on_behalf_of(borrower)
