"""Following a subject's events: read the rows after the last number; be woken when anything has committed."""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.domain.events import Event
    from penstock.domain.ids import AccountId
    from penstock.ports.database import Changes, Database

_BATCH = 200
_SAFETY_POLL = timedelta(seconds=1)


class Feed:
    """Reads events, and tells subscribers that there may be new ones. One watching thread per process."""

    def __init__(self, database: Database, open_changes: Callable[[], Changes]) -> None:
        self._database = database
        self._open_changes = open_changes
        self._lock = threading.Lock()
        self._subscribers: dict[int, Callable[[], object]] = {}
        self._next_token = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def after(self, account_id: AccountId, subject: str, number: int) -> Sequence[Event]:
        """Up to 200 events of a subject above `number`, ascending."""
        with self._database.read() as tx:
            return tx.events.after(account_id, subject, number, limit=_BATCH)

    def subscribe(self, wake: Callable[[], object]) -> Callable[[], None]:
        """Have `wake` called, from another thread, whenever something may have changed. Returns the unsubscriber."""
        with self._lock:
            token = self._next_token = self._next_token + 1
            self._subscribers[token] = wake
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="feed", daemon=True)
                self._thread.start()

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(token, None)

        return unsubscribe

    @property
    def closed(self) -> bool:
        """Whether the process wants to end, so that nobody should go on waiting."""
        return self._stopping.is_set()

    def close(self) -> None:
        """Stop watching, and wake everybody a last time."""
        self._stopping.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _watch(self) -> None:
        changes: Changes | None = None
        try:
            while not self._stopping.is_set():
                try:
                    changes = changes or self._open_changes()
                    changes.wait(_SAFETY_POLL)
                except DatabaseUnavailable:
                    self._stopping.wait(_SAFETY_POLL.total_seconds())
                self._wake()
        finally:
            if changes is not None:
                changes.close()

    def _wake(self) -> None:
        with self._lock:
            wakes = list(self._subscribers.values())
        for wake in wakes:
            with contextlib.suppress(RuntimeError):  # the event loop of one who is about to leave has closed
                wake()
