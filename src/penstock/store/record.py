"""What the store knows of an object, and how it stands at the end of the object's file. Pure.

A file is `data | record | trailer`: the record is JSON, the trailer says how long both are and carries the record's
CRC-32. The data comes first, so that it can be moved by the kernel and written before anything is known of it; the
record shares the data's file, so that one fsync and one rename commit both.

A record with `linked` stands in a file without data: the data is that of the file named there (a copy, see `objects`),
or, with `segments`, that of the part files in the directory named there (a multipart upload, see `multipart`).

In an encrypted store the JSON is sealed (`keyring`), which another magic number in the trailer says.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from penstock.store.chunks import encrypted_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.store.segments import Run

_TRAILER = struct.Struct("<QII8s")
_MAGIC = b"PNSTK\x00\x00\x01"
_SEALED_MAGIC = b"PNSTK\x00\x00\x02"
USUAL_TAIL = 2048
"""Bytes at the end of a file in which a record usually is."""


_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class DamagedError(Exception):
    """A file of the store that does not end in a whole record, or that is shorter or longer than it says."""


class FlippedError(DamagedError):
    """A whole record, or encrypted data, with other bytes than were written."""


class SealedError(DamagedError):
    """A whole record of an encrypted store, for whose reader there are no keys."""


class Seal(Protocol):
    """Keeps texts secret, and each in the place that it was written for (`keyring`)."""

    def seal(self, text: bytes, *, place: str) -> bytes: ...

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Raises `DamagedError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One object. `etag` is without quotes, `sha256` in hex, `modified_us` microseconds since the epoch (UTC).

    `headers` are the stored response headers (`cache-control`, …), `user` the `x-amz-meta-…` values, `checksums` the
    further checksums that the client asked for, by algorithm, in base64. `sha256` is None where only that of each part
    is known, and of a part that is kept under its checksum alone (`payload.only_checksum`). `upload` is the id of the
    upload that `segments` came from. `cipher` is the key of encrypted data, in base64; `size` is that of the plaintext.
    """

    bucket: str
    key: str
    size: int
    etag: str
    sha256: str | None
    content_type: str
    modified_us: int
    headers: dict[str, str] = field(default_factory=dict)
    user: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    linked: str | None = None
    segments: tuple[Run, ...] = ()
    upload: str | None = None
    cipher: str | None = field(default=None, repr=False)

    @property
    def data_size(self) -> int:
        """Bytes that the data of one file take on the disk."""
        return encrypted_size(self.size) if self.cipher else self.size

    @property
    def proof(self) -> tuple[str, bytes]:
        """By what the data can be told from other data: an algorithm and its digest (binary).

        SHA-256, or the checksum that a part was sent with. Raises `DamagedError` where there is neither.
        """
        if self.sha256 is not None:
            return "sha256", bytes.fromhex(self.sha256)
        for name, value in self.checksums.items():
            return name, base64.b64decode(value)
        raise DamagedError("the record has no hash of its data")

    @property
    def modified(self) -> int:
        """Whole seconds, as `Last-Modified` shows them."""
        return self.modified_us // 1_000_000


_FIELDS = tuple([one.name for one in fields(Record)])


def encode(record: Record, seal: Seal | None, *, place: str) -> bytes:
    """The bytes that follow the data. `place` says which file this is, whatever its name; it is bound to it by `seal`.

    The place of an object's record is its entry's name (`layout`).
    """
    values = {name: value for name in _FIELDS if (value := getattr(record, name)) not in (None, {}, ())}
    return encode_values(values, seal, place=place, data_size=0 if record.linked else record.data_size)


def encode_values(values: Mapping[str, object], seal: Seal | None, *, place: str, data_size: int = 0) -> bytes:
    """JSON values and their trailer: the bytes that follow `data_size` bytes of data."""
    text = _as_json(values).encode()
    if seal is not None:
        text = seal.seal(text, place=place)
    return text + _TRAILER.pack(data_size, len(text), zlib.crc32(text), _SEALED_MAGIC if seal else _MAGIC)


def read_record(fd: int, seal: Seal | None, *, place: str) -> Record:
    """The record of an open file, written for `place`. Raises `DamagedError`."""
    values = {"sha256": None} | read_values(fd, seal, place=place)
    if "segments" in values:
        values["segments"] = tuple([(first, count, size) for first, count, size in values["segments"]])
    return Record(**values)


def read_values(fd: int, seal: Seal | None, *, place: str) -> dict[str, Any]:
    """What `encode_values` wrote at the end of an open file. Raises `DamagedError`.

    Without keys that is `SealedError` for a sealed text; with keys a text that is not sealed is read all the same.
    """
    text, sealed = _read_text(fd)
    if sealed:
        if seal is None:
            raise SealedError("the record is encrypted, and no key was given")
        text = seal.open(text, place=place)
    values: dict[str, Any] = json.loads(text)
    return values


def is_sealed(fd: int) -> bool:
    """Whether the record of an open file is encrypted. Raises `DamagedError`."""
    return _read_text(fd)[1]


def _read_text(fd: int) -> tuple[bytes, bool]:
    """The text before the trailer, compared with its checksum, and whether it is sealed."""
    total = os.fstat(fd).st_size
    tail = os.pread(fd, USUAL_TAIL, max(0, total - USUAL_TAIL))
    if len(tail) < _TRAILER.size:
        raise DamagedError("the file is too short for a record")
    data_size, text_size, checksum, magic = _TRAILER.unpack_from(tail, len(tail) - _TRAILER.size)
    if magic not in (_MAGIC, _SEALED_MAGIC) or data_size + text_size + _TRAILER.size != total:
        raise DamagedError("the file does not end in a record of its own length")
    text = tail[-text_size - _TRAILER.size : -_TRAILER.size]
    if text_size + _TRAILER.size > len(tail):
        text = os.pread(fd, text_size, data_size)
    if zlib.crc32(text) != checksum:
        raise FlippedError("the record's checksum is wrong")
    return text, magic == _SEALED_MAGIC
