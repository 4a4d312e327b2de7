"""Any S3 as our object store, path style, one bucket. What differs between stores is a value, `Capabilities`.

Every call here may be repeated without harm, so a call that got no answer, or was asked to come back (503), is repeated
a few times; a timeout is not, because its caller has waited long enough.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from penstock.adapters.objects.answers import (
    TryAgainError,
    begun,
    check,
    copied,
    info_of,
    listed,
    listed_parts,
    part_list,
    quoted,
    total_size,
)
from penstock.adapters.objects.connections import Connections, Exchange, NoAnswerError
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.ports.objects import ObjectNotFoundError, SignedRequest, StoredPart
from penstock.sigv4 import EMPTY_SHA256, Credentials, Request, Signer, clean_origin
from penstock.sigv4.canonical import encode_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from penstock.ports.clock import Clock
    from penstock.ports.objects import ObjectInfo

_Result = TypeVar("_Result")

_ANSWER_BYTES = 8 * 1024 * 1024
_BLOCK_BYTES = 256 * 1024
_CHECKSUM_MODE = ("x-amz-checksum-mode", "ENABLED")
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a store can do beyond the least that S3 means.

    `trusts_checksums`: a full-object SHA-256 in its answers was computed by the store over the bytes it keeps.
    """

    trusts_checksums: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds.

    To be connected (`connect`); for the `answer` to a call that moves no bytes, so that a store that accepts and says
    nothing does not cost its caller a minute; for one read or write of any other call (`timeout`); and before each
    repetition. A copy may move bytes after all: it gets a second more per `copy_rate` of them, up to `timeout`.
    """

    connect: float = 3.0
    answer: float = 10.0
    timeout: float = 60.0
    copy_rate: int = 100 * 2**20
    pauses: tuple[float, ...] = (0.1, 0.4, 1.0)

    def for_copy(self, size: int) -> float:
        """How long to wait for the answer to a copy of so many bytes."""
        return min(max(self.timeout, self.answer), self.answer + size / self.copy_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket at an address: `endpoint` is `http(s)://host[:port]`, without a path."""

    endpoint: str
    name: str
    region: str
    credentials: Credentials

    @property
    def origin(self) -> str:
        """The address as clients put it into Host. Raises ValueError when there is more to it."""
        return clean_origin(self.endpoint)

    @property
    def signer(self) -> Signer:
        """What signs for this bucket."""
        return Signer(credentials=self.credentials, region=self.region)


