"""What an S3 says, as our facts and our errors (S3 API, "Error responses"; reliability: an answer is never guessed)."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError, fromstring

from penstock.domain.errors import ObjectStoreUnavailable, StorageFull
from penstock.ports.objects import (
    Multipart,
    ObjectChangedError,
    ObjectInfo,
    ObjectNotFoundError,
    PartsRefusedError,
    StoredPart,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)
_REPR_SHA256 = re.compile(r"(?:^|,)[ \t]*sha-256=:([A-Za-z0-9+/=]+):", re.ASCII)
_FULL_CODES = frozenset({"InsufficientStorage", "QuotaExceeded"})
_AGAIN_CODES = frozenset({"InternalError", "ServiceUnavailable", "SlowDown"})
_MISSING_CODES = frozenset({"NoSuchKey", "NoSuchUpload"})
_PARTS_CODES = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall"})
_CONFIGURATION_CODES = frozenset({"NoSuchBucket"})


class TryAgainError(Exception):
    """The store asks to be called again: it is overloaded or restarting."""


def parse(body: bytes) -> Element:
    """The XML of an answer. A slow operation sends blanks ahead of it, to keep the connection.

    Raises `ObjectStoreUnavailable` when it cannot be read.
    """
    try:
        return fromstring(body.strip())  # noqa: S314 - from the operator's store, capped; expat bounds entities
    except ParseError:
        raise ObjectStoreUnavailable("the object store's answer cannot be read") from None


def check(status: int, body: bytes) -> None:
    """Raise what an answer means, unless it means success. A 200 may carry an error as well (S3 API, CopyObject).

    Raises `ObjectNotFoundError`, `ObjectChangedError`, `PartsRefusedError`, `StorageFull`, `TryAgainError`,
    `ObjectStoreUnavailable`.
    """
    code = _error_code(body)
    if status < 300 and not code:  # noqa: PLR2004 - 2xx
        return
    if status == 503 or code in _AGAIN_CODES:  # noqa: PLR2004 - RFC 9110 §15.6.4
        raise TryAgainError(f"the object store answered {status} {code}")
    if status == 507 or code in _FULL_CODES:  # noqa: PLR2004 - RFC 4918 §11.5
        raise StorageFull("the object store has no room left")
    if (status == 404 or code in _MISSING_CODES) and code not in _CONFIGURATION_CODES:  # noqa: PLR2004 - RFC 9110 §15.5.5
        raise ObjectNotFoundError
    if status == 412 or code == "PreconditionFailed":  # noqa: PLR2004 - RFC 9110 §15.5.13
        raise ObjectChangedError
    if code in _PARTS_CODES:
        raise PartsRefusedError(code)
    raise ObjectStoreUnavailable(f"the object store answered {status} {code}".rstrip())


def info_of(key: str, headers: Mapping[str, str], *, size: int | None, trusts_checksums: bool) -> ObjectInfo:
    """The facts in the headers of a GET or HEAD; `size` where they describe a part. Raises `ObjectStoreUnavailable`."""
    try:
        return ObjectInfo(
            key=key,
            size=int(headers["content-length"]) if size is None else size,
            etag=quoted(headers["etag"]),
            content_type=headers.get("content-type", ""),
            modified_at=parsedate_to_datetime(headers["last-modified"]).astimezone(UTC),
            sha256=_sha256_of_all(headers, partial=size is not None) if trusts_checksums else None,
        )
    except (KeyError, TypeError, ValueError):
        raise ObjectStoreUnavailable("the object store's answer lacks an object's facts") from None


def total_size(headers: Mapping[str, str], *, start: int) -> int:
    """The size of the whole object from a 206's Content-Range (RFC 9110 §14.4). Raises `ObjectStoreUnavailable`."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if not found or int(found[1]) != start:
        raise ObjectStoreUnavailable("the object store answered with another range than the one asked for")
    return int(found[3])


def copied(body: bytes) -> tuple[str, datetime]:
    """ETag and time of the new object from a CopyObjectResult. Raises `ObjectStoreUnavailable`."""
    root = parse(body)
    return quoted(_text(root, "ETag")), _moment(_text(root, "LastModified"))


