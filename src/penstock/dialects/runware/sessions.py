"""Sessions: what a connection is known by, and what could not be delivered while it was gone (RU-07).

They live in this process alone: a client that comes back to another process gets a session of its own, and asks for its
results by `getResponse`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4  # noqa: TID251 - names a connection, which is no domain value

from penstock.domain.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from penstock.dialects.runware.wire import Named
    from penstock.domain.ids import AccountId

KEPT_SECONDS = 120.0
"""How long a session outlives its connection."""
MOST_PER_ACCOUNT = 256
"""Open connections of one account in this process; of those that are gone, as many are remembered."""
MOST_KEPT_BYTES = 8 * 2**20
"""Characters of undelivered frames that are kept for one account; the oldest go first."""
_MOST_KEPT = 10_000
_RETRY_SECONDS = 5.0


class Outlet(Protocol):
    """A connection that takes frames."""

    async def send(self, frame: str) -> None:
        """Send one. Raises `OSError` when nobody is there any more."""
        ...

    def abandon(self) -> None:
        """End it: its session goes on elsewhere."""
        ...


class Session:
    """One client's conversation, across connections. Its frames are sent in the order in which they came."""

    def __init__(self, session_id: str, account_id: AccountId) -> None:
        self.id = session_id
        self.account_id = account_id
        self.outlet: Outlet | None = None
        self.undelivered: deque[str] = deque()
        self.work: dict[asyncio.Task[None], Named] = {}
        self.end: asyncio.TimerHandle | None = None
        self.sending = asyncio.Lock()


class Sessions:
    """Every session of this process. For the event loop alone."""

    def __init__(self) -> None:
        self._known: dict[str, Session] = {}
        self._gone: OrderedDict[str, Session] = OrderedDict()
        self._waiting: Counter[AccountId] = Counter()
        self._attached: Counter[AccountId] = Counter()
        self._kept: Counter[AccountId] = Counter()

    def admit(self, account_id: AccountId) -> None:
        """Count a connection. Raises `RateLimited` when the account has too many."""
        if self._attached[account_id] >= MOST_PER_ACCOUNT:
            raise RateLimited(retry_after=_RETRY_SECONDS)
        self._attached[account_id] += 1

    def dismiss(self, account_id: AccountId) -> None:
        """Count one less."""
        _subtract(self._attached, account_id, 1)

    def find(self, account_id: AccountId, session_id: str | None) -> Session:
        """The account's own session of that id, or a new one: another's is like one that never was (P11)."""
        known = self._known.get(session_id or "")
        if known is not None and known.account_id == account_id:
            return known
        made = Session(str(uuid4()), account_id)
        self._known[made.id] = made
        return made

    async def attach(self, session: Session, outlet: Outlet, first: str) -> None:
        """Speak through this connection from now on: `first`, then what was not delivered. Raises `OSError`."""
        before = session.outlet
        if before is not None:
            before.abandon()
        self._forget_end(session)
        async with session.sending:  # waits for what hangs in the one before; it may let the session go meanwhile
            if session.outlet not in (None, before):
                session.outlet.abandon()
            self._forget_end(session)
            session.outlet = outlet
            await outlet.send(first)
            while session.undelivered:
                await outlet.send(session.undelivered[0])
                _subtract(self._kept, session.account_id, len(session.undelivered.popleft()))

    def detach(self, session: Session, outlet: Outlet) -> None:
        """The connection is gone; its session waits for another one. Idempotent."""
        if session.outlet is not outlet:
            return
        session.outlet = None
        session.end = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, session)
        self._gone[session.id] = session
        self._waiting[session.account_id] += 1
        if self._waiting[session.account_id] > MOST_PER_ACCOUNT:
            self._drop(next(gone for gone in self._gone.values() if gone.account_id == session.account_id))
        if len(self._gone) > _MOST_KEPT:
            self._drop(next(iter(self._gone.values())))

    async def send(self, session: Session, frame: str) -> None:
        """Send a frame through whatever connection the session has, or keep it for the next one."""
        async with session.sending:
            if session.outlet is not None:
                try:
                    await session.outlet.send(frame)
                except OSError:
                    pass
                else:
                    return
            self._keep(session, frame)

    def begin(
        self, session: Session, work: Coroutine[None, None, None], name: Named, at_end: Callable[[], None]
    ) -> None:
        """Do something for a session that outlives its connection; `at_end` is called however it ends."""
        task = asyncio.create_task(work)
        session.work[task] = name

        def ended(task: asyncio.Task[None]) -> None:
            del session.work[task]
            at_end()

        task.add_done_callback(ended)

    def end(self, session: Session, outlet: Outlet) -> None:
        """Nobody is to hear of it any more, unless it speaks through another connection by now."""
        if session.outlet is not outlet:
            return
        session.outlet = None
        self._drop(session)

    def _keep(self, session: Session, frame: str) -> None:
        if session.id not in self._known:
            return
        session.undelivered.append(frame)
        self._kept[session.account_id] += len(frame)
        while self._kept[session.account_id] > MOST_KEPT_BYTES and session.undelivered:
            _subtract(self._kept, session.account_id, len(session.undelivered.popleft()))

    def _forget_end(self, session: Session) -> None:
        if self._gone.pop(session.id, None) is not None:
            _subtract(self._waiting, session.account_id, 1)
        if session.end is not None:
            session.end.cancel()
            session.end = None

    def _drop(self, session: Session) -> None:
        self._forget_end(session)
        self._known.pop(session.id, None)
        _subtract(self._kept, session.account_id, sum(map(len, session.undelivered)))
        session.undelivered.clear()
        for task in session.work:
            task.cancel()


def _subtract(counter: Counter[AccountId], account_id: AccountId, number: int) -> None:
    counter[account_id] -= number
    if counter[account_id] <= 0:
        del counter[account_id]
