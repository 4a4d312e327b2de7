"""Waiting without a thread: until something is so, and event by event."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.dialects.base.streams import Streams, sse_frame
from penstock.domain.errors import RateLimited
from penstock.domain.events import EventKind
from penstock.services.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.domain.ids import AccountId
    from tests.support.core import Core

LONG = 30.0
FINALS = frozenset({EventKind.RUN_SUCCEEDED, EventKind.RUN_FAILED})


@pytest.fixture
def core(sqlite_url: str, tmp_path: Path) -> Iterator[Core]:
    from tests.support.core import open_core  # noqa: PLC0415 - not for tests without a database

    with open_core(sqlite_url, tmp_path / "scratch") as opened:
        yield opened


@pytest.fixture
def feed(core: Core) -> Iterator[Feed]:
    opened = Feed(core.database, core.database.changes)
    yield opened
    opened.close()


@pytest.fixture
def streams(feed: Feed) -> Streams:
    return Streams(feed, most_per_account=2)


@pytest.fixture
def acme(core: Core) -> AccountId:
    return core.open_account()


def tell(core: Core, acme: AccountId, *kinds: EventKind) -> None:
    for kind in kinds:
        with core.database.write() as tx:
            tx.events.add(acme, "run", kind, {}, now=core.clock.now())


def test_what_is_so_already_is_not_waited_for(streams: Streams, acme: AccountId) -> None:
    assert asyncio.run(streams.until(acme, "run", lambda: 7, lambda seen: seen == 7, seconds=LONG)) == 7


@pytest.mark.parametrize("seconds", [0, -1, 0.05])
def test_what_does_not_come_is_told_as_it_was_seen_last(streams: Streams, acme: AccountId, seconds: float) -> None:
    assert asyncio.run(streams.until(acme, "run", lambda: 7, lambda _: False, seconds=seconds)) == 7


def test_an_event_ends_the_wait(core: Core, feed: Feed, streams: Streams, acme: AccountId) -> None:
    looked = threading.Event()

    def look() -> int:
        looked.set()
        return len(feed.after(acme, "run", 0))

    def commit_once_somebody_waits() -> None:
        assert looked.wait(LONG)
        tell(core, acme, EventKind.RUN_STARTED)

    writer = threading.Thread(target=commit_once_somebody_waits)
    writer.start()
    seen = asyncio.run(streams.until(acme, "run", look, lambda count: count == 1, seconds=LONG))
    writer.join()

    assert seen == 1


def test_the_end_of_the_process_ends_the_wait(feed: Feed, streams: Streams, acme: AccountId) -> None:
    def look() -> int:
        feed.close()
        return 7

    assert asyncio.run(streams.until(acme, "run", look, lambda _: False, seconds=LONG)) == 7


def test_a_failing_look_is_told_to_whoever_waits(streams: Streams, acme: AccountId) -> None:
    def look() -> int:
        raise LookupError("gone")

    with pytest.raises(LookupError):
        asyncio.run(streams.until(acme, "run", look, lambda _: True, seconds=LONG))


async def followed(core: Core, streams: Streams, acme: AccountId, *, after: int = 0) -> list[int]:
    """The numbers of the events, of which the last two come only once the first was seen."""
    numbers: list[int] = []
    async for event in streams.follow(acme, "run", after=after, finals=FINALS):
        if event is None:
            continue
        numbers.append(event.number)
        if len(numbers) == 1:
            await asyncio.to_thread(tell, core, acme, EventKind.RUN_LOG, EventKind.RUN_SUCCEEDED, EventKind.RUN_LOG)
    return numbers


def test_events_come_in_order_up_to_and_with_the_final_one(core: Core, streams: Streams, acme: AccountId) -> None:
    tell(core, acme, EventKind.RUN_QUEUED, EventKind.RUN_STARTED)

    assert asyncio.run(followed(core, streams, acme)) == [1, 2, 3, 4]


def test_whoever_comes_back_goes_on_after_the_last_number(core: Core, streams: Streams, acme: AccountId) -> None:
    tell(core, acme, EventKind.RUN_QUEUED, EventKind.RUN_STARTED)

    assert asyncio.run(followed(core, streams, acme, after=1)) == [2, 3, 4]


def test_more_events_than_one_look_finds_all_come(core: Core, streams: Streams, acme: AccountId) -> None:
    with core.database.write() as tx:
        for _ in range(450):
            tx.events.add(acme, "run", EventKind.RUN_LOG, {}, now=core.clock.now())
        tx.events.add(acme, "run", EventKind.RUN_FAILED, {}, now=core.clock.now())

    assert asyncio.run(followed(core, streams, acme)) == list(range(1, 452))


def test_an_account_has_so_many_places_to_wait_in_and_no_more(
    core: Core, feed: Feed, streams: Streams, acme: AccountId
) -> None:
    zenith = core.open_account("zenith")

    async def wait(account_id: AccountId) -> int:
        return await streams.until(account_id, "run", lambda: 7, lambda _: False, seconds=LONG)

    async def story() -> list[int]:
        with streams.place(acme), streams.place(acme):
            with pytest.raises(RateLimited):
                await wait(acme)
            another = asyncio.create_task(wait(zenith))
            await asyncio.sleep(0)
        freed = asyncio.create_task(wait(acme))
        await asyncio.sleep(0)
        await asyncio.to_thread(feed.close)
        return [await another, await freed]

    assert asyncio.run(story()) == [7, 7]


@given(st.dictionaries(st.text(), st.text() | st.integers()), st.none() | st.integers(min_value=1))
def test_a_frame_is_one_event_whatever_its_data(data: dict[str, object], number: int | None) -> None:
    frame = sse_frame("run.log", data, number=number).decode()

    assert frame.endswith("\n\n")
    lines = dict(line.split(": ", 1) for line in frame[:-2].split("\n"))
    assert json.loads(lines.pop("data")) == data
    assert lines == {"event": "run.log"} | ({"id": str(number)} if number is not None else {})