class S3ObjectStore:
    """`ports.objects.ObjectStore` over HTTP. Safe to use from any thread."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        clock: Clock,
        capabilities: Capabilities | None = None,
        patience: Patience | None = None,
        page_keys: int = 1000,
    ) -> None:
        self._bucket = bucket.name
        self._origin = bucket.origin
        self._host = self._origin.partition("://")[2]
        self._signer = bucket.signer
        self._clock = clock
        self._trusts = (capabilities or Capabilities()).trusts_checksums
        self._patience = patience or Patience()
        self._page_keys = page_keys
        self._connections = Connections(
            self._origin, connect_seconds=self._patience.connect, timeout_seconds=self._patience.timeout
        )

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def head(self, key: str) -> ObjectInfo:
        """Facts about an object. Raises `ObjectNotFoundError`."""
        request = self._request("HEAD", key, headers=(_CHECKSUM_MODE,))
        headers, _ = self._ask(request, answer_seconds=self._patience.answer)
        return self._info(key, headers)

    def peek(self, key: str, *, length: int) -> tuple[ObjectInfo, bytes]:
        """Facts and the first `length` bytes, at least one. Raises `ObjectNotFoundError`.

        An empty object has no first byte, so a range of it is answered 416 (RFC 9110 §15.5.17) or in full.
        """
        request = self._request("GET", key, headers=(("range", f"bytes=0-{length - 1}"), _CHECKSUM_MODE))

        def attempt() -> tuple[int, Mapping[str, str], bytes]:
            with self._begin(request, answer_seconds=self._patience.answer) as exchange:
                return exchange.status, exchange.headers, exchange.read(length)

        status, headers, data = self._repeated(attempt)
        if status == _RANGE_NOT_SATISFIABLE:
            info = self.head(key)
            if info.size:
                raise ObjectStoreUnavailable("the object was replaced while it was read")
            return info, b""
        size = total_size(headers, start=0) if status == _PARTIAL else None
        return self._info(key, headers, size=size), data

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`. Raises as the port says, from the first chunk on."""
        if end is not None and end <= start:
            self.head(key)
            return
        ranged = start > 0 or end is not None
        headers = (("range", f"bytes={start}-{'' if end is None else end - 1}"),) if ranged else ()
        request = self._request("GET", key, headers=headers)
        with self._repeated(lambda: self._begin(request)) as exchange:
            if exchange.status == _RANGE_NOT_SATISFIABLE:
                return
            if exchange.status == _PARTIAL:
                total_size(exchange.headers, start=start)
            elif start:
                raise ObjectStoreUnavailable("the object store ignores ranges")
            try:
                yield from exchange.blocks(None if end is None else end - start)
            except NoAnswerError as error:
                raise ObjectStoreUnavailable(str(error)) from error

    def put(self, key: str, source: Path | bytes | BinaryIO, *, size: int, content_type: str) -> ObjectInfo:
        """Write `size` bytes. A file must be seekable; it is read once to be hashed, so that the store can check it.

        Raises ValueError when the source has another size; nothing is written then.
        """
        with _opened(source) as file:
            start = file.tell()
            request = self._request("PUT", key, headers=(("content-length", str(size)), ("content-type", content_type)))
            digest = _measure(file, size=size)
            self._ask(request, body=lambda: _blocks(file, start=start), payload_hash=digest)
        return self.head(key)

    def copy(self, source: ObjectInfo, target: str, *, content_type: str) -> ObjectInfo:
        """Copy what was seen. Raises `ObjectNotFoundError`, `ObjectChangedError`."""
        request = self._request(
            "PUT",
            target,
            headers=(
                ("content-length", "0"),
                ("content-type", content_type),
                ("x-amz-copy-source", encode_path(f"/{self._bucket}/{source.key}")),
                ("x-amz-copy-source-if-match", source.etag),
                ("x-amz-metadata-directive", "REPLACE"),
            ),
        )
        _, body = self._ask(request, answer_seconds=self._patience.for_copy(source.size))
        etag, modified_at = copied(body)
        return replace(source, key=target, etag=etag, modified_at=modified_at, content_type=content_type)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, one call each; a key that is not there is no error."""
        for key in keys:
            try:
                self._ask(self._request("DELETE", key), answer_seconds=self._patience.answer)
            except ObjectNotFoundError:
                continue

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, ascending, only keys above `after` (S3 API, ListObjectsV2)."""
        fixed = (("list-type", "2"), ("max-keys", str(self._page_keys)), ("prefix", prefix))
        position = (("start-after", after),) if after else ()
        while True:
            request = Request(method="GET", origin=self._origin, path=f"/{self._bucket}", query=(*fixed, *position))
            page, token = listed(self._ask(request)[1])
            yield from page
            if token is None:
                return
            position = (("continuation-token", token),)

    def create_parts(self, key: str, *, content_type: str) -> str:
        """Begin a multipart upload (S3 API, CreateMultipartUpload); returns its id."""
        headers = (("content-length", "0"), ("content-type", content_type))
        request = self._request("POST", key, headers=headers, query=(("uploads", ""),))
        return begun(self._ask(request, answer_seconds=self._patience.answer)[1])

    def put_part(self, key: str, parts_id: str, number: int, data: bytes) -> StoredPart:
        """Write a part (S3 API, UploadPart). Raises `ObjectNotFoundError`."""
        query = (("partNumber", str(number)), ("uploadId", parts_id))
        request = self._request("PUT", key, headers=(("content-length", str(len(data))),), query=query)
        headers, _ = self._ask(request, body=lambda: (data,), payload_hash=hashlib.sha256(data).hexdigest())
        try:
            return StoredPart(number=number, size=len(data), etag=quoted(headers["etag"]))
        except KeyError:
            raise ObjectStoreUnavailable("the object store's answer lacks a part's ETag") from None

    def list_parts(self, key: str, parts_id: str) -> Sequence[StoredPart]:
        """The parts that are there (S3 API, ListParts). Raises `ObjectNotFoundError`."""
        found: list[StoredPart] = []
        marker: str | None = "0"
        while marker is not None:
            query = (("part-number-marker", marker), ("uploadId", parts_id))
            page, marker = listed_parts(self._ask(self._request("GET", key, query=query))[1])
            found += page
        return found

    def complete_parts(self, key: str, parts_id: str, parts: Sequence[StoredPart]) -> ObjectInfo:
        """Complete, and look what was made (S3 API, CompleteMultipartUpload). Raises `ObjectNotFoundError`."""
        body = part_list(parts)
        headers = (("content-length", str(len(body))), ("content-type", "application/xml"))
        request = self._request("POST", key, headers=headers, query=(("uploadId", parts_id),))
        self._ask(request, body=lambda: (body,), payload_hash=hashlib.sha256(body).hexdigest())
        return self.head(key)

    def abort_parts(self, key: str, parts_id: str) -> None:
        """Give up (S3 API, AbortMultipartUpload); an upload that is not there is no error."""
        with suppress(ObjectNotFoundError):
            request = self._request("DELETE", key, query=(("uploadId", parts_id),))
            self._ask(request, answer_seconds=self._patience.answer)

    def _request(
        self,
        method: str,
        key: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        query: tuple[tuple[str, str], ...] = (),
    ) -> Request:
        path = f"/{self._bucket}/{key}"
        return Request(method=method, origin=self._origin, path=path, headers=headers, query=query)

    def _info(self, key: str, headers: Mapping[str, str], *, size: int | None = None) -> ObjectInfo:
        return info_of(key, headers, size=size, trusts_checksums=self._trusts)

    def _ask(
        self,
        request: Request,
        *,
        body: Callable[[], Iterable[bytes]] | None = None,
        payload_hash: str = EMPTY_SHA256,
        answer_seconds: float | None = None,
    ) -> tuple[Mapping[str, str], bytes]:
        """A call whose answer is short: its headers and its body. Raises what the answer means."""

        def attempt() -> tuple[Mapping[str, str], bytes]:
            with self._send(request, body=body, payload_hash=payload_hash, answer_seconds=answer_seconds) as exchange:
                answer = exchange.read(_ANSWER_BYTES)
                check(exchange.status, answer)
                return exchange.headers, answer

        return self._repeated(attempt)

    def _begin(self, request: Request, *, answer_seconds: float | None = None) -> Exchange:
        """A GET of an object, answered with its bytes or 416; the body is still to be read."""
        exchange = self._send(request, answer_seconds=answer_seconds)
        if exchange.status in {_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE}:
            return exchange
        with exchange:
            check(exchange.status, exchange.read(_ANSWER_BYTES))
        raise ObjectStoreUnavailable(f"the object store answered {exchange.status} to a read")

    def _repeated(self, attempt: Callable[[], _Result]) -> _Result:
        """The result of an attempt, repeated while the store gives no answer or asks to be called again."""
        pauses = iter(self._patience.pauses)
        while True:
            try:
                return attempt()
            except (NoAnswerError, TryAgainError) as error:
                waited_enough = isinstance(error, NoAnswerError) and error.timed_out
                pause = None if waited_enough else next(pauses, None)
                if pause is None:
                    raise ObjectStoreUnavailable(f"the object store does not answer: {error}") from error
            time.sleep(pause)

    def _send(
        self,
        request: Request,
        *,
        body: Callable[[], Iterable[bytes]] | None = None,
        payload_hash: str = EMPTY_SHA256,
        answer_seconds: float | None = None,
    ) -> Exchange:
        """Sign and send. A kept connection that was closed meanwhile says nothing of the store: a new one is tried."""
        target, signed = self._signer.sign_headers(request, now=self._clock.now(), payload_hash=payload_hash)
        headers = {"host": self._host, **dict(request.headers), **signed}

        def send() -> Exchange:
            sent = body() if body else None
            seconds = self._patience.timeout if answer_seconds is None else answer_seconds
            return self._connections.send(request.method, target, headers, sent, answer_seconds=seconds)

        try:
            return send()
        except NoAnswerError as error:
            if not error.stale or error.timed_out:
                raise
        self._connections.close()
        return send()


