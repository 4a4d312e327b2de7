"""One authorised request: who signed what, and which bucket and key it names. Nothing of the body is read here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.sigv4 import UNSIGNED_PAYLOAD, AuthKind, Scope, SignatureError, Verified, Verifier, parse_target
from penstock.store.faults import INVALID_ARGUMENT, INVALID_URI, KEY_TOO_LONG, Fault, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from penstock.store.body import Body
    from penstock.store.head import Head

ONLY_VERSION = "null"
"""The version id of every object: that of a bucket without versioning (S3 API)."""

_LONGEST_KEY = 1024
# Query parameters that name another operation or view; one we do not serve must not be mistaken for the plain one.
_SUBRESOURCES = frozenset(
    {
        "accelerate", "acl", "analytics", "append", "attributes", "cors", "delete", "encryption", "intelligent-tiering",
        "inventory", "legal-hold", "lifecycle", "list-type", "location", "logging", "metadataTable", "metrics",
        "notification", "object-lock", "ownershipControls", "partNumber", "policy", "policyStatus",
        "publicAccessBlock", "rename", "replication", "requestPayment", "restore", "retention", "select", "session",
        "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Request:
    """A request whose signature is right. `query` holds the signed parameters; a repeated one has its first value."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    fields: dict[str, str]
    verified: Verified
    body: Body
    subresources: frozenset[str]
    """Which operation other than the plain one the query names."""
    parameters: dict[str, str]
    """Headers, and in a presigned URL the query parameters that stand for headers (some SDKs put them there).

    Names in lower case; values as the text of the wire, like those of headers.
    """

    @property
    def presigned(self) -> bool:
        return self.verified.kind is AuthKind.QUERY

    @property
    def unsigned(self) -> bool:
        """Nobody answers for it: it may do what everybody may."""
        return self.verified.kind is AuthKind.NONE

    @property
    def from_browser(self) -> bool:
        """Whether a link may have made it: its permission is not in its headers."""
        return self.verified.kind is not AuthKind.HEADER

    def number(self, name: str, default: int, *, most: int) -> int:
        """A decimal query parameter, capped at `most`. Raises `Refused` when it is no number."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 10):  # noqa: PLR2004 - beyond any number S3 knows
            raise Refused(INVALID_ARGUMENT, f"{name} must be a decimal number.")
        return min(int(text), most)


def authorise(head: Head, body: Body, *, verifier: Verifier, now: datetime) -> S3Request:
    """Check the signature, then name what it is about. Raises `Refused`."""
    try:
        verified = verifier.verify(head.method, head.target, head.headers, now=now)
    except SignatureError as error:
        raise Refused(Fault(error.code, error.status, error.message)) from None
    return _request(head, body, verified)


def is_unsigned(head: Head) -> bool:
    """Whether a request does not even try to be signed."""
    return "authorization" not in head.fields and "X-Amz-" not in head.target and "AWSAccessKeyId" not in head.target


def unsigned(head: Head, body: Body, *, now: datetime) -> S3Request:
    """A request that nobody signed, for whoever knows what everybody may do. Raises `Refused`."""
    try:
        target = parse_target(head.target)
    except SignatureError as error:
        raise Refused(Fault(error.code, error.status, error.message)) from None
    nobody = Verified(
        access_key="",
        kind=AuthKind.NONE,
        target=target,
        payload_hash=UNSIGNED_PAYLOAD,
        signed_headers=frozenset(),
        signed_at=now,
        expires_at=None,
        scope=Scope(date="", region="", service=""),
        signature="",
        signing_key=b"",
    )
    return _request(head, body, nobody)


def _request(head: Head, body: Body, verified: Verified) -> S3Request:
    bucket, key = split_path(verified.target.path)
    query: dict[str, str] = {}
    for name, value in verified.target.query:
        query.setdefault(name, value)
    return S3Request(
        method=head.method,
        bucket=bucket,
        key=key,
        query=query,
        fields=head.fields,
        verified=verified,
        body=body,
        subresources=subresources_of(query),
        parameters=_with_headers_of(query, head.fields) if verified.kind is AuthKind.QUERY else head.fields,
    )


def subresources_of(query: Iterable[str]) -> frozenset[str]:
    """Those of the query's parameters that name an operation or view of its own."""
    return _SUBRESOURCES.intersection(query)


def _with_headers_of(query: dict[str, str], fields: dict[str, str]) -> dict[str, str]:
    found = [(name.lower(), value) for name, value in query.items()]
    return {name: _on_the_wire(value) for name, value in found if name.startswith("x-amz-")} | fields


def split_path(path: str) -> tuple[str, str]:
    """Bucket and key of a decoded path-style path; either may be empty. Raises `Refused` for a key that S3 forbids."""
    bucket, _, key = path.removeprefix("/").partition("/")
    if "\0" in path:
        raise Refused(INVALID_URI)
    if len(key.encode()) > _LONGEST_KEY:
        raise Refused(KEY_TOO_LONG)
    return bucket, key


def _on_the_wire(value: str) -> str:
    return value if value.isascii() else value.encode().decode("latin-1")
