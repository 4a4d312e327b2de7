"""Large bodies: a place each, in line, and not all for one account."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from penstock.dialects.base.bodies import LargeBodies
from penstock.domain.errors import MalformedBody, RateLimited
from penstock.domain.ids import AccountId

ACME, ZENITH = AccountId("acme"), AccountId("zenith")
AT_ONCE, LONG = 0.01, 60.0


def test_a_body_without_room_waits_until_there_is_some() -> None:
    bodies = LargeBodies(places=1, wait_seconds=LONG)
    told: list[str] = []

    async def hold(name: str) -> None:
        async with bodies.place(ACME):
            told.append(f"{name} in")
            await asyncio.sleep(0)
            told.append(f"{name} out")

    async def story() -> None:
        await asyncio.gather(hold("first"), hold("second"))

    asyncio.run(story())

    assert told == ["first in", "first out", "second in", "second out"]


def test_a_body_that_finds_no_room_in_time_is_refused() -> None:
    bodies = LargeBodies(places=1, wait_seconds=AT_ONCE)

    async def story() -> None:
        async with bodies.place(ACME):
            with pytest.raises(RateLimited):
                async with bodies.place(ZENITH):
                    pass
        async with bodies.place(ZENITH):
            pass

    asyncio.run(story())


def test_one_account_cannot_take_all_places() -> None:
    bodies = LargeBodies(places=5, wait_seconds=AT_ONCE)

    async def story() -> None:
        async with AsyncExitStack() as held:
            for _ in range(4):
                await held.enter_async_context(bodies.place(ACME))
            with pytest.raises(RateLimited):
                await held.enter_async_context(bodies.place(ACME))
            async with bodies.place(ZENITH):
                pass

    asyncio.run(story())


def test_a_large_body_is_read_as_strictly_as_a_small_one() -> None:
    async def story() -> object:
        with pytest.raises(MalformedBody):
            await LargeBodies().parsed(b'{"a": 1, "a": 2}')
        return await LargeBodies().parsed(b'{"a": 1}')

    assert asyncio.run(story()) == {"a": 1}
