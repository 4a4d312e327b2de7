"""An object store in memory: the port's promises without a disk, for tests of what stands above it."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from penstock.ports.objects import (
    Multipart,
    MultipartGoneError,
    ObjectChangedError,
    ObjectInfo,
    ObjectNotFoundError,
    PartsRefusedError,
    StoredPart,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from penstock.ports.clock import Clock

_BLOCK_BYTES = 256 * 1024
_LEAST_PART_BYTES = 5 * 2**20


class MemoryObjectStore:
    """`ports.objects.ObjectStore` in a dictionary. Every write has an ETag of its own."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[ObjectInfo, bytes]] = {}
        self._lock = threading.Lock()
        self._writes = count(1)
        self.multiparts = MemoryMultiparts(self, clock=clock)

    def head(self, key: str) -> ObjectInfo:
        """Facts about an object. Raises `ObjectNotFoundError`."""
        return self._get(key)[0]

    def peek(self, key: str, *, length: int) -> tuple[ObjectInfo, bytes]:
        """Facts and the first `length` bytes. Raises `ObjectNotFoundError`."""
        info, data = self._get(key)
        return info, data[:length]

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`. Raises `ObjectNotFoundError`."""
        _, data = self._get(key)
        stop = len(data) if end is None else min(end, len(data))
        for position in range(start, stop, _BLOCK_BYTES):
            yield data[position : min(position + _BLOCK_BYTES, stop)]

    def put(self, key: str, source: Path | bytes | BinaryIO, *, size: int, content_type: str) -> ObjectInfo:
        """Write `size` bytes. Raises ValueError when the source has another size."""
        data = _bytes_of(source)
        if len(data) != size:
            raise ValueError(f"the source has {len(data)} bytes, not {size}")
        with self._lock:
            return self._keep(key, data, content_type)

    def copy(self, source: ObjectInfo, target: str, *, content_type: str) -> ObjectInfo:
        """Copy what was seen. Raises `ObjectNotFoundError`, `ObjectChangedError`."""
        with self._lock:
            info, data = self._get(source.key)
            if info.etag != source.etag:
                raise ObjectChangedError
            return self._keep(target, data, content_type)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; a key that is not there is no error."""
        for key in keys:
            with self._lock:
                self._objects.pop(key, None)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, ascending by the bytes of the key, only keys above `after`."""
        with self._lock:
            found = [info for key, (info, _) in self._objects.items() if key.startswith(prefix) and key > after]
        for info in sorted(found, key=lambda info: info.key.encode()):
            yield replace(info, content_type="", sha256=None)

    def keep_joined(self, key: str, data: bytes, content_type: str) -> ObjectInfo:
        """Keep what came in parts: the checksums of parts are none of the whole (S3 API), so no SHA-256 is told."""
        with self._lock:
            info = replace(self._keep(key, data, content_type), sha256=None)
            self._objects[key] = (info, data)
            return info

    def _get(self, key: str) -> tuple[ObjectInfo, bytes]:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFoundError from None

    def _keep(self, key: str, data: bytes, content_type: str) -> ObjectInfo:
        info = ObjectInfo(
            key=key,
            size=len(data),
            etag=f'"write-{next(self._writes)}"',
            content_type=content_type,
            modified_at=self._clock.now(),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        self._objects[key] = (info, data)
        return info


class MemoryMultiparts:
    """`ports.objects.Multiparts` in a dictionary. Parts but the last have 5 MiB at least, as in S3."""

    def __init__(self, objects: MemoryObjectStore, *, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self._uploads: dict[str, tuple[Multipart, str, dict[int, tuple[StoredPart, bytes]]]] = {}
        self._lock = threading.Lock()
        self._ids = count(1)

    def begin(self, key: str, *, content_type: str) -> str:
        """Begin an upload in parts; its id."""
        with self._lock:
            upload_id = f"upload-{next(self._ids)}"
            upload = Multipart(key=key, upload_id=upload_id, initiated_at=self._clock.now())
            self._uploads[upload_id] = (upload, content_type, {})
            return upload_id

    def put_part(self, key: str, upload_id: str, number: int, data: bytes | memoryview) -> StoredPart:
        """Keep one part. Raises `MultipartGoneError`."""
        with self._lock:
            parts = self._get(key, upload_id)[2]
            part = StoredPart(number=number, size=len(data), etag=f'"part-{next(self._ids)}"')
            parts[number] = (part, bytes(data))
            return part

    def parts(self, key: str, upload_id: str, *, after: int = 0) -> Iterator[StoredPart]:
        """What has arrived, ascending. Raises `MultipartGoneError`."""
        with self._lock:
            parts = self._get(key, upload_id)[2]
            found = [parts[number][0] for number in sorted(parts) if number > after]
        yield from found

    def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> ObjectInfo:
        """Make the object. Raises `MultipartGoneError`, `PartsRefusedError`."""
        with self._lock:
            try:
                _, content_type, kept = self._get(key, upload_id)
            except MultipartGoneError:
                return self._made(key)
            blocks = _blocks_of(parts, kept)
            data = b"".join(blocks)
            info = self._objects.keep_joined(key, data, content_type)
            del self._uploads[upload_id]
            return info

    def abort(self, key: str, upload_id: str) -> None:
        """Free the parts; one that is gone is no error."""
        with self._lock, suppress(MultipartGoneError):
            self._get(key, upload_id)
            del self._uploads[upload_id]

    def all(self, prefix: str) -> Iterator[Multipart]:
        """Those under way, ascending by key."""
        with self._lock:
            found = [upload for upload, _, _ in self._uploads.values() if upload.key.startswith(prefix)]
        yield from sorted(found, key=lambda upload: (upload.key.encode(), upload.upload_id))

    def _get(self, key: str, upload_id: str) -> tuple[Multipart, str, dict[int, tuple[StoredPart, bytes]]]:
        found = self._uploads.get(upload_id)
        if found is None or found[0].key != key:
            raise MultipartGoneError
        return found

    def _made(self, key: str) -> ObjectInfo:
        try:
            return self._objects.head(key)
        except ObjectNotFoundError:
            raise MultipartGoneError from None


def _blocks_of(parts: Sequence[StoredPart], kept: Mapping[int, tuple[StoredPart, bytes]]) -> list[bytes]:
    numbers = [part.number for part in parts]
    if not parts or numbers != sorted(set(numbers)):
        raise PartsRefusedError("InvalidPartOrder")
    blocks = []
    for part in parts:
        own, data = kept.get(part.number, (None, b""))
        if own is None or own.etag != part.etag:
            raise PartsRefusedError("InvalidPart")
        blocks.append(data)
    if any(len(block) < _LEAST_PART_BYTES for block in blocks[:-1]):
        raise PartsRefusedError("EntityTooSmall")
    return blocks


def _bytes_of(source: Path | bytes | BinaryIO) -> bytes:
    if isinstance(source, bytes):
        return source
    return source.read_bytes() if isinstance(source, Path) else source.read()
