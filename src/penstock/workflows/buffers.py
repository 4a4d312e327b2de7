"""Memory that is used again as soon as nobody looks at it any more.

Fresh memory is dear: the kernel clears each page when it is touched first, and a virtual machine may have to ask its
host for it. Of 16 MiB at a time, that is 0.4 to 0.8 s of CPU per GB, as much as a SHA-256.
"""

from __future__ import annotations

from ctypes import c_ubyte
from weakref import finalize


class Buffers:
    """Buffers of `size` bytes. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[bytearray] = []

    def take(self) -> memoryview:
        """One to write to, with whatever stands in it. When the last view of it is gone, it is given out again."""
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = bytearray(self._size)
        lent = (c_ubyte * self._size).from_buffer(buffer)  # every view keeps it, and its end can be followed
        finalize(lent, self._free.append, buffer).atexit = False
        return memoryview(lent).cast("B")
