"""Waiting for events without holding a thread: server-sent events and long polls over the feed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from penstock.domain.errors import RateLimited, Unavailable
from penstock.services.feed import BATCH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from starlette.types import Receive, Scope, Send

    from penstock.domain.events import Event, EventKind
    from penstock.domain.ids import AccountId
    from penstock.services.feed import Feed, Watch

T = TypeVar("T")
_HEARTBEAT_SECONDS = 15.0
_READERS = 4
"""Threads in which all those who wait read what they were woken for; other requests have threads of their own."""
_TOO_MANY_RETRY_SECONDS = 5.0


class Streams:
    """Everybody of this process who waits for events: at most `most_per_account` at once for one account (P9)."""

    def __init__(self, feed: Feed, *, most_per_account: int) -> None:
        self._feed = feed
        self._most_per_account = most_per_account
        self._open: Counter[AccountId] = Counter()
        self._readers = CapacityLimiter(_READERS)

    @property
    def closed(self) -> bool:
        """Whether the process wants to end, so that nobody should go on waiting."""
        return self._feed.closed

    async def read(self, look: Callable[[], T]) -> T:
        """Look once, in one of the threads of those who wait."""
        return await to_thread.run_sync(look, limiter=self._readers)

    def after(self, account_id: AccountId, subject: str, number: int) -> bool:
        """Whether a subject has events above `number`. Blocks."""
        return bool(self._feed.after(account_id, subject, number))

    @contextmanager
    def place(self, account_id: AccountId) -> Iterator[None]:
        """One of the account's places to wait in. Raises `RateLimited` when all are taken."""
        if self._open[account_id] >= self._most_per_account:
            raise RateLimited(retry_after=_TOO_MANY_RETRY_SECONDS)
        self._open[account_id] += 1
        try:
            yield
        finally:
            self._open[account_id] -= 1
            if not self._open[account_id]:
                del self._open[account_id]

    async def until(
        self, account_id: AccountId, subject: str, look: Callable[[], T], done: Callable[[T], bool], *, seconds: float
    ) -> T:
        """Look (in a thread) until `done`, or until the time is over or the process ends; the last value seen.

        A change that is not told by an event of the subject is not noticed. Raises `RateLimited`, and what `look` does.
        """
        value = await run_in_threadpool(look)
        if done(value) or seconds <= 0:
            return value
        deadline = asyncio.get_running_loop().time() + seconds
        with self.place(account_id), self._woken(subject, 0) as (changed, _):
            while True:
                changed.clear()
                value = await to_thread.run_sync(look, limiter=self._readers)
                left = deadline - asyncio.get_running_loop().time()
                if done(value) or left <= 0 or self._feed.closed:
                    return value
                if not await _within(left, changed):
                    return value

    async def follow(
        self, account_id: AccountId, subject: str, *, after: int, finals: frozenset[EventKind]
    ) -> AsyncIterator[Event | None]:
        """A subject's events above `after`, as they come, up to and with a final one; None as a sign of life.

        It also ends when the process does, or when the database is out of reach: whoever follows comes back with the
        last number, and an answer that has begun can no longer say what is wrong.
        """
        number = after
        with self._woken(subject, after) as (changed, watch):
            while True:
                changed.clear()
                try:
                    events = await to_thread.run_sync(
                        self._feed.after, account_id, subject, number, limiter=self._readers
                    )
                except Unavailable:
                    return
                for event in events:
                    number = event.number
                    yield event
                    if event.kind in finals:
                        return
                watch.seen(number)
                if self._feed.closed:
                    return
                while len(events) < BATCH and not await _within(_HEARTBEAT_SECONDS, changed):
                    yield None

    async def repeatedly(self, look: Callable[[], T], *, seconds: float) -> AsyncIterator[T]:
        """What is seen every so many seconds, for what no subject's events tell. It ends as `follow` does."""
        while not self._feed.closed:
            try:
                value = await to_thread.run_sync(look, limiter=self._readers)
            except Unavailable:
                return
            yield value
            await asyncio.sleep(seconds)

    @contextmanager
    def _woken(self, subject: str, number: int) -> Iterator[tuple[asyncio.Event, Watch]]:
        """An event that is set whenever the subject has gone on."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        watch = self._feed.watch(subject, number, lambda: loop.call_soon_threadsafe(changed.set))
        try:
            yield changed, watch
        finally:
            self._feed.leave(watch)


class EventStream(StreamingResponse):
    """Server-sent events (WHATWG HTML). Its `place` is taken when it begins, and given back however it ends."""

    def __init__(self, frames: AsyncIterator[bytes], *, place: AbstractContextManager[None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(frames, media_type="text/event-stream", headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream to its end. Raises `RateLimited` before anything is sent."""
        with self._place:
            await super().__call__(scope, receive, send)


async def _within(seconds: float, changed: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(changed.wait(), seconds)
    except TimeoutError:
        return False
    return True


def sse_frame(event: str, data: object, *, number: int | None = None) -> bytes:
    """One server-sent event (WHATWG HTML, server-sent events)."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


SSE_COMMENT = b": keep-alive\n\n"
