"""Idempotency: a caller's key, the fingerprint of the request it stands for, and whether a repeat is the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from penstock.domain.errors import IdempotencyMismatch, InvalidField

_MAX_KEY = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRequest:
    """A request that may be sent twice: the caller's `key` and the `fingerprint` of what it asks."""

    key: str
    fingerprint: str


def idempotent_request(key: str | None, body: object) -> IdempotentRequest | None:
    """The value for a request with that `Idempotency-Key` header, or None without one. Raises `InvalidField`."""
    if key is None:
        return None
    if not 1 <= len(key) <= _MAX_KEY or not key.isprintable():
        raise InvalidField(("Idempotency-Key",), f"must have 1 to {_MAX_KEY} printable characters")
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return IdempotentRequest(key=key, fingerprint=hashlib.sha256(canonical.encode()).hexdigest())


def require_same(request: IdempotentRequest, *, fingerprint: str) -> None:
    """Raises `IdempotencyMismatch` when the key stood for another request."""
    if request.fingerprint != fingerprint:
        raise IdempotencyMismatch(request.key)
