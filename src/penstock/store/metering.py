"""What the store counts: requests by their S3 operation, refusals by their code, bytes, connections, fsyncs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.sigv4.errors import SignatureError
from penstock.store import faults
from penstock.telemetry import Meters

if TYPE_CHECKING:
    from penstock.store.request import S3Request
    from penstock.telemetry import Meter

NO_OPERATION = "none"
"""Of a request whose head, signature or route was refused."""
OTHER_CODE = "other"
ABANDONED = "abandoned"
"""The outcome of a request whose client went away first."""
_OUTCOMES = ("2xx", "3xx", "4xx", "5xx", ABANDONED)

_SERVICE, _BUCKET, _OBJECT = "service", "bucket", "object"
# Every operation that the S3 API has on these, served or not: a new route finds its name here.
_OPERATIONS: dict[tuple[str, str, frozenset[str]], str] = {
    (level, method, frozenset(subresources.split())): name
    for level, method, subresources, name in (
        (_SERVICE, "GET", "", "ListBuckets"),
        (_BUCKET, "PUT", "", "CreateBucket"),
        (_BUCKET, "HEAD", "", "HeadBucket"),
        (_BUCKET, "DELETE", "", "DeleteBucket"),
        (_BUCKET, "GET", "", "ListObjects"),
        (_BUCKET, "GET", "list-type", "ListObjectsV2"),
        (_BUCKET, "GET", "versions", "ListObjectVersions"),
        (_BUCKET, "GET", "uploads", "ListMultipartUploads"),
        (_BUCKET, "GET", "location", "GetBucketLocation"),
        (_BUCKET, "GET", "versioning", "GetBucketVersioning"),
        (_BUCKET, "PUT", "versioning", "PutBucketVersioning"),
        (_BUCKET, "GET", "cors", "GetBucketCors"),
        (_BUCKET, "PUT", "cors", "PutBucketCors"),
        (_BUCKET, "DELETE", "cors", "DeleteBucketCors"),
        (_BUCKET, "GET", "acl", "GetBucketAcl"),
        (_BUCKET, "PUT", "acl", "PutBucketAcl"),
        (_BUCKET, "GET", "policy", "GetBucketPolicy"),
        (_BUCKET, "GET", "tagging", "GetBucketTagging"),
        (_BUCKET, "POST", "", "PostObject"),
        (_BUCKET, "POST", "delete", "DeleteObjects"),
        (_OBJECT, "PUT", "", "PutObject"),
        (_OBJECT, "GET", "", "GetObject"),
        (_OBJECT, "GET", "partNumber", "GetObject"),
        (_OBJECT, "HEAD", "", "HeadObject"),
        (_OBJECT, "HEAD", "partNumber", "HeadObject"),
        (_OBJECT, "DELETE", "", "DeleteObject"),
        (_OBJECT, "GET", "attributes", "GetObjectAttributes"),
        (_OBJECT, "GET", "acl", "GetObjectAcl"),
        (_OBJECT, "PUT", "acl", "PutObjectAcl"),
        (_OBJECT, "GET", "tagging", "GetObjectTagging"),
        (_OBJECT, "PUT", "tagging", "PutObjectTagging"),
        (_OBJECT, "DELETE", "tagging", "DeleteObjectTagging"),
        (_OBJECT, "POST", "uploads", "CreateMultipartUpload"),
        (_OBJECT, "PUT", "partNumber uploadId", "UploadPart"),
        (_OBJECT, "GET", "uploadId", "ListParts"),
        (_OBJECT, "POST", "uploadId", "CompleteMultipartUpload"),
        (_OBJECT, "DELETE", "uploadId", "AbortMultipartUpload"),
    )
}
_ANY_VERSION = frozenset({"versionId"})
_SOURCE = "x-amz-copy-source"
_WITH_A_SOURCE = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}
POST_OBJECT = "PostObject"
OPERATIONS = tuple(sorted({NO_OPERATION, *_OPERATIONS.values(), *_WITH_A_SOURCE.values()}))
CODES = tuple(
    sorted(
        {OTHER_CODE}
        | {fault.code for fault in vars(faults).values() if isinstance(fault, faults.Fault)}
        | {SignatureError.code, *[error.code for error in SignatureError.__subclasses__()]}
    )
)
_KNOWN_CODES = frozenset(CODES)


def store_meters(*, processes: int = 1) -> Meters:
    """Shared memory for the store's numbers, to be made before the processes are forked."""
    labels = {"operation": OPERATIONS, "status": _OUTCOMES, "code": CODES, "of": ("file", "directory")}
    return Meters("penstock_store_", labels, processes=processes)


def operation_of(request: S3Request) -> str:
    """The S3 operation that a signed request means."""
    level = _OBJECT if request.key else _BUCKET if request.bucket else _SERVICE
    name = _OPERATIONS.get((level, request.method, request.subresources - _ANY_VERSION), NO_OPERATION)
    if name not in _WITH_A_SOURCE:
        return name
    # Some SDKs sign the header into the query.
    copies = _SOURCE in request.fields or any(parameter.lower() == _SOURCE for parameter in request.query)
    return _WITH_A_SOURCE[name] if copies else name


def count_request(  # noqa: PLR0913 - what is known of a request, each once
    meter: Meter, *, operation: str, status: int | None, code: str, received: int, sent: int, seconds: float
) -> None:
    """One request that ended; `status` is None when its client went away. 1.5 µs."""
    outcome = ABANDONED if status is None else f"{status // 100}xx"
    meter.add(1, "penstock_store_requests", operation, outcome)
    meter.observe(seconds, "penstock_store_request_seconds", operation)
    if received:
        meter.add(received, "penstock_store_received_bytes")
    if sent:
        meter.add(sent, "penstock_store_sent_bytes")
    if code:
        count_refusal(meter, code)


def count_refusal(meter: Meter, code: str) -> None:
    """One error answer."""
    meter.add(1, "penstock_store_errors", code if code in _KNOWN_CODES else OTHER_CODE)
