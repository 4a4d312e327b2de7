"""PutObject, GetObject, HeadObject, CopyObject, DeleteObject, DeleteObjects (S3 API)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from penstock.store import xml
from penstock.store.answers import Answer, FileSlice, Headers, document, http_date
from penstock.store.completion import part_number
from penstock.store.conditions import (
    copy_source_conditions,
    range_still_applies,
    request_conditions,
)
from penstock.store.demands import ACL, kept_acl, require_public_object
from penstock.store.digests import COMPOSITE, as_base64, checksum_type, digest_of
from penstock.store.exposure import OPAQUE_TYPE, field_value, shown_as
from penstock.store.faults import (
    ACCESS_DENIED,
    DAMAGED,
    INVALID_ARGUMENT,
    INVALID_PART,
    INVALID_REQUEST,
    MALFORMED_XML,
    MISSING_LENGTH,
    NO_SUCH_VERSION,
    NOT_IMPLEMENTED,
    NotModified,
    Refused,
)
from penstock.store.payload import checksum_headers, declared, read_document, store_body
from penstock.store.ranges import parse_range
from penstock.store.record import DamagedError, Record
from penstock.store.request import ONLY_VERSION, split_path
from penstock.store.segments import Segment, how_many, segment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.store.config import Limits
    from penstock.store.health import Health
    from penstock.store.objects import Objects
    from penstock.store.request import S3Request
    from penstock.store.stored import Stored

_STORED_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_OVERRIDES = ("cache-control", "content-encoding", "content-language", "expires")
_USER = "x-amz-meta-"
_DELETE_CONDITIONS = ("ETag", "LastModifiedTime", "Size")
_MOST_DELETIONS = 1000
_MOST_USER_BYTES = 2048
_VERIFIED_BYTES = 256 * 1024


class ObjectRoutes:
    """The operations on one key (and the deletion of many)."""

    def __init__(self, objects: Objects, health: Health, *, limits: Limits, now: Callable[[], float]) -> None:
        self._objects = objects
        self._health = health
        self._limits = limits
        self._now = now

    async def put(self, request: S3Request) -> Answer:
        """PutObject. Nothing is stored unless everything was right; the answer comes after the fsyncs (P1)."""
        self._objects.require_bucket(request.bucket)
        if request.body.length == 0 and "content-length" not in request.fields:
            raise Refused(MISSING_LENGTH)
        claim = declared(request, object_bytes=self._limits.object_bytes)
        conditions = request_conditions(request.fields)
        headers, user = stored_metadata(request.parameters)
        self._health.require_writable()
        self._health.require_space(claim.length or 0)
        wanted = {"sha256", *claim.algorithms} | (set() if request.presigned else {"md5"})
        with self._objects.begin(wanted) as incoming:
            digests = await store_body(request, claim, incoming)
            record = Record(
                bucket=request.bucket,
                key=request.key,
                size=incoming.size,
                etag=etag_of(digests),
                sha256=digests["sha256"].hex(),
                content_type=content_type_of(request.fields),
                modified_us=self._microseconds(),
                headers=headers,
                user=user,
                checksums={name: as_base64(digests[name]) for name in claim.algorithms - {"md5"}},
            )
            self._objects.commit(incoming, record, check=conditions.check_write)
        return Answer(status=200, headers=(("ETag", f'"{record.etag}"'), *checksum_headers(record.checksums)))

    def get(self, request: S3Request) -> Answer:
        """GetObject and HeadObject: conditions first, then the range (RFC 9110 §13.2.2)."""
        self._objects.require_bucket(request.bucket)
        stored = self._open_public(request) if request.unsigned else self._objects.open(request.bucket, request.key)
        try:
            answer = self._view(request, stored)
        except BaseException:
            stored.close()
            raise
        if answer.file is None:
            stored.close()
        return answer

    def _open_public(self, request: S3Request) -> Stored:
        """What everybody may read; of the rest nobody learns whether it is there."""
        try:
            stored = self._objects.open(request.bucket, request.key)
        except Refused:
            raise Refused(ACCESS_DENIED) from None
        try:
            require_public_object(request, stored.record.headers.get(ACL, ""))
        except BaseException:
            stored.close()
            raise
        return stored

    def copy(self, request: S3Request) -> Answer:
        """CopyObject: a hard link with a record of its own; nothing is moved."""
        self._objects.require_bucket(request.bucket)
        source_bucket, source_key = copy_source(request)
        self._objects.require_bucket(source_bucket)
        parameters = request.parameters
        directive = parameters.get("x-amz-metadata-directive", "COPY")
        if directive not in {"COPY", "REPLACE"}:
            raise Refused(INVALID_ARGUMENT, "x-amz-metadata-directive must be COPY or REPLACE.")
        same = (source_bucket, source_key) == (request.bucket, request.key)
        if same and directive == "COPY":
            raise Refused(INVALID_REQUEST, "An object can be copied to itself only with changed metadata.")
        on_source, on_target = copy_source_conditions(parameters), request_conditions(request.fields)
        self._health.require_writable()
        self._health.require_space(0)

        def describe(source: Record) -> Record:
            on_source.check_copy(source.etag, source.modified)
            acl = kept_acl(parameters)
            headers, user, content_type = source.headers, source.user, source.content_type
            # The ACL is never that of the source (S3 API, CopyObject).
            headers = {name: value for name, value in headers.items() if name != ACL} | ({ACL: acl} if acl else {})
            if directive == "REPLACE":
                headers, user = stored_metadata(parameters)
                content_type = content_type_of(request.fields)
            return Record(
                bucket=request.bucket,
                key=request.key,
                size=source.size,
                etag=source.etag,
                sha256=source.sha256,
                content_type=content_type,
                modified_us=self._microseconds(),
                headers=headers,
                user=user,
                checksums=source.checksums,
            )

        record = self._objects.copy(source_bucket, source_key, describe=describe, check=on_target.check_write)
        content = [
            xml.tag("LastModified", xml.timestamp(record.modified_us)),
            xml.tag("ETag", f'"{record.etag}"'),
            xml.checksums(record.checksums, typed=True),
        ]
        return document(xml.root("CopyObjectResult", content))

    def delete(self, request: S3Request) -> Answer:
        """DeleteObject: 204 whether or not there was an object."""
        self._objects.require_bucket(request.bucket)
        conditions = request_conditions(request.fields)
        self._objects.delete(request.bucket, [request.key], check=conditions.check_delete)
        return Answer(status=204)

    async def delete_many(self, request: S3Request) -> Answer:
        """DeleteObjects: up to 1000 keys, each with its own result."""
        self._objects.require_bucket(request.bucket)
        tree = xml.parse(await read_document(request, limit=self._limits.small_body_bytes), "Delete")
        named = [(node.findtext("Key") or "", node.findtext("VersionId") or "") for node in tree.iter("Object")]
        if not 1 <= len(named) <= _MOST_DELETIONS or not all(key for key, _ in named):
            raise Refused(MALFORMED_XML)
        if any(node.find(name) is not None for node in tree.iter("Object") for name in _DELETE_CONDITIONS):
            raise Refused(NOT_IMPLEMENTED, "Conditions on single keys of a list are not supported here.")
        self._objects.delete(request.bucket, [key for key, version in named if version in {"", ONLY_VERSION}])
        quiet = (tree.findtext("Quiet") or "").lower() == "true"
        return document(xml.root("DeleteResult", [_deletion(*one, quiet=quiet) for one in named]))

    def _view(self, request: S3Request, stored: Stored) -> Answer:
        record = stored.record
        try:
            request_conditions(request.fields).check_read(record.etag, record.modified)
        except NotModified:
            return Answer(status=304, headers=(*_validators(record), *_caching(record)))
        wanted = request.fields.get("range")
        if not range_still_applies(request.fields.get("if-range"), record.etag, record.modified):
            wanted = None
        segment = _asked_segment(request, record)
        part = segment.range_of(record.size) if segment else parse_range(wanted, record.size)
        offset, count = (part.start, part.length) if part else (0, record.size)
        headers = (*_validators(record), *_shown_headers(request, record), *_digest_of_all(record))
        if segment and record.segments:
            headers += (("x-amz-mp-parts-count", str(how_many(record.segments))),)
        if part:
            headers += (("Content-Range", part.content_range),)
        if request.parameters.get("x-amz-checksum-mode", "").upper() == "ENABLED" and (segment or not part):
            # Beside a range, clients take these for checksums of the range.
            headers += _checksums_of(stored, segment)
        status = 206 if part else 200
        if request.method == "HEAD":
            return Answer(status=status, headers=headers, length=count)
        if record.size <= _VERIFIED_BYTES:
            return Answer(status=status, headers=headers, body=_verified(stored)[offset : offset + count])
        return Answer(status=status, headers=headers, file=FileSlice(stored=stored, offset=offset, count=count))

    def _microseconds(self) -> int:
        return int(self._now() * 1_000_000)


def _verified(stored: Stored) -> bytes:
    """The data of a small object, compared with its hash: what is flipped on the disk is not served (F6)."""
    expected = stored.record.sha256
    try:
        data = stored.read(0, stored.record.size)
    except DamagedError:
        raise Refused(DAMAGED) from None
    if expected is not None and digest_of("sha256", data).hex() != expected:
        raise Refused(DAMAGED)
    return data


def known_checksums(record: Record) -> dict[str, str]:
    """Checksums in base64 by algorithm: those that the client chose, and SHA-256 wherever it is one of the whole."""
    if checksum_type(record.checksums) == COMPOSITE:
        return record.checksums
    return _sha256_of(record) | record.checksums


def _sha256_of(record: Record) -> dict[str, str]:
    return {} if record.sha256 is None else {"sha256": as_base64(bytes.fromhex(record.sha256))}


def _checksums_of(stored: Stored, segment: Segment | None) -> Headers:
    whole = known_checksums(stored.record)
    if segment is None or not stored.record.segments:
        return checksum_headers(whole)
    return checksum_headers(stored.part(segment.number).checksums, checksum_type=checksum_type(whole))


def _asked_segment(request: S3Request, record: Record) -> Segment | None:
    """The part that `partNumber` asks for; an object that was not uploaded in parts is its own part 1."""
    text = request.query.get("partNumber")
    if text is None:
        return None
    if "range" in request.fields:
        raise Refused(INVALID_REQUEST, "Cannot specify both Range header and partNumber query parameter.")
    found = segment_of(record.segments or ((1, 1, record.size),), part_number(text))
    if found is None:
        raise Refused(INVALID_PART)
    return found


def _digest_of_all(record: Record) -> Headers:
    """The digest of the whole object, whatever range of it was asked for (RFC 9530 §3, Repr-Digest)."""
    return tuple([("Repr-Digest", f"sha-256=:{value}:") for value in _sha256_of(record).values()])


def etag_of(digests: dict[str, bytes]) -> str:
    """MD5 where S3 clients compare it; else a strong tag that nobody can take for MD5 (design §6)."""
    return digests["md5"].hex() if "md5" in digests else f"sha256-{digests['sha256'].hex()}"


def content_type_of(fields: Mapping[str, str]) -> str:
    """The media type that a write leaves with the object. Raises `Refused`."""
    return field_value(fields.get("content-type", "")) or OPAQUE_TYPE


def stored_metadata(fields: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The standard headers (and the ACL, if any) and the `x-amz-meta-…` values that a write leaves with the object."""
    headers = {name: field_value(fields[name]) for name in _STORED_HEADERS if name in fields}
    if acl := kept_acl(fields):
        headers[ACL] = acl
    if "content-encoding" in headers:
        codings = [coding.strip() for coding in headers.pop("content-encoding").split(",")]
        kept = ", ".join(coding for coding in codings if coding and coding != "aws-chunked")
        headers |= {"content-encoding": kept} if kept else {}
    user = {name.removeprefix(_USER): field_value(value) for name, value in fields.items() if name.startswith(_USER)}
    if sum(len(name) + len(value) for name, value in user.items()) > _MOST_USER_BYTES:
        raise Refused(INVALID_REQUEST, "Your metadata headers exceed the maximum allowed metadata size.")
    return headers, user


