"""Following subjects' events: one reader per process looks once per wake-up, and wakes only those it concerns."""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.domain.events import Event
    from penstock.domain.ids import AccountId
    from penstock.ports.database import Changes, Database

BATCH = 200
"""Events that one look finds at most."""
_SAFETY_POLL = timedelta(seconds=1)
_LEAST_PAUSE_SECONDS = 0.01
"""Between two looks. However often others commit, looking takes a small part of one core."""


class Watch:
    """Somebody's wish to be woken when a subject has an event above the last that they know of."""

    def __init__(self, subject: str, number: int, wake: Callable[[], object]) -> None:
        self.subject = subject
        self.number = number
        self.wake = wake

    def seen(self, number: int) -> None:
        """Up to this event they know everything. A wake-up too many may be the result, never one too few."""
        self.number = max(self.number, number)


class Feed:
    """Reads events, and wakes whoever waits for one. One watching thread per process.

    A look asks the database which of the watched subjects went on, in one statement: what it costs depends on how many
    are watched, not on how much others do. It asks for states, not for changes, so that nothing can be missed.
    """

    def __init__(self, database: Database, open_changes: Callable[[], Changes]) -> None:
        self._database = database
        self._open_changes = open_changes
        self._lock = threading.Lock()
        self._watches: dict[str, set[Watch]] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def after(self, account_id: AccountId, subject: str, number: int) -> Sequence[Event]:
        """Up to `BATCH` events of a subject above `number`, ascending."""
        with self._database.read() as tx:
            return tx.events.after(account_id, subject, number, limit=BATCH)

    def watch(self, subject: str, number: int, wake: Callable[[], object]) -> Watch:
        """Have `wake` called, from another thread, once per event above `number` or for several at once."""
        watch = Watch(subject, number, wake)
        with self._lock:
            self._watches.setdefault(subject, set()).add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="feed", daemon=True)
                self._thread.start()
        return watch

    def leave(self, watch: Watch) -> None:
        """Wake them no more. Idempotent."""
        with self._lock:
            others = self._watches.get(watch.subject, set())
            others.discard(watch)
            if not others:
                self._watches.pop(watch.subject, None)

    @property
    def closed(self) -> bool:
        """Whether the process wants to end, so that nobody should go on waiting."""
        return self._stopping.is_set()

    def close(self) -> None:
        """Stop watching, and wake everybody a last time."""
        self._stopping.set()
        with self._lock:
            everybody = [watch for watches in self._watches.values() for watch in watches]
        _wake(everybody)
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _follow(self) -> None:
        changes: Changes | None = None
        try:
            while not self._stopping.is_set():
                try:
                    changes = changes or self._open_changes()
                    changes.wait(_SAFETY_POLL)
                    self._look()
                    pause = _LEAST_PAUSE_SECONDS
                except Unavailable:
                    pause = _SAFETY_POLL.total_seconds()
                self._stopping.wait(pause)
        finally:
            if changes is not None:
                changes.close()

    def _look(self) -> None:
        with self._lock:
            known = {subject: min(watch.number for watch in watches) for subject, watches in self._watches.items()}
        if not known:
            return
        with self._database.read() as tx:
            last = tx.events.last_above(known)
        with self._lock:
            told = [(watch, number) for subject, number in last.items() for watch in self._watches.get(subject, ())]
        behind = [(watch, number) for watch, number in told if watch.number < number]
        for watch, number in behind:
            watch.seen(number)
        _wake([watch for watch, _ in behind])


def _wake(watches: Sequence[Watch]) -> None:
    for watch in watches:
        with contextlib.suppress(RuntimeError):  # the event loop of one who is about to leave has closed
            watch.wake()
