"""A request's body as the object's bytes: limits while it streams, and every declared checksum compared at the end."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.sigv4 import UNSIGNED_PAYLOAD
from penstock.store.awschunked import AwsChunkedBody, payload_of, trailing_checksum
from penstock.store.body import Body
from penstock.store.digests import ALGORITHMS, as_base64, digest_of
from penstock.store.digests import checksum_type as type_of
from penstock.store.faults import (
    BAD_DIGEST,
    ENTITY_TOO_LARGE,
    INVALID_ARGUMENT,
    INVALID_DIGEST,
    INVALID_REQUEST,
    MALFORMED_TRAILER,
    XAMZ_CONTENT_SHA256_MISMATCH,
    Refused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.store.incoming import Incoming
    from penstock.store.request import S3Request

MAX_LENGTH = "x-penstock-max-length"
ONLY_CHECKSUM = "x-penstock-only-checksum"
_CHECKSUM = "x-amz-checksum-"
_SDK_CHECKSUM = "x-amz-sdk-checksum-algorithm"
_MOVED_BYTES = 256 * 1024
"""What is smaller is hashed while it is in memory."""
_DIGEST_SIZES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "md5": 16, "sha1": 20, "sha256": 32}
_ENOUGH = "crc64nvme"
_NOT_VALUES = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the client says of the bytes that it is going to send. `digests` are by algorithm, binary.

    `length` is None when the client does not say; `trailing` is the algorithm of a checksum that follows the bytes.
    """

    digests: dict[str, bytes]
    payload_sha256: str | None
    max_bytes: int
    length: int | None
    trailing: str | None

    @property
    def algorithms(self) -> frozenset[str]:
        return frozenset(self.digests) | ({self.trailing} if self.trailing else set())

    def compare(self, digests: Mapping[str, bytes]) -> None:
        """Raises `Refused` when a digest is not the declared one.

        `digests` must hold `algorithms`, and SHA-256 where a `payload_sha256` was declared.
        """
        if self.payload_sha256 is not None and digests["sha256"].hex() != self.payload_sha256:
            raise Refused(XAMZ_CONTENT_SHA256_MISMATCH)
        if any(digests[name] != expected for name, expected in self.digests.items()):
            raise Refused(BAD_DIGEST)


def declared(request: S3Request, *, object_bytes: int) -> Declared:
    """The declarations of an upload, checked as far as that goes before its first byte. Raises `Refused`."""
    digests = declared_digests(request.fields, _without_placeholders(request))
    promised = trailing_checksum(request)
    trailing = _algorithm(promised) if promised else None
    if len(digests.keys() - {"md5"}) + (trailing is not None) > 1:
        raise Refused(INVALID_REQUEST, "Expecting a single x-amz-checksum- header.")
    payload = request.verified.payload_hash
    length, limit = payload_of(request).length, _max_length(request, object_bytes)
    if length is not None and length > limit:
        raise Refused(ENTITY_TOO_LARGE)
    return Declared(
        digests=digests,
        payload_sha256=None if payload == UNSIGNED_PAYLOAD or payload.startswith("STREAMING-") else payload,
        max_bytes=limit,
        length=length,
        trailing=trailing,
    )


def declared_digests(fields: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, bytes]:
    """Content-MD5 of `fields` and `x-amz-checksum-…` of `parameters`, by algorithm. Raises `Refused`."""
    digests = {}
    if "content-md5" in fields:
        digests["md5"] = _decoded(fields["content-md5"], "md5")
    for name, value in parameters.items():
        if name.startswith(_CHECKSUM) and name not in _NOT_VALUES:
            algorithm = _algorithm(name)
            digests[algorithm] = _decoded(value, algorithm)
    return digests


def only_checksum(request: S3Request, claim: Declared) -> bool:
    """Whether a part is to be kept under the CRC-64/NVME that was declared of it, without a SHA-256 of it.

    Whoever signed the URL decides: it is for senders that know the SHA-256 of the whole. Raises `Refused` where
    nothing of the kind was declared, or something else has to be computed anyway.
    """
    text = request.query.get(ONLY_CHECKSUM)
    if text is None:
        return False
    if not request.presigned or text != _ENOUGH or claim.algorithms != {_ENOUGH} or claim.payload_sha256 is not None:
        raise Refused(INVALID_REQUEST, f"{ONLY_CHECKSUM} needs a presigned URL and an x-amz-checksum-{_ENOUGH} alone.")
    return True


