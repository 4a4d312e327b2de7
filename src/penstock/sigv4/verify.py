"""Verifying that a request, as it came over the wire, is signed by a key that we know, for here and for now.

The order is: form, scope, time, coverage, signature. Only the last step needs a secret, and it takes the same path for
an unknown key as for a wrong signature, ending in one constant-time comparison (S21).
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING

from penstock.sigv4.canonical import (
    ALGORITHM,
    TERMINATOR,
    UNSIGNED_PAYLOAD,
    Scope,
    Target,
    canonical_query,
    canonical_request,
    canonical_value,
    encode_path,
    format_time,
    parse_target,
    sign,
    signing_key,
    string_to_sign,
)
from penstock.sigv4.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidRequest,
    InvalidToken,
    MissingSecurityHeader,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
    SignatureError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

_SKEW = timedelta(minutes=15)
_LONGEST_LIFE_SECONDS = 604_800
_NO_SECRET = "the secret of no key at all"  # noqa: S105 - stands in so that an unknown key costs the same work
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
_HEX_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_QUERY_FIELDS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)
_HEADER_FIELDS = frozenset({"Credential", "SignedHeaders", "Signature"})


class AuthKind(Enum):
    """Where the signature was; nowhere in a request that whoever serves it lets in without one."""

    HEADER = "header"
    QUERY = "query"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A request whose signature is right. Use `target` and nothing else of the request line: it is what was verified.

    `payload_hash` is what the client declared of the body: 64 hex digits to be compared by whoever reads the body,
    `UNSIGNED-PAYLOAD`, or a `STREAMING-…` word. `expires_at` is None for a header-signed request.
    """

    access_key: str
    kind: AuthKind
    target: Target = field(repr=False)
    payload_hash: str
    signed_headers: frozenset[str]
    signed_at: datetime
    expires_at: datetime | None
    scope: Scope
    signature: str = field(repr=False)
    signing_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Checks requests for one region and service. `lookup` gives the secret of an access key, or None."""

    lookup: Callable[[str], str | None]
    region: str
    service: str = "s3"

    def verify(self, method: str, target: str, headers: Iterable[tuple[str, str]], *, now: datetime) -> Verified:
        """Check one request as received: target and header values are latin-1 text of the wire.

        Raises a `SignatureError`; a request without any signature is `AccessDenied`.
        """
        parsed = parse_target(target)
        grouped = _grouped(headers)
        claim = _claim(parsed, grouped)
        if claim.scope.date != claim.amz_date[:8]:
            raise claim.malformed("Invalid credential date; it must be that of the request.")
        self.check_place(claim.scope, claim.malformed)
        expires_at = claim.check_time(now)
        _check_coverage(claim, grouped)
        payload_hash = _payload_hash(claim, grouped, parsed)
        canonical = canonical_request(
            method,
            encode_path(parsed.path),
            query=canonical_query([pair for pair in parsed.query if pair[0] != "X-Amz-Signature"]),
            headers=[(name, ",".join(map(canonical_value, grouped[name]))) for name in claim.signed_headers],
            payload_hash=payload_hash,
        )
        key = self.check_signature(
            claim.access_key, claim.scope, string_to_sign(claim.amz_date, str(claim.scope), canonical), claim.signature
        )
        return Verified(
            access_key=claim.access_key,
            kind=claim.kind,
            target=parsed,
            payload_hash=payload_hash,
            signed_headers=frozenset(claim.signed_headers),
            signed_at=claim.signed_at,
            expires_at=expires_at,
            scope=claim.scope,
            signature=claim.signature,
            signing_key=key,
        )

    def check_signature(self, access_key: str, scope: Scope, text: str, signature: str) -> bytes:
        """The signing key, when `signature` is that of `text`. Raises `InvalidAccessKeyId`, `SignatureDoesNotMatch`."""
        secret = self.lookup(access_key)
        key = signing_key(_NO_SECRET if secret is None else secret, scope.date, scope.region, scope.service)
        matches = hmac.compare_digest(sign(key, text).encode(), signature.encode())
        if secret is None:
            raise InvalidAccessKeyId("The AWS Access Key Id you provided does not exist in our records.")
        if not matches:
            raise SignatureDoesNotMatch(
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method."
            )
        return key

    def check_place(self, scope: Scope, malformed: type[SignatureError]) -> None:
        """Raises `malformed` when a scope is for another region or service."""
        if scope.region != self.region:
            raise malformed(f"The region is wrong; expecting '{self.region}'.")
        if scope.service != self.service:
            raise malformed(f"The service is wrong; expecting '{self.service}'.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a request says of its own signature."""

    kind: AuthKind
    access_key: str
    scope: Scope
    amz_date: str
    signed_at: datetime
    lifetime: timedelta | None
    signed_headers: tuple[str, ...]
    signature: str
    malformed: type[SignatureError]

    def check_time(self, now: datetime) -> datetime | None:
        """When the permission ends: a URL at the moment it promised (P8), a header-signed request never by itself."""
        if self.lifetime is None:
            if abs(now - self.signed_at) > _SKEW:
                raise RequestTimeTooSkewed("The difference between the request time and the current time is too large.")
            return None
        if self.signed_at - now > _SKEW:
            raise AccessDenied("Request is not yet valid")
        expires_at = self.signed_at + self.lifetime
        if now > expires_at:
            raise AccessDenied("Request has expired")
        return expires_at