def listed(body: bytes) -> tuple[list[ObjectInfo], str | None]:
    """One page of ListObjectsV2 and the token of the next one. Raises `ObjectStoreUnavailable`."""
    root = parse(body)
    page = [
        ObjectInfo(
            key=_text(item, "Key"),
            size=int(_text(item, "Size")),
            etag=quoted(_text(item, "ETag")),
            content_type="",
            modified_at=_moment(_text(item, "LastModified")),
        )
        for item in _children(root, "Contents")
    ]
    return page, _text(root, "NextContinuationToken") if _is_truncated(root) else None


def check_deletions(body: bytes) -> None:
    """Raise what one of the errors in a DeleteResult means. A key that is not there is none.

    Raises `ObjectStoreUnavailable`.
    """
    for failed in _children(parse(body), "Error"):
        if (code := _text(failed, "Code")) != "NoSuchKey":
            raise ObjectStoreUnavailable(f"the object store did not delete an object: {code}")


def begun(body: bytes) -> str:
    """The id in an InitiateMultipartUploadResult. Raises `ObjectStoreUnavailable`."""
    return _text(parse(body), "UploadId")


def listed_parts(body: bytes) -> tuple[list[StoredPart], bool]:
    """One page of ListParts, and whether there are more. Raises `ObjectStoreUnavailable`."""
    root = parse(body)
    page = [
        StoredPart(
            number=int(_text(item, "PartNumber")), size=int(_text(item, "Size")), etag=quoted(_text(item, "ETag"))
        )
        for item in _children(root, "Part")
    ]
    return page, _is_truncated(root)


def listed_multiparts(body: bytes) -> tuple[list[Multipart], tuple[str, str] | None]:
    """One page of ListMultipartUploads and the markers of the next one. Raises `ObjectStoreUnavailable`."""
    root = parse(body)
    page = [
        Multipart(
            key=_text(item, "Key"), upload_id=_text(item, "UploadId"), initiated_at=_moment(_text(item, "Initiated"))
        )
        for item in _children(root, "Upload")
    ]
    if not _is_truncated(root):
        return page, None
    return page, (_text(root, "NextKeyMarker"), _text(root, "NextUploadIdMarker"))


def quoted(etag: str) -> str:
    """An ETag in its quotes, which some stores leave out."""
    return etag if etag.startswith('"') else f'"{etag}"'


def _is_truncated(root: Element) -> bool:
    return next((node.text for node in _children(root, "IsTruncated")), "false") == "true"


def _error_code(body: bytes) -> str:
    text = body.lstrip()
    if not text.startswith(b"<") or b"<Error" not in text[:512]:
        return ""
    try:
        root = parse(text)
    except ObjectStoreUnavailable:
        return "Error"
    return _text(root, "Code") if _name(root) == "Error" else ""


def _sha256_of_all(headers: Mapping[str, str], *, partial: bool) -> str | None:
    """Hex SHA-256 of the whole object, from whichever header says it.

    `Repr-Digest` is of the whole whatever part was asked for (RFC 9530 §3). S3's own header is so only beside the
    whole (a range that is one part may carry that part's), and a checksum of checksums (`…-3`, COMPOSITE) is none.
    """
    if stated := _REPR_SHA256.search(headers.get("repr-digest", "")):
        return _as_hex(stated[1])
    if partial or headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    return _as_hex(headers.get("x-amz-checksum-sha256", ""))


def _as_hex(value: str) -> str | None:
    try:
        digest = base64.b64decode(value, validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None  # noqa: PLR2004 - bytes of a SHA-256


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise ObjectStoreUnavailable("the object store's answer has a time that cannot be read") from None


def _text(node: Element, name: str) -> str:
    for child in _children(node, name):
        return child.text or ""
    raise ObjectStoreUnavailable(f"the object store's answer lacks {name}")


def _children(node: Element, name: str) -> Iterator[Element]:
    return (child for child in node if _name(child) == name)


def _name(node: Element) -> str:
    """The local name: some stores leave the namespace out."""
    return node.tag.rpartition("}")[2]
