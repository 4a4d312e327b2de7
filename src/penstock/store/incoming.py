"""A file that is being written: bytes and their hashes, then the record, then the fsync. It is no object yet."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.store.digests import INLINE_LIMIT, Digests, HashThreads
from penstock.store.failpoints import failpoint
from penstock.store.layout import entry_name, remove
from penstock.store.record import DamagedError, Record, encode
from penstock.store.splicing import WRITTEN_AT_ONCE
from penstock.store.syncs import sync

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from penstock.store.keyring import Keyring
    from penstock.store.stored import FileSpan

_MOST_HELD = 64 * 1024
_WRITE_BACK_BYTES = 8 * 1024 * 1024
_APPENDED_AT_ONCE = 1024 * 1024
_COPIED_AT_ONCE = 16 * 1024 * 1024
_CANNOT_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class Incoming:
    """One temporary file. Left without having been renamed, it is removed."""

    def __init__(
        self, path: str, *, digests: Iterable[str], threads: HashThreads, keyring: Keyring | None = None
    ) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        failpoint("incoming.begun")
        self._keyring = keyring
        self._encryptor = keyring.encryptor() if keyring else None
        self.digests = Digests(digests, fd=self.fd, threads=threads, read=self._decrypt if keyring else None)
        self.size = 0
        self._held: bytes | memoryview = b""
        self._on_its_way = 0

    @property
    def is_encrypted(self) -> bool:
        """Whether the bytes must pass through `write`; those of other files may come into `fd` in any way."""
        return self._encryptor is not None

    @property
    def is_movable(self) -> bool:
        """Whether bytes should come into `fd` unseen: not where a look at them costs less than reading them back."""
        return not self.is_encrypted and not self.digests.are_quick

    def write(self, piece: bytes | memoryview) -> None:
        """Append bytes. Raises `OSError`."""
        self.size += len(piece)
        if self._encryptor is None:
            write_in_steps(self.fd, piece)
            self.digests.update(piece)
            self._write_back()
            return
        write_all(self.fd, self._encryptor.feed(piece))
        if self.size <= INLINE_LIMIT or self.digests.are_quick:
            self.digests.update(piece)
        else:
            self.digests.advance_to(self._encryptor.readable)
        self._write_back()

    def moved(self, count: int) -> None:
        """Account for bytes that were appended to `fd` without passing through here. Not for encrypted files."""
        self.size += count
        self.digests.advance(count)
        self._write_back()

    def append(self, piece: FileSpan | bytes) -> None:
        """Append bytes of another file of the store. Raises `OSError`, and `DamagedError` when it has fewer."""
        if isinstance(piece, bytes):
            self.write(piece)
            return
        offset, end = piece.offset, piece.offset + piece.count
        if not self.is_encrypted and max(self.size, piece.count) > INLINE_LIMIT:
            offset = self._copy_range(piece)
        while offset < end:
            data = os.pread(piece.fd, min(_APPENDED_AT_ONCE, end - offset), offset)
            if not data:
                raise DamagedError("a file of the store is shorter than its record says")
            self.write(data)
            offset += len(data)

    def hold(self, piece: bytes | memoryview) -> None:
        """Append the last bytes, to be written together with the record: `seal` must follow before the next wait."""
        if self.is_encrypted or self.size + len(piece) > _MOST_HELD:
            self.write(piece)
            return
        self.digests.update(piece)
        self.size += len(piece)
        self._held = piece

    def finish(self) -> dict[str, bytes]:
        """The digests of everything, after which nothing more can be appended. Raises `OSError`."""
        if self._encryptor is not None and self.size > INLINE_LIMIT:
            write_all(self.fd, self._encryptor.finish())
            self.digests.advance_to(self.size)
        return self.digests.finish()

    def seal(self, record: Record, *, place: str | None = None) -> os.stat_result:
        """Append the record and make the file durable. Raises `OSError`: then the file must not be used.

        `place` is that of the record (`record.encode`), if it is not that of an object.
        """
        last: bytes | bytearray | memoryview = self._held
        if self._encryptor is not None and self.size:
            last, record = self._encryptor.finish(), replace(record, cipher=self._encryptor.cipher)
        if place is None:
            place = entry_name(record.bucket, record.key) if self._keyring else ""  # which only a seal looks at
        write_all(self.fd, b"".join((last, encode(record, self._keyring, place=place))))
        failpoint("seal.written")
        sync(self.fd, "file")
        failpoint("seal.synced")
        if self.digests.are_quick:
            self._free_memory()
        return os.fstat(self.fd)

    def _copy_range(self, piece: FileSpan) -> int:
        """Let the kernel copy, or share where the file system can; how far it came."""
        offset, end = piece.offset, piece.offset + piece.count
        try:
            while count := os.copy_file_range(piece.fd, self.fd, min(_COPIED_AT_ONCE, end - offset), offset):
                self.moved(count)
                offset += count
        except OSError as error:
            if error.errno not in _CANNOT_COPY:
                raise
        return offset

    def _write_back(self) -> None:
        """Let the disk begin with what is there, so that the fsync at the end finds little left to do."""
        waiting = self.size - self._on_its_way
        if waiting >= _WRITE_BACK_BYTES:
            # It writes what is dirty and drops what is clean: nothing yet of what was written a moment ago.
            os.posix_fadvise(self.fd, self._on_its_way, waiting, os.POSIX_FADV_DONTNEED)
            self._on_its_way = self.size

    def _free_memory(self) -> None:
        """Give the page cache of what is durable to what comes next: nobody reads back what has been looked at.

        Pages that were just in use cost the kernel, and the host of a virtual machine, a third of fresh ones; and a
        file of gigabytes does not drive out what is read often. The record in the last page stays.
        """
        os.posix_fadvise(self.fd, 0, self.size, os.POSIX_FADV_DONTNEED)

    def _decrypt(self, view: memoryview, position: int) -> int:
        """What the file holds of the plaintext, for the digests."""
        if self._encryptor is None or self._keyring is None:
            return 0
        try:
            reader = self._keyring.decryptor(self._encryptor.cipher)
            return reader.read_into(self.fd, view, size=self._encryptor.readable, offset=position)
        except DamagedError as error:
            raise OSError(errno.EIO, "what was just encrypted does not open") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.digests.settle()
        os.close(self.fd)
        if kind is not None:
            remove(self.path)


def write_in_steps(fd: int, data: bytes | memoryview) -> None:
    """`write_all`, no more than 64 KiB at once: larger writes make larger folios, as in `splicing`."""
    view = memoryview(data)
    for begin in range(0, len(view), WRITTEN_AT_ONCE):
        write_all(fd, view[begin : begin + WRITTEN_AT_ONCE])


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """`os.write` until everything is in the file."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
