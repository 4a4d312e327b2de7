"""GetObjectAttributes: what is known of an object and its parts, without the object (S3 API)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from penstock.store import xml
from penstock.store.answers import Answer, document, http_date
from penstock.store.faults import INVALID_ARGUMENT, Refused
from penstock.store.object_routes import known_checksums
from penstock.store.segments import how_many, segments_of

if TYPE_CHECKING:
    from penstock.store.objects import Objects
    from penstock.store.request import S3Request
    from penstock.store.stored import Stored

_ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
_MOST_PARTS = 1000


class AttributeRoutes:
    """The one operation."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def get(self, request: S3Request) -> Answer:
        """GetObjectAttributes."""
        self._objects.require_bucket(request.bucket)
        wanted = {name.strip() for name in request.parameters.get("x-amz-object-attributes", "").split(",")}
        if not wanted <= _ATTRIBUTES:
            raise Refused(INVALID_ARGUMENT, "x-amz-object-attributes must name attributes of an object.")
        stored = self._objects.open(request.bucket, request.key)
        try:
            content = _attributes(request, stored, wanted)
        finally:
            stored.close()
        headers = (("Last-Modified", http_date(stored.record.modified)),)
        return document(xml.root("GetObjectAttributesResponse", content), headers=headers)


def _attributes(request: S3Request, stored: Stored, wanted: set[str]) -> list[str]:
    record = stored.record
    checksums = known_checksums(record)
    found = {
        "ETag": xml.tag("ETag", record.etag),
        "Checksum": f"<Checksum>{xml.checksums(checksums, typed=True)}</Checksum>" if checksums else "",
        "ObjectParts": _parts(request, stored) if "ObjectParts" in wanted and record.segments else "",
        "StorageClass": xml.tag("StorageClass", "STANDARD"),
        "ObjectSize": xml.tag("ObjectSize", record.size),
    }
    return [text for name, text in found.items() if name in wanted]


def _parts(request: S3Request, stored: Stored) -> str:
    limit = _number(request, "x-amz-max-parts", _MOST_PARTS)
    after = _number(request, "x-amz-part-number-marker", 0)
    later = (segment for segment in segments_of(stored.record.segments) if segment.number > after)
    found = list(islice(later, limit + 1))
    shown, truncated = found[:limit], len(found) > limit > 0
    parts = [
        f"<Part>{xml.tag('PartNumber', segment.number)}{xml.tag('Size', segment.size)}"
        f"{xml.checksums(stored.part(segment.number).checksums)}</Part>"
        for segment in shown
    ]
    return (
        f"<ObjectParts>{xml.tag('PartsCount', how_many(stored.record.segments))}"
        f"{xml.tag('PartNumberMarker', after)}{xml.tag('NextPartNumberMarker', shown[-1].number if shown else 0)}"
        f"{xml.tag('MaxParts', limit)}{xml.tag('IsTruncated', 'true' if truncated else 'false')}"
        f"{''.join(parts)}</ObjectParts>"
    )


def _number(request: S3Request, name: str, default: int) -> int:
    text = request.parameters.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10):  # noqa: PLR2004 - beyond any number S3 knows
        raise Refused(INVALID_ARGUMENT, f"{name} must be a decimal number.")
    return min(int(text), _MOST_PARTS) if name == "x-amz-max-parts" else int(text)