def parse_credential(text: str, malformed: type[SignatureError]) -> tuple[str, Scope]:
    """Access key and scope of `KEY/YYYYMMDD/region/service/aws4_request`. Raises `malformed`."""
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or not parts[0] or parts[4] != TERMINATOR:  # noqa: PLR2004 - the five fields of the docstring
        raise malformed(f'The Credential is mal-formed; expecting "<access-key>/YYYYMMDD/REGION/SERVICE/{TERMINATOR}".')
    return parts[0], Scope(date=parts[1], region=parts[2], service=parts[3])


def parse_time(text: str, malformed: type[SignatureError]) -> datetime:
    """The moment of `YYYYMMDDTHHMMSSZ`. Raises `malformed`."""
    found = _TIME.fullmatch(text)
    try:
        if found:
            year, month, day, hour, minute, second = map(int, found.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        pass
    raise malformed("The date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")


def _grouped(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in headers:
        grouped.setdefault(name.lower(), []).append(value)
    return grouped


def _claim(target: Target, headers: Mapping[str, list[str]]) -> _Claim:
    names = {name for name, _ in target.query}
    in_query = not names.isdisjoint({"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"})
    authorization = headers.get("authorization", [])
    if len(authorization) + in_query > 1:
        raise InvalidArgument("Only one auth mechanism allowed.")
    if "AWSAccessKeyId" in names or any(value.startswith("AWS ") for value in authorization):
        raise InvalidRequest(f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.")
    if "x-amz-security-token" in headers or "X-Amz-Security-Token" in names:
        raise InvalidToken("The provided token is malformed or otherwise invalid.")
    if in_query:
        return _query_claim(target)
    if authorization:
        return _header_claim(authorization[0], headers)
    raise AccessDenied("Anonymous access is not allowed.")


def _query_claim(target: Target) -> _Claim:
    malformed = AuthorizationQueryParametersError
    amz = [(name, value) for name, value in target.query if name.lower().startswith("x-amz-")]
    if len({name.lower() for name, _ in amz}) != len(amz):
        raise malformed("A query parameter of the signature is there more than once.")
    fields = dict(amz)
    if any(name not in fields for name in _QUERY_FIELDS):
        raise malformed(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise malformed(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    access_key, scope = parse_credential(fields["X-Amz-Credential"], malformed)
    return _Claim(
        kind=AuthKind.QUERY,
        access_key=access_key,
        scope=scope,
        amz_date=fields["X-Amz-Date"],
        signed_at=parse_time(fields["X-Amz-Date"], malformed),
        lifetime=_lifetime(fields["X-Amz-Expires"]),
        signed_headers=_signed_headers(fields["X-Amz-SignedHeaders"], malformed),
        signature=fields["X-Amz-Signature"],
        malformed=malformed,
    )


def _lifetime(text: str) -> timedelta:
    """The promised life. A number that is none permits nothing: 403, as ceph/s3-tests has it."""
    if not _NUMBER.fullmatch(text):
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    digits = text.lstrip("0")
    if not 1 <= len(digits) <= len(str(_LONGEST_LIFE_SECONDS)) or not 1 <= int(digits) <= _LONGEST_LIFE_SECONDS:
        raise AccessDenied(f"X-Amz-Expires must be from 1 to {_LONGEST_LIFE_SECONDS} seconds")
    return timedelta(seconds=int(digits))


def _header_claim(authorization: str, headers: Mapping[str, list[str]]) -> _Claim:
    malformed = AuthorizationHeaderMalformed
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise InvalidArgument("Unsupported Authorization Type")
    pairs = [part.strip().partition("=") for part in rest.split(",")]
    fields = {name: value for name, _, value in pairs}
    if len(pairs) != len(fields) or fields.keys() != _HEADER_FIELDS:
        raise malformed(
            "The authorization header requires exactly one each of Credential, SignedHeaders and Signature."
        )
    access_key, scope = parse_credential(fields["Credential"], malformed)
    signed_at = _header_time(headers)
    return _Claim(
        kind=AuthKind.HEADER,
        access_key=access_key,
        scope=scope,
        amz_date=format_time(signed_at),
        signed_at=signed_at,
        lifetime=None,
        signed_headers=_signed_headers(fields["SignedHeaders"], malformed),
        signature=fields["Signature"],
        malformed=malformed,
    )


def _header_time(headers: Mapping[str, list[str]]) -> datetime:
    """`x-amz-date`, or else `Date`, which may also be an IMF-fixdate (S3 API, "Signing and authenticating")."""
    no_date = "AWS authentication requires a valid Date or x-amz-date header"
    values = headers.get("x-amz-date") or headers.get("date") or []
    if len(values) != 1:
        raise AccessDenied(no_date)
    text = values[0].strip()
    if _TIME.fullmatch(text) or "x-amz-date" in headers:
        return parse_time(text, AccessDenied)
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise AccessDenied(no_date) from None


def _signed_headers(text: str, malformed: type[SignatureError]) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if any(not _HEADER_NAME.fullmatch(name) for name in names) or list(names) != sorted(set(names)):
        raise malformed("SignedHeaders must be lower-case header names in ascending order, separated by semicolons.")
    return names


def _check_coverage(claim: _Claim, headers: Mapping[str, list[str]]) -> None:
    """Nothing that S3 acts on may come without having been signed, and nothing signed may be missing."""
    signed = set(claim.signed_headers)
    if "host" not in signed or any(
        name not in signed for name in headers if name.startswith("x-amz-") or name == "content-md5"
    ):
        raise AccessDenied("There were headers present in the request which were not signed")
    if not signed <= headers.keys():
        raise SignatureDoesNotMatch("A signed header is not in the request.")


def _payload_hash(claim: _Claim, headers: Mapping[str, list[str]], target: Target) -> str:
    """The declaration under the signature. A URL may carry it as a parameter (some SDKs do) or leave it out."""
    declared = [value.strip() for value in headers.get("x-amz-content-sha256", [])]
    if claim.kind is AuthKind.QUERY:
        declared += [value for name, value in target.query if name.lower() == "x-amz-content-sha256"]
        declared = declared or [UNSIGNED_PAYLOAD]
    if not declared:
        raise MissingSecurityHeader("Missing required header for this request: x-amz-content-sha256")
    words = {UNSIGNED_PAYLOAD, STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER}
    if len(declared) != 1 or not (declared[0] in words or _HEX_SHA256.fullmatch(declared[0])):
        raise InvalidArgument(
            f"x-amz-content-sha256 must be {UNSIGNED_PAYLOAD}, one of the STREAMING words, or a valid sha256 value."
        )
    return declared[0]
