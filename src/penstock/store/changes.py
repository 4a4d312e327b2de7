"""Changes of the key index that no process has written to it yet, where several processes serve one directory.

One memory file that all append to: a line costs one system call, and stands there for everybody before the change is
acknowledged. Whoever is about to look at the index writes all lines to it first, so a listing shows what any process
has acknowledged (P4). The lines need not outlive the processes: every start compares the index with the files.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING

from penstock.store.locks import free, take

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("<QQ")
"""Where the lines begin that nobody has read, and up to where the memory was given back."""
_FREED_BYTES = 1024 * 1024


def create_changes() -> int:
    """The descriptor of a new file without lines, for processes that are forked later."""
    fd = os.memfd_create("penstock-changes", os.MFD_CLOEXEC)
    os.pwrite(fd, _HEADER.pack(mmap.PAGESIZE, mmap.PAGESIZE), 0)
    os.ftruncate(fd, mmap.PAGESIZE)
    return fd


class SharedChanges:
    """One process's view of the file. Safe to use from several threads, but for `unread`: one thread at a time."""

    def __init__(self, fd: int) -> None:
        # Opened anew, because locks and positions belong to an opening. Appending is atomic between openings.
        path = f"/proc/self/fd/{fd}"
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._end = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._end)

    def append(self, line: bytes) -> None:
        """Add a line, which ends in a line feed and has no other. Raises `OSError`."""
        written = os.write(self._end, line)
        if written < len(line):
            os.write(self._end, b"\n")  # the half line is then one that cannot be read, and spoils no other
            raise OSError(errno.ENOMEM, "no memory for a change of the index")

    def peek(self) -> list[bytes]:
        """The lines that nobody has read, and that stay so."""
        take(self._fd, 0, 1)
        try:
            begin, _ = _HEADER.unpack(os.pread(self._fd, _HEADER.size, 0))
            return self._lines_from(begin)[0]
        finally:
            free(self._fd, 0, 1)

    def _lines_from(self, begin: int) -> tuple[list[bytes], int]:
        """The whole lines behind `begin`, and where they end."""
        data = os.pread(self._fd, os.fstat(self._fd).st_size - begin, begin)
        # A line may be on its way; it is nobody's promise yet.
        whole = data.rfind(b"\n") + 1
        return data[:whole].splitlines(), begin + whole

    @contextlib.contextmanager
    def unread(self) -> Iterator[list[bytes]]:
        """The lines that nobody has read. They count as read when the context ends without an exception."""
        take(self._fd, 0, 1)
        try:
            begin, freed = _HEADER.unpack(os.pread(self._fd, _HEADER.size, 0))
            lines, end = self._lines_from(begin)
            yield lines
            if lines:
                os.pwrite(self._fd, _HEADER.pack(end, self._freed(freed, end)), 0)
        finally:
            free(self._fd, 0, 1)

    def _freed(self, freed: int, begin: int) -> int:
        """Give back the memory of lines that were read, now and then."""
        end = begin - begin % mmap.PAGESIZE
        if end - freed < _FREED_BYTES:
            return freed
        with mmap.mmap(self._fd, end - freed, offset=freed) as pages:
            pages.madvise(mmap.MADV_REMOVE)
        return end
