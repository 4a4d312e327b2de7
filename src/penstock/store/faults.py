"""What the store may refuse, in S3's words (S3 API, Error responses): one code, one status, one default message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One error code of the S3 API with its HTTP status."""

    code: str
    status: int
    message: str


ACCESS_DENIED = Fault("AccessDenied", 403, "Access Denied")
ACL_NOT_SUPPORTED = Fault("AccessControlListNotSupported", 400, "The bucket does not allow ACLs.")
BAD_DIGEST = Fault("BadDigest", 400, "The checksum you specified did not match what we received.")
BUCKET_ALREADY_OWNED = Fault("BucketAlreadyOwnedByYou", 409, "The bucket exists already and you own it.")
BUCKET_NOT_EMPTY = Fault("BucketNotEmpty", 409, "The bucket you tried to delete is not empty.")
CORS_INCOMPLETE = Fault("BadRequest", 400, "Insufficient information. Origin request header needed.")
CORS_FORBIDDEN = Fault("AccessForbidden", 403, "This origin may not make cross-origin requests here.")
DAMAGED = Fault("InternalError", 500, "The stored object is damaged.")
ENTITY_TOO_LARGE = Fault("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size.")
ENTITY_TOO_SMALL = Fault("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size.")
FIELDS_TOO_LARGE = Fault("MaxPostPreDataLengthExceeded", 400, "The fields of the form before its file are too large.")
INCOMPLETE_BODY = Fault("IncompleteBody", 400, "The request body ended before the declared number of bytes.")
INSUFFICIENT_STORAGE = Fault("InsufficientStorage", 507, "There is not enough free space for this request.")
INTERNAL_ERROR = Fault("InternalError", 500, "The request failed inside the store; nothing was acknowledged.")
INVALID_ARGUMENT = Fault("InvalidArgument", 400, "Invalid argument.")
INVALID_BUCKET_NAME = Fault("InvalidBucketName", 400, "The specified bucket is not valid.")
INVALID_DIGEST = Fault("InvalidDigest", 400, "The Content-MD5 or checksum value that you specified is not valid.")
INVALID_PART = Fault("InvalidPart", 400, "One or more of the specified parts could not be found or has another ETag.")
INVALID_PART_ORDER = Fault("InvalidPartOrder", 400, "The list of parts was not in ascending order of part number.")
INVALID_RANGE = Fault("InvalidRange", 416, "The requested range is not satisfiable.")
INVALID_REQUEST = Fault("InvalidRequest", 400, "Invalid request.")
INVALID_STORAGE_CLASS = Fault("InvalidStorageClass", 400, "The only storage class here is STANDARD.")
INVALID_URI = Fault("InvalidURI", 400, "Couldn't parse the specified URI.")
KEY_TOO_LONG = Fault("KeyTooLongError", 400, "Your key is too long: at most 1024 bytes of UTF-8.")
MALFORMED_HTTP = Fault("BadRequest", 400, "This is not a request that HTTP/1.1 allows.")
MALFORMED_FORM = Fault(
    "MalformedPOSTRequest", 400, "The body of the POST request is not well-formed multipart/form-data."
)
MALFORMED_TRAILER = Fault("MalformedTrailerError", 400, "The trailer is not the one that x-amz-trailer announced.")
MALFORMED_XML = Fault("MalformedXML", 400, "The XML you provided was not well-formed or did not validate.")
METHOD_NOT_ALLOWED = Fault("MethodNotAllowed", 405, "The specified method is not allowed against this resource.")
MISSING_LENGTH = Fault("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
NOT_IMPLEMENTED = Fault("NotImplemented", 501, "A parameter or header you provided is not supported here.")
NOT_A_FORM = Fault("PreconditionFailed", 412, "Bucket POST must be of the enclosure-type multipart/form-data.")
NO_SUCH_BUCKET = Fault("NoSuchBucket", 404, "The specified bucket does not exist.")
NO_SUCH_CORS = Fault("NoSuchCORSConfiguration", 404, "The CORS configuration does not exist.")
NO_SUCH_KEY = Fault("NoSuchKey", 404, "The specified key does not exist.")
NO_SUCH_VERSION = Fault("NoSuchVersion", 404, "There is no such version: the only one that a key has is null.")
NO_SUCH_UPLOAD = Fault("NoSuchUpload", 404, "The specified multipart upload does not exist.")
PRECONDITION_FAILED = Fault("PreconditionFailed", 412, "At least one of the preconditions you specified did not hold.")
REQUEST_TIMEOUT = Fault("RequestTimeout", 400, "The client sent too slowly; the connection is closed.")
HEAD_TOO_LARGE = Fault("RequestHeaderSectionTooLarge", 431, "The request line and headers are too large or too many.")
SERVICE_UNAVAILABLE = Fault("ServiceUnavailable", 503, "The store takes no writes at the moment; try again later.")
SLOW_DOWN = Fault("SlowDown", 503, "Too much is going on at once; try again later.")
XAMZ_CONTENT_SHA256_MISMATCH = Fault(
    "XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed."
)


class Refused(Exception):
    """A request that gets an error answer. `headers` are added to it (`Allow`, `Content-Range`)."""

    def __init__(self, fault: Fault, message: str | None = None, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message or fault.message)
        self.fault = fault
        self.message = message or fault.message
        self.headers = headers


class NotModified(Exception):
    """A conditional GET or HEAD that ends in 304 (RFC 9110 §15.4.5)."""


class Disconnected(Exception):
    """The client is gone, or sent less than it announced: there is nobody to answer, nothing is stored (F7)."""


class DataLost(Disconnected):
    """A file broke off while it was being sent: the connection ends, so that the client notices (F6)."""
