"""Signatures inside a body: each chunk of an aws-chunked upload is signed over the signature before it.

The framing itself (sizes, CRLFs) is the business of whoever reads the body. Source: S3 API, "Transferring Payload in
Multiple Chunks", with and without trailing headers.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from penstock.sigv4.canonical import ALGORITHM, EMPTY_SHA256, Scope, format_time, sign
from penstock.sigv4.errors import SignatureDoesNotMatch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from penstock.sigv4.verify import Verified


class ChunkChain:
    """The chain of signatures of one body, begun at the signature of its request (the seed)."""

    def __init__(self, *, key: bytes, scope: Scope, signed_at: datetime, seed: str) -> None:
        self._key = key
        self._context = f"{format_time(signed_at)}\n{scope}"
        self._previous = seed

    @classmethod
    def after(cls, request: Verified) -> ChunkChain:
        """The chain of a verified request's body."""
        return cls(key=request.signing_key, scope=request.scope, signed_at=request.signed_at, seed=request.signature)

    def sign_chunk(self, chunk_sha256: str) -> str:
        """The signature of the next chunk, given its SHA-256 in hex; the empty last chunk has one as well."""
        text = f"{ALGORITHM}-PAYLOAD\n{self._context}\n{self._previous}\n{EMPTY_SHA256}\n{chunk_sha256}"
        self._previous = sign(self._key, text)
        return self._previous

    def sign_trailer(self, trailer: Iterable[tuple[str, str]]) -> str:
        """The signature of the trailing headers (without `x-amz-trailer-signature`), in the order of the wire."""
        lines = "".join([f"{name.lower()}:{value.strip()}\n" for name, value in trailer])
        digest = sha256(lines.encode("latin-1")).hexdigest()
        return sign(self._key, f"{ALGORITHM}-TRAILER\n{self._context}\n{self._previous}\n{digest}")

    def check_chunk(self, chunk_sha256: str, signature: str) -> None:
        """Raises `SignatureDoesNotMatch` when the next chunk is not signed with `signature`."""
        _check(self.sign_chunk(chunk_sha256), signature)

    def check_trailer(self, trailer: Iterable[tuple[str, str]], signature: str) -> None:
        """Raises `SignatureDoesNotMatch` when the trailing headers are not signed with `signature`."""
        _check(self.sign_trailer(trailer), signature)


def _check(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise SignatureDoesNotMatch("A chunk's signature does not match its data.")
