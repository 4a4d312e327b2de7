"""Waiting for events without holding a thread: server-sent events and long polls over the feed."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from starlette.concurrency import run_in_threadpool

from penstock.domain.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from penstock.domain.events import Event, EventKind
    from penstock.domain.ids import AccountId
    from penstock.services.feed import Feed

T = TypeVar("T")
_HEARTBEAT_SECONDS = 15.0


@asynccontextmanager
async def _woken(feed: Feed) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever something may have changed."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    unsubscribe = feed.subscribe(lambda: loop.call_soon_threadsafe(changed.set))
    try:
        yield changed
    finally:
        unsubscribe()


async def wait_until(feed: Feed, look: Callable[[], T], done: Callable[[T], bool], *, seconds: float) -> T:
    """Look (in a thread) until `done`, or until the time is over or the process ends; the last value seen."""
    value = await run_in_threadpool(look)
    if done(value) or seconds <= 0:
        return value
    deadline = asyncio.get_running_loop().time() + seconds
    async with _woken(feed) as changed:
        while True:
            changed.clear()
            value = await run_in_threadpool(look)
            left = deadline - asyncio.get_running_loop().time()
            if done(value) or left <= 0 or feed.closed:
                return value
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                return value


async def follow(
    feed: Feed, account_id: AccountId, subject: str, *, after: int, finals: frozenset[EventKind]
) -> AsyncIterator[Event | None]:
    """A subject's events above `after`, as they come, up to and with a final one; None as a sign of life every 15 s.

    It also ends when the process does, or when the database is out of reach: whoever follows comes back with the last
    number, and an answer that has begun can no longer say what is wrong.
    """
    number = after
    async with _woken(feed) as changed:
        while True:
            changed.clear()
            try:
                events = await run_in_threadpool(feed.after, account_id, subject, number)
            except Unavailable:
                return
            for event in events:
                number = event.number
                yield event
                if event.kind in finals:
                    return
            if feed.closed:
                return
            if events:
                continue  # there may be more than one look finds
            try:
                await asyncio.wait_for(changed.wait(), _HEARTBEAT_SECONDS)
            except TimeoutError:
                yield None


def sse_frame(event: str, data: object, *, number: int | None = None) -> bytes:
    """One server-sent event (WHATWG HTML, server-sent events)."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


SSE_COMMENT = b": keep-alive\n\n"
