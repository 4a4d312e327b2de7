"""ListParts and ListMultipartUploads: pages in the order of part numbers, or of keys and then of time (S3 API)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.store import xml
from penstock.store.listing import OWNER, common_prefix, key_encoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.store.multipart import Multipart
    from penstock.store.record import Record
    from penstock.store.request import S3Request
    from penstock.store.uploads import Upload

_MOST = 1000
_INITIATOR = OWNER.replace("Owner>", "Initiator>")
_CLASS = "<StorageClass>STANDARD</StorageClass>"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadsPage:
    """What one answer lists. `last` is the key or common prefix, and the id, after which the next page begins."""

    uploads: tuple[Upload, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: tuple[str, str]


def uploads_page(
    uploads: Iterable[Upload], *, prefix: str, delimiter: str, after: tuple[str, str], limit: int
) -> UploadsPage:
    """Up to `limit` uploads and common prefixes above `after`: a key and, if not empty, an id among those of the key.

    `uploads` must ascend by key and id.
    """
    shown: list[Upload] = []
    prefixes: list[str] = []
    last = after
    for upload in uploads:
        if not upload.key.startswith(prefix):
            continue
        shared = common_prefix(upload.key, prefix, delimiter)
        if _is_before(upload, shared, after) or (prefixes and shared == prefixes[-1]):
            continue
        if len(shown) + len(prefixes) == limit:
            return UploadsPage(uploads=tuple(shown), prefixes=tuple(prefixes), truncated=limit > 0, last=last)
        if shared is None:
            shown.append(upload)
            last = upload.key, upload.id
        else:
            prefixes.append(shared)
            last = shared, ""
    return UploadsPage(uploads=tuple(shown), prefixes=tuple(prefixes), truncated=False, last=last)


def list_uploads(uploads: Iterable[Upload], request: S3Request) -> str:
    """The document of `GET /bucket?uploads`. Raises `Refused`."""
    query = request.query
    limit = request.number("max-uploads", _MOST, most=_MOST)
    marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    page = uploads_page(uploads, prefix=prefix, delimiter=delimiter, after=(marker, id_marker), limit=limit)
    shown = key_encoder(request)
    content = [
        xml.tag("Bucket", request.bucket),
        xml.tag("KeyMarker", shown(marker)),
        xml.tag("UploadIdMarker", id_marker if marker else ""),
        xml.tag("NextKeyMarker", shown(page.last[0])) if page.truncated else "",
        xml.tag("NextUploadIdMarker", page.last[1]) if page.truncated else "",
        xml.tag("Prefix", shown(prefix)),
        xml.tag("Delimiter", shown(delimiter)) if delimiter else "",
        xml.tag("EncodingType", "url") if query.get("encoding-type") else "",
        xml.tag("MaxUploads", limit),
        xml.tag("IsTruncated", "true" if page.truncated else "false"),
        *[
            f"<Upload>{xml.tag('Key', shown(upload.key))}{xml.tag('UploadId', upload.id)}{_INITIATOR}{OWNER}{_CLASS}"
            f"{xml.tag('Initiated', xml.timestamp(upload.created_us))}{_choice(upload)}</Upload>"
            for upload in page.uploads
        ],
        *[f"<CommonPrefixes>{xml.tag('Prefix', shown(one))}</CommonPrefixes>" for one in page.prefixes],
    ]
    return xml.root("ListMultipartUploadsResult", content)


def list_parts(multipart: Multipart, upload: Upload, request: S3Request) -> str:
    """The document of `GET /bucket/key?uploadId=…`. Raises `Refused`."""
    limit = request.number("max-parts", _MOST, most=_MOST)
    after = request.number("part-number-marker", 0, most=99_999)
    found = multipart.parts(upload, after=after, limit=limit + 1)
    parts, truncated = found[:limit], len(found) > limit > 0
    shown = key_encoder(request)
    content = [
        xml.tag("Bucket", upload.bucket),
        xml.tag("Key", shown(upload.key)),
        xml.tag("EncodingType", "url") if request.query.get("encoding-type") else "",
        xml.tag("UploadId", upload.id),
        f"{_INITIATOR}{OWNER}{_CLASS}",
        xml.tag("PartNumberMarker", after),
        xml.tag("NextPartNumberMarker", parts[-1][0]) if parts else "",
        xml.tag("MaxParts", limit),
        xml.tag("IsTruncated", "true" if truncated else "false"),
        _choice(upload),
        *[_part(number, record) for number, record in parts],
    ]
    return xml.root("ListPartsResult", content)


def _is_before(upload: Upload, shared: str | None, after: tuple[str, str]) -> bool:
    """Whether an earlier page has shown it, alone or under its common prefix."""
    key, upload_id = after
    if shared is not None:
        return shared <= key
    return upload.key < key or (upload.key == key and (not upload_id or upload.id <= upload_id))


def _part(number: int, record: Record) -> str:
    return (
        f"<Part>{xml.tag('PartNumber', number)}{xml.tag('LastModified', xml.timestamp(record.modified_us))}"
        f"<ETag>&quot;{record.etag}&quot;</ETag>{xml.tag('Size', record.size)}{xml.checksums(record.checksums)}</Part>"
    )


def _choice(upload: Upload) -> str:
    if upload.algorithm is None:
        return ""
    return xml.tag("ChecksumAlgorithm", upload.algorithm.upper()) + xml.tag("ChecksumType", upload.checksum_type)
