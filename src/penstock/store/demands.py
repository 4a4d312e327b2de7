"""What a request asks for beside the bytes: kept, or refused. Nothing that would be forgotten is answered with success.

A canned ACL that lets nobody in is accepted, because every bucket and object is so. One that lets the public in is
kept, and holds, only where the store was started to keep such; everywhere else it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.store.faults import (
    ACCESS_DENIED,
    ACL_NOT_SUPPORTED,
    INVALID_ARGUMENT,
    INVALID_REQUEST,
    INVALID_STORAGE_CLASS,
    NOT_IMPLEMENTED,
    Refused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.store.request import S3Request

ACL = "x-amz-acl"
PUBLIC_READ, PUBLIC_READ_WRITE = "public-read", "public-read-write"
PUBLIC = frozenset({PUBLIC_READ, PUBLIC_READ_WRITE})
_OWNERS_ONLY = frozenset({"private", "bucket-owner-read", "bucket-owner-full-control"})
_OTHERS = frozenset({"authenticated-read", "aws-exec-read", "log-delivery-write"})
_STORAGE_CLASS = "x-amz-storage-class"
_NOT_SERVED = (
    "x-amz-copy-source-server-side-encryption", "x-amz-expected-bucket-owner", "x-amz-if-match-", "x-amz-object-lock-",
    "x-amz-server-side-encryption", "x-amz-source-expected-bucket-owner", "x-amz-tagging",
    "x-amz-website-redirect-location", "x-amz-write-offset-bytes",
)  # fmt: skip
_HARMLESS = frozenset({"x-amz-tagging-directive"})
_LISTINGS = frozenset({frozenset[str](), frozenset({"list-type"})})


def require_kept(parameters: Mapping[str, str], *, public_acls: bool) -> None:
    """Raises `Refused` for what a request demands and would not get. Names are in lower case."""
    for name in parameters:
        if not name.startswith("x-amz-"):
            continue
        if name.startswith("x-amz-grant-"):
            raise Refused(ACL_NOT_SUPPORTED)
        if name.startswith(_NOT_SERVED) and name not in _HARMLESS:
            raise Refused(NOT_IMPLEMENTED, f"{name} is not supported here.")
    if parameters.get(_STORAGE_CLASS, "STANDARD") != "STANDARD":
        raise Refused(INVALID_STORAGE_CLASS)
    _require_acl(parameters.get(ACL, ""), public_acls=public_acls)


def _require_acl(acl: str, *, public_acls: bool) -> None:
    if not acl or acl in _OWNERS_ONLY:
        return
    if acl not in PUBLIC | _OTHERS:
        raise Refused(INVALID_ARGUMENT, "This is no canned ACL.")
    if not public_acls or acl in _OTHERS:
        raise Refused(ACL_NOT_SUPPORTED)


def kept_acl(parameters: Mapping[str, str]) -> str:
    """The canned ACL of a write that is worth keeping, after `require_kept`; empty for one that lets nobody in."""
    acl = parameters.get(ACL, "")
    return acl if acl in PUBLIC else ""


def require_public_bucket(request: S3Request, acl: str) -> None:
    """Raises `Refused` unless everybody may do this with a bucket of this ACL: look whether it is there, or list it."""
    if acl not in PUBLIC or request.method not in {"GET", "HEAD"} or request.subresources not in _LISTINGS:
        raise Refused(ACCESS_DENIED)


def require_public_object(request: S3Request, acl: str) -> None:
    """Raises `Refused` unless everybody may do this with an object of this ACL: read it as it is."""
    if acl not in PUBLIC or request.method not in {"GET", "HEAD"} or request.subresources:
        raise Refused(ACCESS_DENIED)
    if any(name.startswith("response-") for name in request.query):
        raise Refused(INVALID_REQUEST, "Request specific response headers cannot be used for anonymous GET requests.")
