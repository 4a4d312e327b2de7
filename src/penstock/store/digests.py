"""Hashes of a body while it comes in: at once for small ones, beside the write for large ones.

hashlib and zlib release the GIL, and what was just written is in the page cache. So a large file is hashed by other
threads that read it back behind the writer; the writer waits at the end, for the little that is missing.
"""

from __future__ import annotations

import base64
import errno
import os
import threading
import zlib
from hashlib import md5, sha1, sha256
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from awscrt import checksums as aws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Read = Callable[[memoryview, int], int]

INLINE_LIMIT = 512 * 1024
"""Up to so many bytes from the beginning on, `Digests.update` hashes at once and reads nothing back."""
_STEP = 512 * 1024
_QUICK = frozenset({"crc32c", "crc64nvme"})
"""What takes less time than reading the bytes back (CRC-64/NVME: 40 GB/s, reading: 6)."""


class Digest(Protocol):
    """The part of hashlib's objects that is needed here."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A cyclic checksum as a function of more bytes and the value so far; big-endian, as the S3 API shows it."""

    def __init__(self, extend: Callable[[bytes | memoryview, int], int], size: int) -> None:
        self._extend = extend
        self._size = size
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._extend(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_MAKERS: dict[str, Callable[[], Digest]] = {
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(aws.crc32c, 4),
    "crc64nvme": lambda: _Crc(aws.crc64nvme, 8),
    "md5": lambda: md5(usedforsecurity=False),
    "sha1": lambda: sha1(usedforsecurity=False),
    "sha256": sha256,
}
ALGORITHMS = frozenset(_MAKERS) - {"md5"}
"""The checksums a client may ask for (`x-amz-checksum-…`): the five that the S3 API has."""


COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"
"""The types of a checksum: of the checksums of the parts, or of all bytes in a row."""


class HashThreads:
    """A few threads that run catch-up work, shared by all uploads of the process."""

    def __init__(self, count: int) -> None:
        self._work: SimpleQueue[Callable[[bytearray], None] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"hash-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[bytearray], None]) -> None:
        self._work.put(work)

    def close(self) -> None:
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        buffer = bytearray(_STEP)
        while (work := self._work.get()) is not None:
            work(buffer)


class Digests:
    """Several hashes of one file that is being written from its beginning. Used by one writer at a time.

    `read` fills a buffer with what was written, from a position on, and says how much that was; it raises `OSError`.
    Without it, what was written stands in the file as it is.
    """

    def __init__(self, names: Iterable[str], *, fd: int, threads: HashThreads, read: Read | None = None) -> None:
        read = read or (lambda view, position: os.preadv(fd, [view], position))
        self._followers = {name: _Follower(_MAKERS[name](), read) for name in names}
        self.are_quick = bool(self._followers) and self._followers.keys() <= _QUICK
        self._threads = threads
        self._written = 0
        self._behind = False

    def update(self, piece: bytes | memoryview) -> None:
        """Account for bytes that are in the file now."""
        if self._behind or not (self.are_quick or self._written + len(piece) <= INLINE_LIMIT):
            self.advance(len(piece))
            return
        self._written += len(piece)
        for follower in self._followers.values():
            follower.take(piece)

    def advance_to(self, position: int) -> None:
        """Account for everything up to `position`, as `advance` does."""
        if position > self._written:
            self.advance(position - self._written)

    def advance(self, count: int) -> None:
        """Account for `count` bytes more in the file, which the caller does not hold (they were spliced)."""
        self._written += count
        self._behind = True
        for follower in self._followers.values():
            if follower.lag(self._written) >= _STEP:
                follower.follow(self._written, self._threads)

    def finish(self) -> dict[str, bytes]:
        """The digests of everything written. Raises `OSError` when the file could not be read back."""
        return {name: follower.finish(self._written) for name, follower in self._followers.items()}

    def settle(self) -> None:
        """Wait until no other thread reads the file, so that it may be closed."""
        for follower in self._followers.values():
            follower.settle()


class _Follower:
    """One hash, and how far into the file it has come."""

    def __init__(self, digest: Digest, read: Read) -> None:
        self._digest = digest
        self._read = read
        self._hashed = 0
        self._target = 0
        self._error: OSError | None = None
        self._state = threading.Condition(threading.Lock())
        self._busy = False

    def take(self, piece: bytes | memoryview) -> None:
        self._digest.update(piece)
        self._hashed += len(piece)

    def lag(self, written: int) -> int:
        return written - max(self._hashed, self._target)

    def follow(self, written: int, threads: HashThreads) -> None:
        with self._state:
            self._target = written
            if self._busy:
                return
            self._busy = True
        threads.submit(self._catch_up)

    def finish(self, written: int) -> bytes:
        self.settle()
        if self._error is None and self._hashed < written:
            self._read_to(written, bytearray(min(_STEP, written - self._hashed)))
        if self._error is not None:
            raise self._error
        return self._digest.digest()

    def settle(self) -> None:
        with self._state:
            self._state.wait_for(lambda: not self._busy)

    def _catch_up(self, buffer: bytearray) -> None:
        while True:
            self._read_to(self._target, buffer)
            with self._state:
                if self._error is not None or self._hashed >= self._target:
                    self._busy = False
                    self._state.notify_all()
                    return

    def _read_to(self, target: int, buffer: bytearray) -> None:
        view = memoryview(buffer)
        try:
            while self._hashed < target:
                count = self._read(view[: target - self._hashed], self._hashed)
                self._digest.update(view[:count])
                self._hashed += count
                if not count:
                    self._error = OSError(errno.EIO, "a file that is being written became shorter")
                    return
        except OSError as error:
            self._error = error


def new_digest(name: str) -> Digest:
    """One that has seen nothing yet."""
    return _MAKERS[name]()


def digest_of(name: str, data: bytes) -> bytes:
    """One digest of bytes in memory."""
    digest = new_digest(name)
    digest.update(data)
    return digest.digest()


_COMBINERS: dict[str, Callable[[int, int, int], int]] = {
    "crc32": aws.combine_crc32,
    "crc32c": aws.combine_crc32c,
    "crc64nvme": aws.combine_crc64nvme,
}
COMBINABLE = frozenset(_COMBINERS)
"""The checksums of a whole that can be told from those of its parts."""


def combined(name: str, digests: Sequence[bytes], sizes: Sequence[int]) -> bytes:
    """The checksum of the parts' bytes one after another; `name` must be in `COMBINABLE`, sizes are in bytes."""
    value = 0
    for digest, size in zip(digests, sizes, strict=True):
        value = _COMBINERS[name](value, int.from_bytes(digest, "big"), size)
    return value.to_bytes(len(digests[0]), "big")


def checksum_type(values: Mapping[str, str]) -> str:
    """The type of checksums in base64: a composite one ends in `-` and the number of parts; base64 has no hyphen."""
    return COMPOSITE if any("-" in value for value in values.values()) else FULL_OBJECT


def as_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
