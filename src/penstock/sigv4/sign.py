"""Signing: presigned URLs, and headers for calls of our own. Never touches the network, reads no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from penstock.sigv4.canonical import (
    ALGORITHM,
    UNSIGNED_PAYLOAD,
    Credentials,
    canonical_query,
    canonical_request,
    canonical_value,
    encode_path,
    format_time,
    sign,
    signing_key,
    string_to_sign,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_LIFE_SECONDS = 604_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be signed. `origin` is of `clean_origin`, `path` is not encoded; every header given is signed.

    Header values go out as latin-1. `host` is always signed and does not belong into `headers`.
    """

    method: str
    origin: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One key pair in one region."""

    credentials: Credentials
    region: str
    service: str = "s3"

    def presign(self, request: Request, *, now: datetime, expires_in: timedelta) -> str:
        """A URL that carries its permission, for whole seconds from 1 to 604800 after `now` (S3 API, query auth).

        Raises ValueError for another lifetime.
        """
        seconds = int(expires_in.total_seconds())
        if not 1 <= seconds <= _LONGEST_LIFE_SECONDS:
            raise ValueError(f"a presigned URL lives 1 to {_LONGEST_LIFE_SECONDS} seconds, not {seconds}")
        amz_date = format_time(now)
        scope = self._scope(amz_date)
        headers, names = _signed_headers(request, ())
        query = canonical_query(
            (
                ("X-Amz-Algorithm", ALGORITHM),
                ("X-Amz-Credential", f"{self.credentials.access_key}/{scope}"),
                ("X-Amz-Date", amz_date),
                ("X-Amz-Expires", str(seconds)),
                ("X-Amz-SignedHeaders", names),
                *request.query,
            )
        )
        path = encode_path(request.path)
        canonical = canonical_request(request.method, path, query=query, headers=headers, payload_hash=UNSIGNED_PAYLOAD)
        signature = self._signature(amz_date, scope, canonical)
        return f"{request.origin}{path}?{query}&X-Amz-Signature={signature}"

    def sign_headers(
        self, request: Request, *, now: datetime, payload_hash: str = UNSIGNED_PAYLOAD
    ) -> tuple[str, dict[str, str]]:
        """The encoded target for the request line, and the headers to add to the request's (S3 API, header auth).

        `payload_hash` is the body's SHA-256 in hex, or one of S3's words for an unsigned or streamed body.
        """
        amz_date = format_time(now)
        scope = self._scope(amz_date)
        added = {"x-amz-content-sha256": payload_hash, "x-amz-date": amz_date}
        headers, names = _signed_headers(request, tuple(added.items()))
        path, query = encode_path(request.path), canonical_query(request.query)
        canonical = canonical_request(request.method, path, query=query, headers=headers, payload_hash=payload_hash)
        credential = f"{self.credentials.access_key}/{scope}"
        signature = self._signature(amz_date, scope, canonical)
        added["authorization"] = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
        return f"{path}?{query}" if query else path, added

    def _scope(self, amz_date: str) -> str:
        return f"{amz_date[:8]}/{self.region}/{self.service}/aws4_request"

    def _signature(self, amz_date: str, scope: str, canonical: str) -> str:
        key = signing_key(self.credentials.secret_key, amz_date[:8], self.region, self.service)
        return sign(key, string_to_sign(amz_date, scope, canonical))


def clean_origin(url: str) -> str:
    """`scheme://host[:port]` in the spelling that HTTP clients put into Host: lower case, default port left out.

    Raises ValueError when there is more to the URL than an origin: a signed path must begin at the root.
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme, parts.hostname
    if scheme not in _DEFAULT_PORTS or not host or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not of the form http(s)://host[:port]")
    if parts.username is not None or not host.isascii():
        raise ValueError(f"{url!r} has a user name or a host that is not ASCII")
    name = f"[{host}]" if ":" in host else host
    if parts.port in {None, _DEFAULT_PORTS[scheme]}:
        return f"{scheme}://{name}"
    return f"{scheme}://{name}:{parts.port}"


def _signed_headers(request: Request, added: tuple[tuple[str, str], ...]) -> tuple[list[tuple[str, str]], str]:
    host = request.origin.partition("://")[2]
    headers = [("host", host), *added]
    headers += [(name.lower(), canonical_value(value)) for name, value in request.headers]
    headers.sort()
    return headers, ";".join([name for name, _ in headers])
