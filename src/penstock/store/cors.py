"""Cross-origin requests from browsers (S26): configured origins, no credentials, `ETag` exposed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.store.answers import Answer, Headers
from penstock.store.faults import CORS_FORBIDDEN, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_EXPOSED = "ETag, Accept-Ranges, Content-Range, x-amz-checksum-sha256, x-amz-request-id"
_MAX_AGE_SECONDS = "3600"


def response_headers(origin: str | None, allowed: tuple[str, ...]) -> Headers:
    """What a browser needs to let a page of `origin` read the answer; nothing for another origin."""
    if origin is None or not _is_allowed(origin, allowed):
        return ()
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
        ("Vary", "Origin"),
    )


def preflight(fields: Mapping[str, str], allowed: tuple[str, ...]) -> Answer:
    """The answer to OPTIONS (Fetch standard, CORS-preflight). Raises `Refused` for an origin that is not allowed."""
    origin, method = fields.get("origin"), fields.get("access-control-request-method")
    if origin is None or not _is_allowed(origin, allowed) or method not in _METHODS:
        raise Refused(CORS_FORBIDDEN)
    headers: Headers = (
        ("Access-Control-Allow-Methods", ", ".join(_METHODS)),
        ("Access-Control-Max-Age", _MAX_AGE_SECONDS),
    )
    if "access-control-request-headers" in fields:
        # A signature decides which headers may come, not CORS.
        headers += (("Access-Control-Allow-Headers", fields["access-control-request-headers"]),)
    return Answer(status=204, headers=headers)


def _is_allowed(origin: str, allowed: tuple[str, ...]) -> bool:
    return "*" in allowed or origin in allowed
