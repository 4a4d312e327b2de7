"""Waiting in line: one at a time, first come, first served."""

from __future__ import annotations

import threading
from collections import deque

_ON_ITS_WAY = -1
"""The turn was given to a thread that has not woken yet."""


class Line:
    """A lock that is handed to whoever has waited longest, so that no thread is passed over."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._holder: int | None = None

    def enter(self, *, timeout: float) -> bool:
        """Wait for one's turn, at most `timeout` seconds; False when it did not come.

        Raises `RuntimeError` for the thread whose turn it is: it would wait for itself.
        """
        me = threading.get_ident()
        with self._mutex:
            if self._holder is None:
                self._holder = me
                return True
            if self._holder == me:
                msg = "a thread inside a write transaction asks for another one"
                raise RuntimeError(msg)
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if not turn.acquire(timeout=timeout):
            with self._mutex:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                    return False
        self._holder = me
        return True

    def pass_on(self) -> bool:
        """Give the turn to the next in line, who is certain to take it; False, and still ours, when nobody waits."""
        with self._mutex:
            return self._wake_next()

    def leave(self) -> None:
        """Give the turn to the next in line, or leave the place free."""
        with self._mutex:
            if not self._wake_next():
                self._holder = None

    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def _wake_next(self) -> bool:
        if not self._waiting:
            return False
        self._holder = _ON_ITS_WAY
        self._waiting.popleft().release()
        return True
