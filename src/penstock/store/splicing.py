"""Bytes from a socket into a file without a look at them: the kernel moves them through a pipe (Linux, splice(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading

PIPE_BYTES = 1024 * 1024
WRITTEN_AT_ONCE = 64 * 1024
"""Larger writes make larger folios, which some virtual machines have to ask their host for: twice the CPU time."""


class Pipe:
    """An empty pipe. One that could not be emptied is thrown away, with what is in it."""

    def __init__(self) -> None:
        self._ends: tuple[int, int] | None = None

    def __del__(self) -> None:
        self._forget()

    def fill(self, fd: int, most: int) -> int:
        """Take at most `most` bytes of a non-blocking socket; 0 at its end. Raises `OSError`."""
        _, entrance = self._open()
        return os.splice(fd, entrance, min(most, PIPE_BYTES), flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)

    def empty(self, fd: int, count: int) -> None:
        """Put the `count` bytes that were taken where a file's position is. Raises `OSError`."""
        exit_, _ = self._open()
        try:
            while count:
                count -= os.splice(exit_, fd, min(count, WRITTEN_AT_ONCE), flags=os.SPLICE_F_MOVE)
        except BaseException:
            self._forget()
            raise

    def _open(self) -> tuple[int, int]:
        if self._ends is None:
            self._ends = os.pipe2(os.O_CLOEXEC)
            with contextlib.suppress(OSError):  # of a user who has many pipes: a smaller one does it, too
                fcntl.fcntl(self._ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return self._ends

    def _forget(self) -> None:
        if self._ends is not None:
            for end in self._ends:
                os.close(end)
            self._ends = None


class ThreadPipe(threading.local):
    """One pipe per thread. It must be empty again before the coroutine waits."""

    def __init__(self) -> None:
        self.pipe = Pipe()
