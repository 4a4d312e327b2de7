"""aws-chunked bodies: framing inside the body, signed chunk by chunk or only followed by a checksum (S3 API).

None of the framing ever reaches the object.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from penstock.sigv4 import STREAMING_UNSIGNED_TRAILER, ChunkChain, SignatureError
from penstock.store.chunked import ChunkedDecoder
from penstock.store.faults import (
    INCOMPLETE_BODY,
    INVALID_ARGUMENT,
    INVALID_REQUEST,
    MALFORMED_TRAILER,
    MISSING_LENGTH,
    Fault,
    Refused,
)

if TYPE_CHECKING:
    from penstock.store.body import Body
    from penstock.store.request import S3Request

_SIGNATURE = re.compile(r"chunk-signature=([0-9a-f]{64})", re.ASCII)
_LENGTH = "x-amz-decoded-content-length"
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


class AwsChunkedBody:
    """The payload of an aws-chunked body, read piece by piece like a plain `Body`."""

    def __init__(self, request: S3Request) -> None:
        payload = request.verified.payload_hash
        self._body = request.body
        self._chain = None if payload == STREAMING_UNSIGNED_TRAILER else ChunkChain.after(request.verified)
        self._signed_trailer = self._chain is not None and payload.endswith("-TRAILER")
        self._decoder = ChunkedDecoder(_SignedChunks(self._chain) if self._chain else None)
        self._pieces: list[bytes] = []
        self.length = _declared_length(request)
        self._expected = self.length

    @property
    def finished(self) -> bool:
        """Whether everything was read and everything signed was right."""
        return self._body.finished and not self._pieces

    @property
    def trailer(self) -> dict[str, str]:
        """The trailing fields, once the body is finished."""
        return dict(self._decoder.trailer)

    async def receive(self) -> bytes:
        """The next piece of the payload; empty at its end. Raises `Refused` for a bad frame, signature or length."""
        while not self._pieces:
            data = await self._body.receive()
            if data:
                self._pieces = self._decode(bytes(data))
                self._expected -= sum(map(len, self._pieces))
            if self._body.finished:
                self._check_end()
            if not data:
                return b""
        return self._pieces.pop(0)

    def _decode(self, data: bytes) -> list[bytes]:
        if self._decoder.done:
            raise Refused(INVALID_REQUEST, "There are bytes after the last chunk.")
        try:
            return self._decoder.feed(data)
        except SignatureError as error:
            raise Refused(Fault(error.code, error.status, error.message)) from None

    def _check_end(self) -> None:
        if not self._decoder.done:
            raise Refused(INCOMPLETE_BODY)
        if self._decoder.leftover:
            raise Refused(INVALID_REQUEST, "There are bytes after the last chunk.")
        if self._expected:
            raise Refused(INCOMPLETE_BODY, f"The payload is not of the length that {_LENGTH} says.")
        if self._signed_trailer and self._chain:
            fields = [(name, value) for name, value in self._decoder.trailer if name != _TRAILER_SIGNATURE]
            try:
                self._chain.check_trailer(fields, self.trailer.get(_TRAILER_SIGNATURE, ""))
            except SignatureError as error:
                raise Refused(Fault(error.code, error.status, error.message)) from None


class _SignedChunks:
    """Compares each chunk's signature with its data."""

    def __init__(self, chain: ChunkChain) -> None:
        self._chain = chain
        self._digest = sha256()
        self._signature = ""

    def begin(self, extension: str) -> None:
        found = _SIGNATURE.fullmatch(extension.strip())
        if not found:
            raise Refused(INVALID_REQUEST, "A chunk has no signature.")
        self._signature = found[1]
        self._digest = sha256()

    def data(self, piece: bytes) -> None:
        self._digest.update(piece)

    def end(self) -> None:
        self._chain.check_chunk(self._digest.hexdigest(), self._signature)


def payload_of(request: S3Request) -> Body | AwsChunkedBody:
    """The request's body as the bytes that are to be stored. Raises `Refused`."""
    if request.verified.payload_hash.startswith("STREAMING-"):
        return AwsChunkedBody(request)
    return request.body


def trailing_checksum(request: S3Request) -> str | None:
    """The checksum header that `x-amz-trailer` promises, if it promises one. Raises `Refused` when it names others."""
    promised = request.fields.get("x-amz-trailer")
    if promised is None:
        return None
    name = promised.strip().lower()
    if not name.startswith("x-amz-checksum-") or not request.verified.payload_hash.endswith("-TRAILER"):
        raise Refused(MALFORMED_TRAILER)
    return name


def _declared_length(request: S3Request) -> int:
    text = request.fields.get(_LENGTH)
    if text is None:
        raise Refused(MISSING_LENGTH, f"You must provide the {_LENGTH} header.")
    if not (text.isascii() and text.isdigit() and len(text) <= 19):  # noqa: PLR2004 - beyond any size
        raise Refused(INVALID_ARGUMENT, f"{_LENGTH} must be a number of bytes.")
    return int(text)
