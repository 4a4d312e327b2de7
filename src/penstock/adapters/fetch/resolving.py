"""Asking the system for a name's addresses, without ever waiting for longer than we want to."""

from __future__ import annotations

import ipaddress
import socket
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.domain.egress import Address

_MOST_ADDRESSES = 32


class SystemResolver:
    """`getaddrinfo` in threads of its own: it knows no deadline, so a thread that hangs is left behind.

    No more than `threads` of them hang at a time; who comes then waits for a free one, within the same `seconds`.
    """

    def __init__(self, *, seconds: float = 10.0, threads: int = 16) -> None:
        self._seconds = seconds
        self._free = threading.BoundedSemaphore(threads)

    def __call__(self, host: str) -> tuple[Address, ...]:
        """The addresses in the system's order of preference; none when the name is unknown or nobody answers."""
        if not self._free.acquire(timeout=self._seconds):
            return ()
        found: SimpleQueue[tuple[Address, ...]] = SimpleQueue()
        threading.Thread(target=self._look_up, args=(host, found), name="resolve", daemon=True).start()
        try:
            return found.get(timeout=self._seconds)
        except Empty:
            return ()

    def _look_up(self, host: str, found: SimpleQueue[tuple[Address, ...]]) -> None:
        try:
            found.put(_addresses(host))
        finally:
            self._free.release()


def _addresses(host: str) -> tuple[Address, ...]:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)  # noqa: TID251 - this is the one place
        found = dict.fromkeys(ipaddress.ip_address(str(answer[4][0])) for answer in answers[:_MOST_ADDRESSES])
    except (OSError, ValueError):
        return ()
    return tuple(found)