def _without_placeholders(request: S3Request) -> dict[str, str]:
    """The parameters without checksums of nothing that an SDK signed into a URL, having no body yet.

    The JavaScript SDK does so unless told otherwise (aws-sdk-js-v3 ≥ 3.729); S3 ignores them.
    """
    parameters = request.parameters
    if not request.presigned or _SDK_CHECKSUM not in parameters:
        return parameters
    signed = {name: value for name, value in parameters.items() if not _is_of_nothing(name, value)}
    return signed | request.fields


def _is_of_nothing(name: str, value: str) -> bool:
    algorithm = name.removeprefix(_CHECKSUM)
    return algorithm != name and algorithm in ALGORITHMS and value == as_base64(digest_of(algorithm, b""))


async def store_body(request: S3Request, claim: Declared, incoming: Incoming) -> dict[str, bytes]:
    """Move the body into the file. Returns its digests; raises `Refused` when a limit or a declaration is not kept."""
    payload = payload_of(request)
    if isinstance(payload, Body) and incoming.is_movable:
        while payload.movable >= _MOVED_BYTES:  # of a declared length, which was compared with the limit before
            incoming.moved(await payload.move(incoming.fd))
    while piece := await payload.receive():
        if incoming.size + len(piece) > claim.max_bytes:
            raise Refused(ENTITY_TOO_LARGE)
        if payload.finished:
            incoming.hold(piece)
            break
        incoming.write(piece)
    digests = incoming.finish()
    _compare_all(payload, claim, digests)
    return digests


async def read_document(request: S3Request, *, limit: int) -> bytes:
    """A small request body, with what was declared of it compared."""
    claim = declared(request, object_bytes=limit)
    payload = payload_of(request)
    body = bytearray()
    while piece := await payload.receive():
        body += piece
        if len(body) > claim.max_bytes:
            raise Refused(ENTITY_TOO_LARGE)
    document = bytes(body)
    _compare_all(payload, claim, {name: digest_of(name, document) for name in {"sha256", *claim.algorithms}})
    return document


def _compare_all(payload: Body | AwsChunkedBody, claim: Declared, digests: Mapping[str, bytes]) -> None:
    claim.compare(digests)
    if claim.trailing is not None:
        text = payload.trailer.get(_CHECKSUM + claim.trailing) if isinstance(payload, AwsChunkedBody) else None
        if text is None:
            raise Refused(MALFORMED_TRAILER)
        if _decoded(text, claim.trailing) != digests[claim.trailing]:
            raise Refused(BAD_DIGEST)


def checksum_headers(checksums: Mapping[str, str], *, checksum_type: str | None = None) -> tuple[tuple[str, str], ...]:
    """Checksums (base64) of an object, by algorithm, as the S3 API shows them; of a part with its object's type."""
    if not checksums:
        return ()
    return (
        *[(f"{_CHECKSUM}{name}", value) for name, value in checksums.items()],
        ("x-amz-checksum-type", checksum_type or type_of(checksums)),
    )


def _algorithm(name: str) -> str:
    algorithm = name.removeprefix(_CHECKSUM)
    if algorithm not in ALGORITHMS:
        raise Refused(INVALID_REQUEST, f"{name} is not a checksum header.")
    return algorithm


def _decoded(text: str, algorithm: str) -> bytes:
    """A declared digest. What cannot be one is an invalid MD5, but of the other kinds one that does not match."""
    fault = INVALID_DIGEST if algorithm == "md5" else BAD_DIGEST
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Refused(fault) from None
    if len(digest) != _DIGEST_SIZES[algorithm]:
        raise Refused(fault)
    return digest


def _max_length(request: S3Request, object_bytes: int) -> int:
    """The signed limit of an upload of advisory size, in bytes; never above what the store allows."""
    text = request.query.get(MAX_LENGTH)
    if text is None:
        return object_bytes
    if not (text.isascii() and text.isdigit() and len(text) <= 19):  # noqa: PLR2004 - beyond any size
        raise Refused(INVALID_ARGUMENT, f"{MAX_LENGTH} must be a number of bytes.")
    return min(int(text), object_bytes)
