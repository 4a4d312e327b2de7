"""Following events: woken by any commit, and never deaf because somebody else failed."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import DatabaseUnavailable
from penstock.domain.events import EventKind
from penstock.services.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.ports.database import Changes
    from tests.support.core import Core

LONG = 20.0


@pytest.fixture
def feed(core: Core) -> Iterator[Feed]:
    opened = Feed(core.database, core.database.changes)
    yield opened
    opened.close()


class Sleeper:
    """Somebody who waits to be woken."""

    def __init__(self, feed: Feed) -> None:
        self.woken = threading.Event()
        self.leave = feed.subscribe(self.woken.set)

    def is_woken(self) -> bool:
        return self.woken.wait(LONG)


def test_a_commit_wakes_everybody_who_waits(core: Core, feed: Feed) -> None:
    sleepers = [Sleeper(feed) for _ in range(3)]

    core.open_account()

    assert all(sleeper.is_woken() for sleeper in sleepers)


def test_whoever_has_left_is_not_woken(core: Core, feed: Feed) -> None:
    gone, here = Sleeper(feed), Sleeper(feed)
    assert here.is_woken()  # the feed has begun to watch
    gone.leave()
    gone.leave()
    gone.woken.clear()
    here.woken.clear()

    core.open_account()

    assert here.is_woken()
    assert not gone.woken.is_set()


def test_somebody_who_cannot_be_woken_does_not_keep_the_others_asleep(core: Core, feed: Feed) -> None:
    def fail() -> None:
        raise RuntimeError("Event loop is closed")

    feed.subscribe(fail)
    sleeper = Sleeper(feed)

    for number in range(3):
        sleeper.woken.clear()
        core.open_account(f"account-{number}")
        assert sleeper.is_woken()


def test_a_database_that_cannot_be_watched_at_first_is_watched_later(core: Core) -> None:
    tries = iter([DatabaseUnavailable("the database does not answer"), None])

    def open_changes() -> Changes:
        failure = next(tries, None)
        if failure is not None:
            raise failure
        return core.database.changes()

    feed = Feed(core.database, open_changes)
    sleeper = Sleeper(feed)
    try:
        core.open_account()
        assert sleeper.is_woken()
        sleeper.woken.clear()
        core.open_account("another")
        assert sleeper.is_woken()
    finally:
        feed.close()


def test_closing_wakes_everybody_a_last_time(core: Core) -> None:
    feed = Feed(core.database, core.database.changes)
    sleeper = Sleeper(feed)
    assert not feed.closed

    feed.close()

    assert feed.closed
    assert sleeper.is_woken()


def test_events_are_read_after_a_number_and_only_by_their_owner(core: Core, feed: Feed) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    with core.database.write() as tx:
        for _ in range(3):
            tx.events.add(acme, "subject", EventKind.RUN_LOG, {}, now=core.clock.now() + timedelta(seconds=1))

    assert [event.number for event in feed.after(acme, "subject", 0)] == [1, 2, 3]
    assert [event.number for event in feed.after(acme, "subject", 2)] == [3]
    assert feed.after(acme, "subject", 3) == []
    assert feed.after(zenith, "subject", 0) == []
