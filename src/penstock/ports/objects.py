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


class MultipartGoneError(Exception):
    """No such multipart upload: never begun, completed, or aborted."""


class PartsRefusedError(Exception):
    """The parts named are not what the store has, are out of order, or too small (S3 API: 5 MiB but the last)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What the store says of an object. `sha256` (hex) only where the store itself computed it over all bytes."""

    key: str
    size: int
    etag: str
    content_type: str
    modified_at: datetime
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """A part that has arrived: its number from 1, its size in bytes, the ETag that completion names it by."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipart:
    """A multipart upload under way."""

    key: str
    upload_id: str
    initiated_at: datetime


class Multiparts(Protocol):
    """Objects that arrive in parts, from us or by presigned URLs. Errors and repetition as in `ObjectStore`."""

    def begin(self, key: str, *, content_type: str) -> str:
        """Begin an upload in parts; its id. An answer that was lost leaves one more behind, which is in `all`."""
        ...

    def put_part(self, key: str, upload_id: str, number: int, data: bytes | memoryview) -> StoredPart:
        """Send one part, durably, replacing an earlier one of its number. Raises `MultipartGoneError`."""
        ...

    def parts(self, key: str, upload_id: str, *, after: int = 0) -> Iterator[StoredPart]:
        """What has arrived, ascending, only numbers above `after`. Raises `MultipartGoneError`."""
        ...

    def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> ObjectInfo:
        """Make the object of these parts, ascending by number; sizes are not compared.

        A part that is sent later changes no byte that is read (P7): it is refused, or the store no longer reads the
        object at all (Swift).

        May be repeated: where the upload is gone and an object stands under the key, that object is the answer. So a
        key must serve one upload. Raises `MultipartGoneError`, `PartsRefusedError`.
        """
        ...

    def abort(self, key: str, upload_id: str) -> None:
        """Free the parts; one that is gone is no error."""
        ...

    def all(self, prefix: str) -> Iterator[Multipart]:
        """Those under way for keys that begin with `prefix`, ascending by key; pages are fetched lazily."""
        ...


class ObjectStore(Protocol):
    """Durable bytes under keys. Every method may raise `ObjectStoreUnavailable` or `StorageFull` (domain errors).

    All are safe to repeat. A return means durable (P1); an exception means nothing is certain: look with `head` (P6).
    """

    @property
    def multiparts(self) -> Multiparts:
        """Uploads in parts."""
        ...

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
class SignedRequest:
    """What a client must send: the URL and the headers that are part of the signature (besides `host`)."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedForm:
    """What a client must POST as multipart/form-data: these fields in this order, then the file as `file`."""

    url: str
    fields: dict[str, str]


class Presigner(Protocol):
    """Makes URLs, on the store's public address, that carry their own permission. Never touches the network."""

    def put(  # noqa: PLR0913 - what a signature binds
        self,
        key: str,
        *,
        content_type: str | None,
        size: int | None,
        max_size: int | None,
        expires_in: timedelta,
        now: datetime,
        sha256: str | None = None,
    ) -> SignedRequest:
        """A URL for one PUT to one key.

        `content_type` binds the Content-Type header; `size` binds Content-Length (the `exact` size policy); `max_size`
        rides along as the signed query parameter `x-penstock-max-length`, which our own store enforces (`advisory`).
        `sha256` (hex) binds `x-amz-checksum-sha256`: a store that knows it refuses any other bytes, others ignore it.
        """
        ...

    def get(  # noqa: PLR0913 - what a signature binds
        self,
        key: str,
        *,
        expires_in: timedelta,
        now: datetime,
        content_type: str | None = None,
        disposition: str | None = None,
        method: str = "GET",
        mark: str | None = None,
    ) -> str:
        """A URL for reading one key by `method`, GET or HEAD; a signature for one is none for the other (S3 API).

        Type and disposition are forced by the signed response overrides. The `mark` is signed along, for `mark_of`.
        """
        ...

    def mark_of(self, url: str, *, now: datetime) -> str | None:
        """The mark of a GET URL that `get` made and that still holds; empty for any other of this bucket.

        None for a URL of another bucket or server.
        """
        ...

    def part(self, key: str, upload_id: str, number: int, *, expires_in: timedelta, now: datetime) -> str:
        """A URL for one PUT of one part. No header is signed: clients send what they like beside a part (S24)."""
        ...

    def form(  # noqa: PLR0913 - what a signature binds
        self,
        key: str,
        *,
        content_type: str,
        min_size: int,
        max_size: int,
        expires_in: timedelta,
        now: datetime,
        free: tuple[str, ...] = (),
    ) -> SignedForm:
        """A form for one POST to one key: key, bucket, type, and size range in bytes are in its policy (S25).

        `free` names further fields, which come empty and may be posted with any value.
        """
        ...
