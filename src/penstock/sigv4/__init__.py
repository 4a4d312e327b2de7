"""AWS Signature Version 4, both sides: signing for our own calls and URLs, verifying for the embedded store. Pure."""

from penstock.sigv4.canonical import EMPTY_SHA256, UNSIGNED_PAYLOAD, Credentials, Scope, Target, parse_target
from penstock.sigv4.chunks import ChunkChain
from penstock.sigv4.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidPolicyDocument,
    InvalidRequest,
    InvalidToken,
    InvalidURI,
    MissingSecurityHeader,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
    SignatureError,
)
from penstock.sigv4.etags import multipart_etag
from penstock.sigv4.forms import Form, VerifiedForm, is_open_form, open_form, sign_form, verify_form
from penstock.sigv4.sign import Request, Signer, clean_origin
from penstock.sigv4.verify import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    AuthKind,
    Verified,
    Verifier,
)

__all__ = [
    "EMPTY_SHA256",
    "STREAMING_SIGNED",
    "STREAMING_SIGNED_TRAILER",
    "STREAMING_UNSIGNED_TRAILER",
    "UNSIGNED_PAYLOAD",
    "AccessDenied",
    "AuthKind",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "ChunkChain",
    "Credentials",
    "Form",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "InvalidPolicyDocument",
    "InvalidRequest",
    "InvalidToken",
    "InvalidURI",
    "MissingSecurityHeader",
    "Request",
    "RequestTimeTooSkewed",
    "Scope",
    "SignatureDoesNotMatch",
    "SignatureError",
    "Signer",
    "Target",
    "Verified",
    "VerifiedForm",
    "Verifier",
    "clean_origin",
    "is_open_form",
    "multipart_etag",
    "open_form",
    "parse_target",
    "sign_form",
    "verify_form",
]
