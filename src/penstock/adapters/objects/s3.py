"""Any S3 as our object store, path style, one bucket. What differs between stores is a value, `Capabilities`."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from penstock.adapters.objects.answers import copied, info_of, listed, total_size
from penstock.adapters.objects.calls import PARTIAL, RANGE_NOT_SATISFIABLE, Bucket, Calls, Patience
from penstock.adapters.objects.connections import NoAnswerError
from penstock.adapters.objects.deletions import delete_all
from penstock.adapters.objects.multipart import S3Multiparts
from penstock.adapters.objects.presigner import S3Presigner
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.sigv4.canonical import encode_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from penstock.ports.clock import Clock
    from penstock.ports.objects import ObjectInfo


__all__ = ["Bucket", "Capabilities", "Patience", "S3ObjectStore", "S3Presigner"]

_BLOCK_BYTES = 256 * 1024
_CHECKSUM_MODE = ("x-amz-checksum-mode", "ENABLED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a store can do beyond the least that S3 means.

    `trusts_checksums`: a full-object SHA-256 in its answers was computed by the store over the bytes it keeps.
    `checks_crc64`: it compares a CRC-64/NVME in the head of a part with what it takes, also under a presigned URL.
    """

    trusts_checksums: bool = False
    checks_crc64: bool = False


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
        self._calls = Calls(bucket, clock=clock, patience=patience or Patience())
        capabilities = capabilities or Capabilities()
        self._trusts = capabilities.trusts_checksums
        self._page_keys = page_keys
        self.multiparts = S3Multiparts(self._calls, self.head, checks_crc64=capabilities.checks_crc64)

    def close(self) -> None:
        """Close idle connections."""
        self._calls.close()

    def head(self, key: str) -> ObjectInfo:
        """Facts about an object. Raises `ObjectNotFoundError`."""
        request = self._calls.request("HEAD", key, headers=(_CHECKSUM_MODE,))
        headers, _ = self._calls.ask(request, answer_seconds=self._calls.patience.answer)
        return self._info(key, headers)

    def peek(self, key: str, *, length: int) -> tuple[ObjectInfo, bytes]:
        """Facts and the first `length` bytes, at least one. Raises `ObjectNotFoundError`.

        An empty object has no first byte, so a range of it is answered 416 (RFC 9110 §15.5.17) or in full.
        """
        request = self._calls.request("GET", key, headers=(("range", f"bytes=0-{length - 1}"), _CHECKSUM_MODE))

        def attempt() -> tuple[int, Mapping[str, str], bytes]:
            with self._calls.begin(request, answer_seconds=self._calls.patience.answer) as exchange:
                return exchange.status, exchange.headers, exchange.read(length)

        status, headers, data = self._calls.repeated(attempt)
        if status == RANGE_NOT_SATISFIABLE:
            info = self.head(key)
            if info.size:
                raise ObjectStoreUnavailable("the object was replaced while it was read")
            return info, b""
        size = total_size(headers, start=0) if status == PARTIAL else None
        return self._info(key, headers, size=size), data

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`. Raises as the port says, from the first chunk on."""
        if end is not None and end <= start:
            self.head(key)
            return
        ranged = start > 0 or end is not None
        headers = (("range", f"bytes={start}-{'' if end is None else end - 1}"),) if ranged else ()
        request = self._calls.request("GET", key, headers=headers)
        with self._calls.repeated(lambda: self._calls.begin(request)) as exchange:
            if exchange.status == RANGE_NOT_SATISFIABLE:
                return
            if exchange.status == PARTIAL:
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
            request = self._calls.request(
                "PUT", key, headers=(("content-length", str(size)), ("content-type", content_type))
            )
            digest = _measure(file, size=size)
            self._calls.ask(request, body=lambda: _blocks(file, start=start), payload_hash=digest)
        return self.head(key)

    def copy(self, source: ObjectInfo, target: str, *, content_type: str) -> ObjectInfo:
        """Copy what was seen. Raises `ObjectNotFoundError`, `ObjectChangedError`."""
        request = self._calls.request(
            "PUT",
            target,
            headers=(
                ("content-length", "0"),
                ("content-type", content_type),
                ("x-amz-copy-source", encode_path(f"/{self._calls.bucket}/{source.key}")),
                ("x-amz-copy-source-if-match", source.etag),
                ("x-amz-metadata-directive", "REPLACE"),
            ),
        )
        _, body = self._calls.ask(request, answer_seconds=self._calls.patience.for_copy(source.size))
        etag, modified_at = copied(body)
        return replace(source, key=target, etag=etag, modified_at=modified_at, content_type=content_type)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, up to a thousand with one call; a key that is not there is no error."""
        delete_all(self._calls, keys)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, ascending, only keys above `after` (S3 API, ListObjectsV2)."""
        fixed = (("list-type", "2"), ("max-keys", str(self._page_keys)), ("prefix", prefix))
        position = (("start-after", after),) if after else ()
        while True:
            request = self._calls.request("GET", None, query=(*fixed, *position))
            page, token = listed(self._calls.ask(request)[1])
            yield from page
            if token is None:
                return
            position = (("continuation-token", token),)

    def _info(self, key: str, headers: Mapping[str, str], *, size: int | None = None) -> ObjectInfo:
        return info_of(key, headers, size=size, trusts_checksums=self._trusts)


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
