"""An object store in memory: the port's promises without a disk, for tests of what stands above it."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from penstock.ports.objects import ObjectChangedError, ObjectInfo, ObjectNotFoundError, StoredPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from penstock.ports.clock import Clock

_BLOCK_BYTES = 256 * 1024


class MemoryObjectStore:
    """`ports.objects.ObjectStore` in a dictionary. Every write has an ETag of its own."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[ObjectInfo, bytes]] = {}
        self._parts: dict[tuple[str, str], tuple[str, dict[int, tuple[StoredPart, bytes]]]] = {}
        self._lock = threading.Lock()
        self._writes = count(1)

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

    def create_parts(self, key: str, *, content_type: str) -> str:
        """Begin to write an object in parts."""
        with self._lock:
            parts_id = f"parts-{next(self._writes)}"
            self._parts[key, parts_id] = (content_type, {})
        return parts_id

    def put_part(self, key: str, parts_id: str, number: int, data: bytes) -> StoredPart:
        """Write a part. Raises `ObjectNotFoundError`."""
        with self._lock:
            part = StoredPart(number=number, size=len(data), etag=f'"write-{next(self._writes)}"')
            self._begun(key, parts_id)[1][number] = (part, data)
        return part

    def list_parts(self, key: str, parts_id: str) -> Sequence[StoredPart]:
        """The parts that are there. Raises `ObjectNotFoundError`."""
        with self._lock:
            return [part for _, (part, _) in sorted(self._begun(key, parts_id)[1].items())]

    def complete_parts(self, key: str, parts_id: str, parts: Sequence[StoredPart]) -> ObjectInfo:
        """Make the object. Raises `ObjectNotFoundError`, and `ValueError` for parts that are not there."""
        with self._lock:
            content_type, there = self._begun(key, parts_id)
            if any(there.get(part.number, (None,))[0] != part for part in parts):
                raise ValueError("a part is not the one that is there")
            info = self._keep(key, b"".join(there[part.number][1] for part in parts), content_type)
            info = replace(info, sha256=None)  # as with an S3, whose checksum of parts is none of the whole
            self._objects[key] = (info, self._objects[key][1])
            del self._parts[key, parts_id]
        return info

    def abort_parts(self, key: str, parts_id: str) -> None:
        """Give up; what is not there is no error."""
        with self._lock:
            self._parts.pop((key, parts_id), None)

    def _begun(self, key: str, parts_id: str) -> tuple[str, dict[int, tuple[StoredPart, bytes]]]:
        try:
            return self._parts[key, parts_id]
        except KeyError:
            raise ObjectNotFoundError from None

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


def _bytes_of(source: Path | bytes | BinaryIO) -> bytes:
    if isinstance(source, bytes):
        return source
    return source.read_bytes() if isinstance(source, Path) else source.read()
