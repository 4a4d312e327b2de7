"""The operations of multipart uploads (S3 API): create, upload part, copy part, complete, abort."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from penstock.store import xml
from penstock.store.answers import Answer, document
from penstock.store.completion import Claim, listed_parts, part_number
from penstock.store.conditions import copy_source_conditions, request_conditions
from penstock.store.digests import ALGORITHMS, COMBINABLE, COMPOSITE, FULL_OBJECT, as_base64
from penstock.store.faults import ENTITY_TOO_LARGE, INVALID_ARGUMENT, INVALID_REQUEST, MISSING_LENGTH, Refused
from penstock.store.multipart_listing import list_parts, list_uploads
from penstock.store.object_routes import content_type_of, copy_source, etag_of, stored_metadata
from penstock.store.payload import checksum_headers, declared, only_checksum, read_document, store_body
from penstock.store.ranges import unsatisfiable
from penstock.store.record import Record
from penstock.store.uploads import Upload, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.store.config import Limits
    from penstock.store.health import Health
    from penstock.store.incoming import Incoming
    from penstock.store.multipart import Multipart
    from penstock.store.objects import Objects
    from penstock.store.request import S3Request

_COPY_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})", re.ASCII)
_LIST_BYTES = 4 * 1024 * 1024
"""Room for 10000 parts with ETags and checksums."""
_CHECKSUM = "x-amz-checksum-"
_ALWAYS_FULL = "crc64nvme"


class MultipartRoutes:
    """The operations on one upload, and the lists of uploads and parts."""

    def __init__(
        self, objects: Objects, multipart: Multipart, health: Health, *, limits: Limits, now: Callable[[], float]
    ) -> None:
        self._objects = objects
        self._multipart = multipart
        self._health = health
        self._limits = limits
        self._now = now

    async def create(self, request: S3Request) -> Answer:
        """CreateMultipartUpload."""
        self._objects.require_bucket(request.bucket)
        headers, user = stored_metadata(request.parameters)
        algorithm, checksum_type = _checksum_choice(request.parameters)
        await read_document(request, limit=self._limits.small_body_bytes)
        self._health.require_writable()
        self._health.require_space(0)
        created_us = self._microseconds()
        upload = Upload(
            id=new_id(created_us),
            bucket=request.bucket,
            key=request.key,
            content_type=content_type_of(request.fields),
            created_us=created_us,
            headers=headers,
            user=user,
            algorithm=algorithm,
            checksum_type=checksum_type,
        )
        self._multipart.begin(upload)
        content = xml.tag("Bucket", upload.bucket) + xml.tag("Key", upload.key) + xml.tag("UploadId", upload.id)
        return document(xml.root("InitiateMultipartUploadResult", content), headers=_chosen(upload))

    async def put_part(self, request: S3Request) -> Answer:
        """UploadPart. The upload is looked up before the body is read, and again when it has arrived."""
        upload, number = self._part_of(request)
        if request.body.length == 0 and "content-length" not in request.fields:
            raise Refused(MISSING_LENGTH)
        claim = declared(request, object_bytes=self._limits.object_bytes)
        named = claim.algorithms - {"md5"}
        if upload.algorithm is not None and named - {upload.algorithm}:
            raise Refused(INVALID_REQUEST, f"The upload was begun with another checksum algorithm: {upload.algorithm}.")
        kept = named | ({upload.algorithm} if upload.algorithm else set())
        needed = kept | claim.algorithms
        wanted = needed if only_checksum(request, claim) else _wanted(request, needed)
        self._health.require_space(claim.length or 0)
        with self._objects.begin(wanted) as incoming:
            digests = await store_body(request, claim, incoming)
            record = self._keep(upload, number, incoming, digests, kept)
        return Answer(status=200, headers=(("ETag", f'"{record.etag}"'), *checksum_headers(record.checksums)))

    def copy_part(self, request: S3Request) -> Answer:
        """UploadPartCopy: bytes of an object as a part, hashed like any other."""
        upload, number = self._part_of(request)
        bucket, key = copy_source(request)
        self._objects.require_bucket(bucket)
        kept = frozenset({upload.algorithm}) if upload.algorithm else frozenset()
        source = self._objects.open(bucket, key)
        try:
            copy_source_conditions(request.parameters).check_copy(source.record.etag, source.record.modified)
            offset, count = _copy_range(request.parameters.get("x-amz-copy-source-range"), source.record.size)
            if count > self._limits.object_bytes:
                raise Refused(ENTITY_TOO_LARGE)
            self._health.require_space(count)
            with self._objects.begin(_wanted(request, kept)) as incoming:
                for piece in source.pieces(offset, count):
                    incoming.append(piece)
                record = self._keep(upload, number, incoming, incoming.finish(), kept)
        finally:
            source.close()
        content = [
            xml.tag("LastModified", xml.timestamp(record.modified_us)),
            xml.tag("ETag", f'"{record.etag}"'),
            xml.checksums(record.checksums),
        ]
        return document(xml.root("CopyPartResult", content))

    async def complete(self, request: S3Request) -> Answer:
        """CompleteMultipartUpload."""
        self._objects.require_bucket(request.bucket)
        conditions = request_conditions(request.fields)
        # The checksums in the head are those of the object, not of the list.
        text = await read_document(_without_checksums(request), limit=_LIST_BYTES)
        claim = _claim(request, text)
        self._health.require_writable()
        done = self._multipart.complete(
            request.bucket,
            request.key,
            request.query["uploadId"],
            claim,
            check=conditions.check_write,
            modified_us=self._microseconds(),
        )
        content = [
            xml.tag("Location", f"/{done.bucket}/{quote(done.key)}"),
            xml.tag("Bucket", done.bucket),
            xml.tag("Key", done.key),
            xml.tag("ETag", f'"{done.etag}"'),
            xml.checksums(done.checksums, typed=True),
        ]
        return document(xml.root("CompleteMultipartUploadResult", content))

    def abort(self, request: S3Request) -> Answer:
        """AbortMultipartUpload."""
        self._objects.require_bucket(request.bucket)
        self._multipart.abort(request.bucket, request.key, request.query["uploadId"])
        return Answer(status=204)

    def list_parts(self, request: S3Request) -> Answer:
        """ListParts."""
        self._objects.require_bucket(request.bucket)
        upload = self._multipart.require_open(request.bucket, request.key, request.query["uploadId"])
        return document(list_parts(self._multipart, upload, request))

    def list_uploads(self, request: S3Request) -> Answer:
        """ListMultipartUploads."""
        self._objects.require_bucket(request.bucket)
        uploads = [upload for upload in self._multipart.files.all() if upload.bucket == request.bucket]
        return document(list_uploads(uploads, request))

    def _part_of(self, request: S3Request) -> tuple[Upload, int]:
        self._objects.require_bucket(request.bucket)
        number = part_number(request.query["partNumber"])
        self._health.require_writable()
        return self._multipart.require_open(request.bucket, request.key, request.query["uploadId"]), number

    def _keep(
        self, upload: Upload, number: int, incoming: Incoming, digests: dict[str, bytes], kept: frozenset[str]
    ) -> Record:
        record = Record(
            bucket=upload.bucket,
            key=upload.key,
            size=incoming.size,
            etag=etag_of(digests) if "sha256" in digests else f"part-{secrets.token_hex(16)}",
            sha256=digests["sha256"].hex() if "sha256" in digests else None,
            content_type=upload.content_type,
            modified_us=self._microseconds(),
            checksums={name: as_base64(digests[name]) for name in kept},
        )
        self._multipart.put_part(upload, number, incoming, record)
        return record

    def _microseconds(self) -> int:
        return int(self._now() * 1_000_000)


def _wanted(request: S3Request, algorithms: frozenset[str]) -> frozenset[str]:
    return algorithms | {"sha256"} | (set() if request.presigned else {"md5"})


def _checksum_choice(parameters: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Algorithm and type of the checksum that an upload is begun with. Raises `Refused` for what S3 does not have."""
    named, wanted = parameters.get("x-amz-checksum-algorithm"), parameters.get("x-amz-checksum-type")
    if named is None:
        if wanted is not None:
            raise Refused(INVALID_REQUEST, "x-amz-checksum-type needs x-amz-checksum-algorithm.")
        return None, None
    algorithm = named.strip().lower()
    if algorithm not in ALGORITHMS:
        raise Refused(INVALID_REQUEST, "Checksum algorithm provided is unsupported.")
    checksum_type = (wanted or (FULL_OBJECT if algorithm == _ALWAYS_FULL else COMPOSITE)).strip().upper()
    possible = {COMPOSITE: algorithm != _ALWAYS_FULL, FULL_OBJECT: algorithm in COMBINABLE}
    if not possible.get(checksum_type):
        raise Refused(INVALID_REQUEST, f"The checksum type {checksum_type} cannot be used with {named}.")
    return algorithm, checksum_type


