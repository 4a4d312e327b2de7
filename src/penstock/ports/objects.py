"""Where bytes live: an S3-like object store, and the maker of presigned URLs for it.

Keys are ours (never a user's file name). Sizes are bytes. Nothing here knows uploads, accounts or HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path


class ObjectNotFoundError(Exception):
    """No object under that key (or its ETag is not the one asked for)."""


class ObjectChangedError(Exception):
    """The object is not the one that the condition named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What the store says of an object. `sha256` (hex) only where the store itself computed it over all bytes."""

    key: str
    size: int
    etag: str
    content_type: str
    modified_at: datetime
    sha256: str | None = None


class ObjectStore(Protocol):
    """Durable bytes under keys. Every method may raise `ObjectStoreUnavailable` or `StorageFull` (domain errors).

    All are safe to repeat. A return means durable (P1); an exception means nothing is certain: look with `head` (P6).
    """

    def head(self, key: str) -> ObjectInfo:
        """Facts about an object. Raises `ObjectNotFoundError`."""
        ...

    def peek(self, key: str, *, length: int) -> tuple[ObjectInfo, bytes]:
        """Facts and the first `length` bytes (fewer when the object is shorter), in one round trip.

        Raises `ObjectNotFoundError`.
        """
        ...

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`, in chunks; the store is asked when the first is.

        Raises `ObjectNotFoundError`, and `ObjectStoreUnavailable` when fewer bytes come than the store announced.
        """
        ...

    def put(self, key: str, source: Path | bytes | BinaryIO, *, size: int, content_type: str) -> ObjectInfo:
        """Write `size` bytes under a key, replacing what was there, all or nothing (P2)."""
        ...

    def copy(self, source: ObjectInfo, target: str, *, content_type: str) -> ObjectInfo:
        """Copy what was seen, on the server side; no bytes travel through us (S3 `CopyObject` under the source's ETag).

        Raises `ObjectNotFoundError`, and `ObjectChangedError` when there is another object under the source's key now.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; a key that is not there is no error."""
        ...

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, ascending by key, only keys above `after`; pages are fetched lazily.

        `content_type` is empty here: listings do not carry it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """A part that the store has."""

    number: int
    size: int
    etag: str


class PartStore(Protocol):
    """Objects written in parts (S3 API, multipart upload). Raises as `ObjectStore` does.

    `parts_id` names one such writing. After it was completed or aborted it is not found.
    """

    def create_parts(self, key: str, *, content_type: str) -> str:
        """Begin to write an object in parts; returns the `parts_id`. A repeat begins another."""
        ...

    def put_part(self, key: str, parts_id: str, number: int, data: bytes) -> StoredPart:
        """Write a part, from 1 to 10000, replacing what it was. Raises `ObjectNotFoundError`."""
        ...

    def list_parts(self, key: str, parts_id: str) -> Sequence[StoredPart]:
        """The parts that are there, ascending by number. Raises `ObjectNotFoundError`."""
        ...

    def complete_parts(self, key: str, parts_id: str, parts: Sequence[StoredPart]) -> ObjectInfo:
        """Make the object of these parts, all or nothing; all but the last have at least 5 MiB.

        Raises `ObjectNotFoundError`, also when an earlier call did it: look with `head`.
        """
        ...

    def abort_parts(self, key: str, parts_id: str) -> None:
        """Give up and remove the parts; what is not there is no error."""
        ...


class Objects(ObjectStore, PartStore, Protocol):
    """Both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """What a client must send: the URL and the headers that are part of the signature (besides `host`)."""

    method: str
    url: str
    headers: dict[str, str]


class Presigner(Protocol):
    """Makes URLs, on the store's public address, that carry their own permission. Never touches the network."""

    def put(
        self,
        key: str,
        *,
        content_type: str | None,
        size: int | None,
        max_size: int | None,
        expires_in: timedelta,
        now: datetime,
    ) -> SignedRequest:
        """A URL for one PUT to one key.

        `content_type` binds the Content-Type header; `size` binds Content-Length (the `exact` size policy); `max_size`
        rides along as the signed query parameter `x-penstock-max-length`, which our own store enforces (`advisory`).
        """
        ...

    def get(
        self,
        key: str,
        *,
        expires_in: timedelta,
        now: datetime,
        content_type: str | None = None,
        disposition: str | None = None,
        method: str = "GET",
    ) -> str:
        """A URL for reading one key by `method`, GET or HEAD; a signature for one is none for the other (S3 API).

        Type and disposition are forced by the signed response overrides.
        """
        ...
