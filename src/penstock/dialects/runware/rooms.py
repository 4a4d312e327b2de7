"""How many bytes of files stand in answers that are being made or sent: of a request, of an account, of all (P9)."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from penstock.domain.errors import RateLimited

if TYPE_CHECKING:
    from penstock.domain.ids import AccountId

MOST_OF_ANSWER = 64 * 2**20
"""Bytes in one POST's answer, or on a WebSocket in one task's until they are sent."""
MOST_OF_ACCOUNT = 128 * 2**20
MOST_OF_ALL = 512 * 2**20
"""In this process; as text and on its way a byte takes three to four."""
_RETRY_SECONDS = 5.0


class Rooms:
    """The books of this process. Threads may ask at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[AccountId] = Counter()

    def open(self, account_id: AccountId, *, until_closed: bool) -> Room:
        """For one answer; nothing is held yet."""
        return Room(self, account_id, until_closed=until_closed)

    def take(self, account_id: AccountId, size: int) -> None:
        """Hold so many bytes more. Raises `RateLimited` where that is too much."""
        with self._lock:
            if self._held[account_id] + size > MOST_OF_ACCOUNT or self._held.total() + size > MOST_OF_ALL:
                raise RateLimited(retry_after=_RETRY_SECONDS)
            self._held[account_id] += size

    def give_back(self, account_id: AccountId, size: int) -> None:
        """Hold so many bytes less."""
        with self._lock:
            self._held[account_id] -= size
            if not self._held[account_id]:
                del self._held[account_id]


class Room:
    """What one answer holds. Where it is sent piece by piece, each piece gives back what it held.

    `until_closed`: it is sent as a whole, and holds everything until then.
    """

    def __init__(self, rooms: Rooms, account_id: AccountId, *, until_closed: bool) -> None:
        self._rooms = rooms
        self._account_id = account_id
        self._until_closed = until_closed
        self._lock = threading.Lock()
        self._held = 0
        self._is_over = False

    def take(self, size: int) -> None:
        """Before so many bytes are read. Raises `RateLimited`: the file is there, and can be asked for later.

        So it does once the answer is over: a thread may still be making what nobody waits for.
        """
        with self._lock:
            if self._is_over or self._held + size > MOST_OF_ANSWER:
                raise RateLimited(retry_after=_RETRY_SECONDS)
            self._rooms.take(self._account_id, size)
            self._held += size

    def give_back(self, size: int) -> None:
        """So many bytes will not be told. Whatever has been given back since stays so."""
        with self._lock:
            self._give_back(min(size, self._held))

    def sent(self, *, last: bool = False) -> None:
        """Everything so far is on its way to the client; `last`: no more will be."""
        if not self._until_closed:
            self._let_go(last=last)

    def close(self) -> None:
        """The answer is over, however it ended. Idempotent."""
        self._let_go(last=True)

    def _let_go(self, *, last: bool) -> None:
        with self._lock:
            self._is_over = self._is_over or last
            self._give_back(self._held)

    def _give_back(self, size: int) -> None:
        self._rooms.give_back(self._account_id, size)
        self._held -= size