def _chosen(upload: Upload) -> tuple[tuple[str, str], ...]:
    if upload.algorithm is None or upload.checksum_type is None:
        return ()
    return ((f"{_CHECKSUM}algorithm", upload.algorithm.upper()), (f"{_CHECKSUM}type", upload.checksum_type))


def _copy_range(header: str | None, size: int) -> tuple[int, int]:
    """Offset and count of `x-amz-copy-source-range`, which must lie in the source. Raises `Refused`."""
    if header is None:
        return 0, size
    found = _COPY_RANGE.fullmatch(header)
    if not found or int(found[1]) > int(found[2]):
        raise Refused(INVALID_ARGUMENT, "x-amz-copy-source-range must be bytes=first-last, counted from zero.")
    if int(found[2]) >= size:
        raise unsatisfiable(size)
    return int(found[1]), int(found[2]) + 1 - int(found[1])


def _claim(request: S3Request, text: bytes) -> Claim:
    parameters = request.parameters
    size = parameters.get("x-amz-mp-object-size")
    if size is not None and not (size.isascii() and size.isdigit() and len(size) <= 19):  # noqa: PLR2004 - beyond any size
        raise Refused(INVALID_ARGUMENT, "x-amz-mp-object-size must be a number of bytes.")
    return Claim(
        parts=listed_parts(xml.parse(text, "CompleteMultipartUpload")),
        size=None if size is None else int(size),
        checksums={
            algorithm: parameters[_CHECKSUM + algorithm]
            for algorithm in ALGORITHMS
            if _CHECKSUM + algorithm in parameters
        },
        checksum_type=parameters.get(f"{_CHECKSUM}type"),
    )


def _without_checksums(request: S3Request) -> S3Request:
    fields, parameters = [
        {name: value for name, value in values.items() if not name.startswith(_CHECKSUM)}
        for values in (request.fields, request.parameters)
    ]
    return replace(request, fields=fields, parameters=parameters)
