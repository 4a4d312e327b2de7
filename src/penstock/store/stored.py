"""An open object: its record, and its bytes as pieces of files, wherever they stand.

The data is one file, or a directory of segments (`segments`). Of a directory, only the segment that is being read is
open; a shared flock on it keeps whoever drops it away until the reader is done.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.store.layout import open_to_read, part_name, part_place
from penstock.store.record import DamagedError, Record, SealedError, read_record
from penstock.store.segments import covering, segments_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from penstock.store.keyring import Keyring


@dataclass(frozen=True, slots=True)
class FileSpan:
    """`count` bytes of a file from `offset` on. The descriptor is good until the next piece is asked for."""

    fd: int
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object, to be closed by whoever opened it. `fd` is of its data: a file or a directory."""

    record: Record
    fd: int
    keyring: Keyring | None = None

    def pieces(self, offset: int, count: int) -> Generator[FileSpan | bytes]:
        """The object's bytes in order. Close the iterator when you leave it early. Raises `OSError`.

        A file may turn out to be shorter than its span; whoever reads it must notice (F6). A part that is missing
        raises `DamagedError`. Encrypted data comes as bytes, a chunk at a time, and raises it instead of a byte that
        was not written so.
        """
        if not self.record.segments:
            yield from self._pieces_of(self.fd, self.record, offset, count)
            return
        for number, inside, length in covering(self.record.segments, offset, count):
            fd = self._open_part(number)
            try:
                # Whether a part is encrypted, only its own record says: it may have come before the store's keys.
                if self.keyring is None:
                    yield FileSpan(fd, inside, length)
                else:
                    yield from self._pieces_of(fd, self._part(fd, number), inside, length)
            finally:
                os.close(fd)

    def _open_part(self, number: int) -> int:
        try:
            return open_to_read(part_name(number), directory=self.fd)
        except FileNotFoundError:
            raise DamagedError("a part that the record names is missing") from None

    def _part(self, fd: int, number: int) -> Record:
        return read_record(fd, self.keyring, place=part_place(self.record.upload or "", number))

    def _pieces_of(self, fd: int, record: Record, offset: int, count: int) -> Generator[FileSpan | bytes]:
        """Some bytes of one file, whose record this is."""
        if record.cipher is None:
            yield FileSpan(fd, offset, count)
            return
        if self.keyring is None:
            raise SealedError("the data is encrypted, and no key was given")
        yield from self.keyring.decryptor(record.cipher).pieces(fd, size=record.size, offset=offset, count=count)

    def read(self, offset: int, count: int) -> bytes:
        """A few bytes, in memory. Raises `OSError`, and `DamagedError` when there are fewer."""
        data = b"".join(
            piece if isinstance(piece, bytes) else os.pread(piece.fd, piece.count, piece.offset)
            for piece in self.pieces(offset, count)
        )
        if len(data) != count:
            raise DamagedError("the data is shorter than its record says")
        return data

    def part(self, number: int) -> Record:
        """The record of one part of an object that has segments. Raises `OSError` and `DamagedError`."""
        fd = self._open_part(number)
        try:
            return self._part(fd, number)
        finally:
            os.close(fd)

    def is_encrypted(self) -> bool:
        """Whether none of the data can be read without keys. Raises `OSError` and `DamagedError`."""
        if self.record.segments:
            return all(self.part(one.number).cipher for one in segments_of(self.record.segments) if one.size)
        return self.record.cipher is not None or not self.record.size

    def close(self) -> None:
        os.close(self.fd)
