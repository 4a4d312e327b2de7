"""A file that is being written: bytes and their hashes, then the record, then the fsync. It is no object yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from penstock.store.digests import Digests, HashThreads
from penstock.store.failpoints import failpoint
from penstock.store.layout import remove
from penstock.store.record import Record, encode
from penstock.store.syncs import sync

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

_MOST_HELD = 64 * 1024


class Incoming:
    """One temporary file. Left without having been renamed, it is removed."""

    def __init__(self, path: str, *, digests: Iterable[str], threads: HashThreads) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        failpoint("incoming.begun")
        self.digests = Digests(digests, fd=self.fd, threads=threads)
        self.size = 0
        self._held: bytes | memoryview = b""

    def write(self, piece: bytes | memoryview) -> None:
        """Append bytes. Raises `OSError`."""
        write_all(self.fd, piece)
        self.size += len(piece)
        self.digests.update(piece)

    def hold(self, piece: bytes | memoryview) -> None:
        """Append the last bytes, to be written together with the record: `seal` must follow before the next wait."""
        if self.size + len(piece) > _MOST_HELD:
            self.write(piece)
            return
        self.digests.update(piece)
        self.size += len(piece)
        self._held = piece

    def seal(self, record: Record) -> os.stat_result:
        """Append the record and make the file durable. Raises `OSError`: then the file must not be used."""
        write_all(self.fd, b"".join((self._held, encode(record))))
        failpoint("seal.written")
        sync(self.fd, "file")
        failpoint("seal.synced")
        return os.fstat(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.digests.settle()
        os.close(self.fd)
        if kind is not None:
            remove(self.path)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """`os.write` until everything is in the file."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