def copy_source(request: S3Request) -> tuple[str, str]:
    """Bucket and key of `x-amz-copy-source`, which is percent-encoded, with or without a leading slash."""
    path, _, version = request.parameters["x-amz-copy-source"].partition("?versionId=")
    try:
        bucket, key = split_path("/" + unquote_to_bytes(path.encode("latin-1")).decode().removeprefix("/"))
    except UnicodeDecodeError:
        raise Refused(INVALID_ARGUMENT, "x-amz-copy-source is not UTF-8.") from None
    if not bucket or not key:
        raise Refused(INVALID_ARGUMENT, "x-amz-copy-source must name a bucket and a key.")
    if version not in {"", ONLY_VERSION}:
        raise Refused(NO_SUCH_VERSION)
    return bucket, key


def _deletion(key: str, version: str, *, quiet: bool) -> str:
    """One key of DeleteObjects in the answer; a quiet one shows only what failed."""
    content = xml.tag("Key", key) + (xml.tag("VersionId", version) if version else "")
    if version not in {"", ONLY_VERSION}:
        fault = NO_SUCH_VERSION
        return f"<Error>{content}{xml.tag('Code', fault.code)}{xml.tag('Message', fault.message)}</Error>"
    return "" if quiet else f"<Deleted>{content}</Deleted>"


def _validators(record: Record) -> Headers:
    return (("ETag", f'"{record.etag}"'), ("Last-Modified", http_date(record.modified)))


def _caching(record: Record) -> Headers:
    """What a 304 repeats of the 200 beside the validators (RFC 9110 §15.4.5)."""
    return tuple([(name, record.headers[name]) for name in ("cache-control", "expires") if name in record.headers])


def _shown_headers(request: S3Request, record: Record) -> Headers:
    """Type and disposition under S10, the other stored headers, and what the signed query overrides of them."""
    overrides = {
        name.removeprefix("response-"): field_value(value)
        for name, value in request.query.items()
        if name.startswith("response-")
    }
    content_type, disposition = shown_as(
        record.content_type,
        record.headers.get("content-disposition"),
        requested_type=overrides.get("content-type"),
        requested_disposition=overrides.get("content-disposition"),
        from_browser=request.from_browser,
    )
    shown = {name: overrides.get(name, record.headers.get(name)) for name in _OVERRIDES}
    shown["content-disposition"] = disposition
    return (
        ("Content-Type", content_type),
        ("Accept-Ranges", "bytes"),
        *[(name, value) for name, value in shown.items() if value is not None],
        *[(_USER + name, value) for name, value in record.user.items()],
    )
