"""What a session keeps while nobody is connected: in order, bounded, and for its own account (RU-07, P9)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.dialects.runware import sessions
from penstock.dialects.runware.sessions import Session, Sessions
from penstock.dialects.runware.wire import Named
from penstock.domain.ids import AccountId

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

ACME, RIVAL = AccountId("acme"), AccountId("rival")


class Listener:
    """A connection that takes so many frames, and breaks then."""

    def __init__(self, most: int = 1000) -> None:
        self.heard: list[str] = []
        self.abandoned = False
        self._most = most

    async def send(self, frame: str) -> None:
        if len(self.heard) == self._most:
            raise BrokenPipeError
        self.heard.append(frame)

    def abandon(self) -> None:
        self.abandoned = True


def kept(frames: Sequence[str]) -> list[str]:
    """Which of these frames, sent while nobody is there, the next connection gets."""

    async def story() -> list[str]:
        everybody, listener = Sessions(), Listener()
        session = everybody.find(ACME, None)
        for frame in frames:
            await everybody.send(session, frame)
        await everybody.attach(session, listener, "hello")
        return listener.heard

    return asyncio.run(story())


def test_frames_are_delivered_in_order_behind_the_greeting() -> None:
    assert kept(["a", "b", "c"]) == ["hello", "a", "b", "c"]


def test_of_too_many_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_KEPT_BYTES", 4)

    assert kept(["aa", "bb", "cc"]) == ["hello", "bb", "cc"]


def test_a_frame_that_a_broken_connection_did_not_take_is_kept() -> None:
    async def story() -> tuple[list[str], list[str]]:
        everybody, broken, next_one = Sessions(), Listener(most=2), Listener()
        session = everybody.find(ACME, None)
        await everybody.attach(session, broken, "hello")
        for frame in ("a", "b", "c"):
            await everybody.send(session, frame)
        everybody.detach(session, broken)
        await everybody.attach(everybody.find(ACME, session.id), next_one, "again")
        return broken.heard, next_one.heard

    assert asyncio.run(story()) == (["hello", "a"], ["again", "b", "c"])


def test_a_session_has_one_connection_and_is_its_accounts_alone() -> None:
    async def story() -> tuple[bool, bool, list[str]]:
        everybody, first, second = Sessions(), Listener(), Listener()
        session = everybody.find(ACME, None)
        await everybody.attach(session, first, "hello")
        await everybody.attach(session, second, "again")
        everybody.detach(session, first)  # it has long been somebody else's
        await everybody.send(session, "a")
        return everybody.find(RIVAL, session.id) is session, first.abandoned, second.heard

    assert asyncio.run(story()) == (False, True, ["again", "a"])


class Stuck(Listener):
    """A connection whose client reads no more; it breaks when it is abandoned, and its session is let go at once."""

    def __init__(self, everybody: Sessions) -> None:
        super().__init__()
        self._everybody = everybody
        self.sending, self.broken = asyncio.Event(), asyncio.Event()
        self.session: Session | None = None

    async def send(self, frame: str) -> None:
        if frame == "hello":
            return
        self.sending.set()
        await self.broken.wait()
        if self.session is not None:
            self._everybody.detach(self.session, self)
        raise BrokenPipeError

    def abandon(self) -> None:
        self.broken.set()


def test_a_session_taken_up_while_a_frame_hangs_in_its_old_connection_stays_with_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "KEPT_SECONDS", 0)

    async def story() -> tuple[list[str], bool]:
        everybody, second = Sessions(), Listener()
        stuck, session = Stuck(everybody), everybody.find(ACME, None)
        stuck.session = session
        await everybody.attach(session, stuck, "hello")
        hanging = asyncio.create_task(everybody.send(session, "a"))
        await stuck.sending.wait()
        await everybody.attach(session, second, "again")
        await hanging
        forgotten = asyncio.Event()  # by a timer that is due after the one of the old connection, if that still runs
        asyncio.get_running_loop().call_later(0, forgotten.set)
        await forgotten.wait()
        return second.heard, everybody.find(ACME, session.id) is session

    assert asyncio.run(story()) == (["again", "a"], True)


def test_so_many_sessions_of_an_account_wait_and_what_they_waited_for_ends_with_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "MOST_PER_ACCOUNT", 2)

    async def story() -> tuple[list[bool], bool]:
        everybody, ended = Sessions(), asyncio.Event()
        made = [everybody.find(ACME, None) for _ in range(3)]
        everybody.begin(made[0], asyncio.sleep(3600), Named(), ended.set)
        for session in made:
            listener = Listener()
            await everybody.attach(session, listener, "hello")
            everybody.detach(session, listener)
        await asyncio.wait_for(ended.wait(), 60)
        return [everybody.find(ACME, session.id) is session for session in made], ended.is_set()

    assert asyncio.run(story()) == ([False, True, True], True)
