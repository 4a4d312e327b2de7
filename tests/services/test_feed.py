"""Following events: woken by one's own subject alone, by one look for all, and never deaf because somebody failed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import DatabaseUnavailable
from penstock.domain.events import EventKind
from penstock.services.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from penstock.adapters.db.database import SqlTransaction
    from penstock.domain.ids import AccountId
    from penstock.ports.database import Changes, Transaction
    from tests.support.core import Core

LONG = 20.0


@pytest.fixture
def core(core_on_each_database: Core) -> Core:
    return core_on_each_database


@pytest.fixture
def acme(core: Core) -> AccountId:
    return core.open_account()


@pytest.fixture
def feed(core: Core) -> Iterator[Feed]:
    opened = Feed(core.database, core.database.changes)
    yield opened
    opened.close()


class Sleeper:
    """Somebody who waits to be woken, and counts how often that was."""

    def __init__(self, feed: Feed, subject: str, *, after: int = 0) -> None:
        self.times = 0
        self.woken = threading.Event()
        self.watch = feed.watch(subject, after, self.wake)

    def wake(self) -> None:
        self.times += 1
        self.woken.set()

    def is_woken(self) -> bool:
        woken = self.woken.wait(LONG)
        self.woken.clear()
        return woken


class CountedReads:
    """A database that counts its reading transactions."""

    def __init__(self, core: Core) -> None:
        self._database = core.database
        self.write = core.database.write
        self.ping = core.database.ping
        self.count = 0

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        self.count += 1
        with self._database.read() as tx:
            yield tx


def tell(core: Core, account_id: AccountId, *subjects: str) -> None:
    with core.database.write() as tx:
        _add(tx, account_id, subjects, core)


def _add(tx: Transaction, account_id: AccountId, subjects: tuple[str, ...], core: Core) -> None:
    for subject in subjects:
        tx.events.add(account_id, subject, EventKind.RUN_LOG, {}, now=core.clock.now())


def test_an_event_wakes_everybody_who_waits_for_its_subject(core: Core, feed: Feed, acme: AccountId) -> None:
    sleepers = [Sleeper(feed, "mine") for _ in range(3)]

    tell(core, acme, "mine")

    assert all(sleeper.is_woken() for sleeper in sleepers)


def test_what_others_commit_wakes_nobody(core: Core, feed: Feed, acme: AccountId) -> None:
    idle = [Sleeper(feed, f"idle-{number}") for number in range(50)]
    busy = Sleeper(feed, "busy")

    for number in range(10):
        core.open_account(f"account-{number}")
        tell(core, acme, "somebody", "busy")
        assert busy.is_woken()

    assert [sleeper.times for sleeper in idle] == [0] * 50


def test_one_look_serves_all_who_wait(core: Core, acme: AccountId) -> None:
    database = CountedReads(core)
    looks = [0]

    class Counted:
        """A watcher of commits that counts how often it was waited on."""

        def __init__(self) -> None:
            self._changes = core.database.changes()
            self.close = self._changes.close

        def wait(self, timeout: timedelta) -> bool:
            looks[0] += 1
            return self._changes.wait(timeout)

    feed = Feed(database, Counted)
    try:
        for number in range(50):
            Sleeper(feed, f"idle-{number}")
        busy = Sleeper(feed, "busy")
        for _ in range(10):
            tell(core, acme, "busy")
            assert busy.is_woken()
    finally:
        feed.close()

    assert 10 <= database.count <= looks[0]


def test_what_is_known_already_wakes_nobody(core: Core, feed: Feed, acme: AccountId) -> None:
    tell(core, acme, "mine", "mine")
    informed, behind = Sleeper(feed, "mine", after=2), Sleeper(feed, "mine", after=1)
    core.open_account("another")
    assert behind.is_woken()

    assert informed.times == 0
    tell(core, acme, "mine")
    assert informed.is_woken()


def test_whoever_has_left_is_not_woken(core: Core, feed: Feed, acme: AccountId) -> None:
    gone, here = Sleeper(feed, "mine"), Sleeper(feed, "mine")
    feed.leave(gone.watch)
    feed.leave(gone.watch)

    tell(core, acme, "mine")

    assert here.is_woken()
    assert gone.times == 0


def test_somebody_who_cannot_be_woken_does_not_keep_the_others_asleep(core: Core, feed: Feed, acme: AccountId) -> None:
    def fail() -> None:
        raise RuntimeError("Event loop is closed")

    feed.watch("mine", 0, fail)
    sleeper = Sleeper(feed, "mine")

    for _ in range(3):
        tell(core, acme, "mine")
        assert sleeper.is_woken()


def test_a_database_that_cannot_be_watched_at_first_is_watched_later(core: Core, acme: AccountId) -> None:
    tries = iter([DatabaseUnavailable("the database does not answer"), None])

    def open_changes() -> Changes:
        failure = next(tries, None)
        if failure is not None:
            raise failure
        return core.database.changes()

    feed = Feed(core.database, open_changes)
    sleeper = Sleeper(feed, "mine")
    try:
        for _ in range(2):
            tell(core, acme, "mine")
            assert sleeper.is_woken()
    finally:
        feed.close()


def test_closing_wakes_everybody_a_last_time(core: Core) -> None:
    feed = Feed(core.database, core.database.changes)
    sleeper = Sleeper(feed, "mine")
    assert not feed.closed

    feed.close()

    assert feed.closed
    assert sleeper.is_woken()


def test_events_are_read_after_a_number_and_only_by_their_owner(core: Core, feed: Feed) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    tell(core, acme, "subject", "subject", "subject")

    assert [event.number for event in feed.after(acme, "subject", 0)] == [1, 2, 3]
    assert [event.number for event in feed.after(acme, "subject", 2)] == [3]
    assert feed.after(acme, "subject", 3) == []
    assert feed.after(zenith, "subject", 0) == []
