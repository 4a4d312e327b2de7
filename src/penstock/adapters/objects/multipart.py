"""Multipart uploads at any S3 (S3 API, "Multipart upload"), for parts that we send and for parts that clients send."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from penstock.adapters.objects.answers import (
    begun,
    listed_multiparts,
    listed_parts,
    quoted,
)
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.ports.objects import MultipartGoneError, ObjectNotFoundError, PartsRefusedError, StoredPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from penstock.adapters.objects.calls import Calls
    from penstock.ports.objects import Multipart, ObjectInfo

_PAGE = "1000"
_COSTLY = 2**20
"""Bytes of a part from which on our own store is to be spared a SHA-256 beside the CRC-64/NVME."""


class S3Multiparts:
    """`ports.objects.Multiparts` over HTTP. Safe to use from any thread."""

    def __init__(self, calls: Calls, head: Callable[[str], ObjectInfo], *, checks_crc64: bool = False) -> None:
        """`checks_crc64`: the store compares a CRC-64/NVME of what it takes, whoever is permitted to send it."""
        self._calls = calls
        self._head = head
        self._checks_crc64 = checks_crc64

    def begin(self, key: str, *, content_type: str) -> str:
        """Begin one. An answer that was lost leaves one more behind, which is in `all` and is swept."""
        headers = (("content-length", "0"), ("content-type", content_type))
        request = self._calls.request("POST", key, query=(("uploads", ""),), headers=headers)
        return begun(self._calls.ask(request, answer_seconds=self._calls.patience.answer)[1])

    def put_part(self, key: str, upload_id: str, number: int, data: bytes | memoryview) -> StoredPart:
        """Send one part, replacing an earlier one of its number. Raises `MultipartGoneError`."""
        headers: tuple[tuple[str, str], ...] = (("content-length", str(len(data))),)
        query: tuple[tuple[str, str], ...] = (("partNumber", str(number)), ("uploadId", upload_id))
        if self._checks_crc64:
            # Neither a SHA-256 here nor an MD5 there: a cyclic checksum is enough between the two, and costs nothing.
            headers, digest = (*headers, ("x-amz-checksum-crc64nvme", _crc64(data))), None
            if len(data) >= _COSTLY:
                query += (("x-penstock-only-checksum", "crc64nvme"),)
        else:
            digest = hashlib.sha256(data).hexdigest()
        request = self._calls.request("PUT", key, query=query, headers=headers)
        try:
            answered, _ = self._calls.ask(request, body=lambda: iter((data,)), payload_hash=digest)
        except ObjectNotFoundError:
            raise MultipartGoneError from None
        if "etag" not in answered:
            raise ObjectStoreUnavailable("the object store's answer lacks a part's ETag")
        return StoredPart(number=number, size=len(data), etag=quoted(answered["etag"]))

    def parts(self, key: str, upload_id: str, *, after: int = 0) -> Iterator[StoredPart]:
        """What has arrived, ascending, only numbers above `after`. Raises `MultipartGoneError`."""
        marker = after
        while True:
            query = [("max-parts", _PAGE), ("uploadId", upload_id)]
            if marker:
                query.append(("part-number-marker", str(marker)))
            request = self._calls.request("GET", key, query=tuple(query))
            try:
                _, body = self._calls.ask(request, answer_seconds=self._calls.patience.answer)
            except ObjectNotFoundError:
                raise MultipartGoneError from None
            page, more = listed_parts(body)
            yield from page
            if not more or not page:
                return
            marker = page[-1].number

    def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> ObjectInfo:
        """Make the object of these parts. Where the upload is gone and an object stands under the key, that is it (P6).

        Raises `MultipartGoneError`, `PartsRefusedError`.
        """
        if not parts:
            raise PartsRefusedError("no parts")  # what S3 calls malformed XML
        body = _completion(parts)
        request = self._calls.request(
            "POST",
            key,
            query=(("uploadId", upload_id),),
            headers=(("content-length", str(len(body))), ("content-type", "application/xml")),
        )
        digest = hashlib.sha256(body).hexdigest()
        try:
            self._calls.ask(request, body=lambda: iter((body,)), payload_hash=digest)
        except ObjectNotFoundError:
            try:
                return self._head(key)
            except ObjectNotFoundError:
                raise MultipartGoneError from None
        return self._head(key)

    def abort(self, key: str, upload_id: str) -> None:
        """Free the parts; one that is gone is no error."""
        request = self._calls.request("DELETE", key, query=(("uploadId", upload_id),))
        try:
            self._calls.ask(request, answer_seconds=self._calls.patience.answer)
        except ObjectNotFoundError:
            return

    def all(self, prefix: str) -> Iterator[Multipart]:
        """Those under way for keys that begin with `prefix`, ascending by key."""
        position: tuple[tuple[str, str], ...] = ()
        while True:
            query = (("max-uploads", _PAGE), ("prefix", prefix), ("uploads", ""), *position)
            page, following = listed_multiparts(self._calls.ask(self._calls.request("GET", None, query=query))[1])
            yield from page
            if following is None:
                return
            position = (("key-marker", following[0]), ("upload-id-marker", following[1]))


def _crc64(data: bytes | memoryview) -> str:
    """CRC-64/NVME, big-endian, in base64 (S3 API, `x-amz-checksum-crc64nvme`)."""
    from awscrt import checksums  # noqa: PLC0415 - only uploads in parts pay for a library of 4 MB

    return base64.b64encode(checksums.crc64nvme(data).to_bytes(8, "big")).decode()


def _completion(parts: Sequence[StoredPart]) -> bytes:
    root = Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    for part in parts:
        node = SubElement(root, "Part")
        SubElement(node, "PartNumber").text = str(part.number)
        SubElement(node, "ETag").text = part.etag
    return bytes(tostring(root, encoding="utf-8"))
