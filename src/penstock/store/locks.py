"""Who may change what a name stands for: one lock per shard, between threads and, when asked, between processes.

Between processes it is an open-file-description lock on one byte per shard of one file: the kernel frees it when its
holder dies. Classic record locks would not do: they report a deadlock when two threads of one process each wait for
what two threads of another hold, in no cycle at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
from typing import TYPE_CHECKING

from penstock.store.layout import SHARDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_FLOCK = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, and a process id that must be 0."""


class ShardLocks:
    """The locks of one data directory: `with locks["ab"]:`, and `with locks.all():` for every shard at once.

    Not re-entrant. A thread that holds one must not ask for another. Between processes the file at `path` decides;
    each process opens it for itself (an inherited descriptor would share its locks). Without a path the locks are
    those of this process alone, and cost no system call. Entering raises `OSError` when the kernel gives no lock.
    """

    def __init__(self, path: str | None = None) -> None:
        self._threads = {shard: threading.Lock() for shard in SHARDS}
        self._fd = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._shards: dict[str, AbstractContextManager[object]] = dict(self._threads)
        if self._fd is not None:
            for place, shard in enumerate(SHARDS):
                self._shards[shard] = _Both(self._threads[shard], self._fd, place)

    def __getitem__(self, shard: str) -> AbstractContextManager[object]:
        return self._shards[shard]

    @contextlib.contextmanager
    def all(self) -> Iterator[None]:
        """Hold every shard: nothing changes meanwhile."""
        with contextlib.ExitStack() as stack:
            for lock in self._threads.values():
                stack.enter_context(lock)
            if self._fd is None:
                yield
                return
            take(self._fd, 0, len(SHARDS))
            try:
                yield
            finally:
                free(self._fd, 0, len(SHARDS))

    def close(self) -> None:
        """Nobody may hold a lock any more."""
        if self._fd is not None:
            os.close(self._fd)


class _Both:
    """A thread's lock with a byte of the file behind it: of each process one thread at a time asks the kernel."""

    __slots__ = ("_fd", "_lock", "_place")

    def __init__(self, lock: threading.Lock, fd: int, place: int) -> None:
        self._lock = lock
        self._fd = fd
        self._place = place

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            take(self._fd, self._place, 1)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            free(self._fd, self._place, 1)
        finally:
            self._lock.release()


def take(fd: int, start: int, count: int) -> None:
    """Lock bytes of a file for one opening of it; waits for whoever holds one of them. Raises `OSError`."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, count, 0))


def free(fd: int, start: int, count: int) -> None:
    """Give such a lock back."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, start, count, 0))