class S3Presigner:
    """`ports.objects.Presigner` for a bucket at its public address."""

    def __init__(self, bucket: Bucket) -> None:
        self._origin = bucket.origin
        self._path = f"/{bucket.name}/"
        self._signer = bucket.signer

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
        """A URL for one PUT to one key, with the headers that the client must send."""
        headers = {}
        if content_type is not None:
            headers["Content-Type"] = content_type
        if size is not None:
            headers["Content-Length"] = str(size)
        query = (("x-penstock-max-length", str(max_size)),) if max_size is not None else ()
        request = Request(
            method="PUT", origin=self._origin, path=self._path + key, query=query, headers=tuple(headers.items())
        )
        url = self._signer.presign(request, now=now, expires_in=expires_in)
        return SignedRequest(method="PUT", url=url, headers=headers)

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
        """A URL for reading one key, with the response overrides of S3's GetObject."""
        overrides = (("response-content-disposition", disposition), ("response-content-type", content_type))
        query = tuple([(name, value) for name, value in overrides if value is not None])
        request = Request(method=method, origin=self._origin, path=self._path + key, query=query)
        return self._signer.presign(request, now=now, expires_in=expires_in)


@contextmanager
def _opened(source: Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    """The source as a file; a file that was handed in stays open."""
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
        return
    yield source


def _measure(file: BinaryIO, *, size: int) -> str:
    """SHA-256 (hex) of what is left in a file. Raises ValueError when that is not `size` bytes."""
    digest = hashlib.sha256()
    total = 0
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        total += len(block)
    if total != size:
        raise ValueError(f"the source has {total} bytes, not {size}")
    return digest.hexdigest()


def _blocks(file: BinaryIO, *, start: int) -> Iterator[bytes]:
    file.seek(start)
    while block := file.read(_BLOCK_BYTES):
        yield block
