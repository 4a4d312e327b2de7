"""Accounts and their API keys. Of a key only its SHA-256 is kept, found by the digest's first digits (S20)."""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.errors import InvalidField, ScopeMissing

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.ids import AccountId, KeyId

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_LOOKUP_DIGITS = 16
_HINT_CHARACTERS = 7


class Scope(StrEnum):
    """What a key may do."""

    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    WEBHOOKS_WRITE = "webhooks:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    ACCOUNT_READ = "account:read"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A tenant."""

    id: AccountId
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as kept: `digest` is the SHA-256 (hex) of the whole secret, `hint` its first characters for listings."""

    id: KeyId
    account_id: AccountId
    digest: str
    hint: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


def check_account_name(name: str) -> str:
    """The name itself, when it is 1–64 letters, digits, `.`, `_`, `-`. Raises `InvalidField`."""
    if not _NAME.match(name):
        raise InvalidField(("name",), "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit")
    return name


def make_secret(random: bytes) -> str:
    """`sk_` + 64 hex + `_` + 8 hex, from 32 random bytes; the tail is the CRC32 of all before the last underscore."""
    head = f"sk_{random.hex()}"
    return f"{head}_{zlib.crc32(head.encode()):08x}"


def secret_digest(secret: str) -> str:
    """SHA-256 (hex) of a secret of any shape."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_lookup(secret: str) -> str:
    """The indexed part of a secret's digest: enough to find the row, useless without the rest."""
    return secret_digest(secret)[:_LOOKUP_DIGITS]


def secret_hint(secret: str) -> str:
    """What a listing shows of a secret: its first characters, and never more than a quarter of it."""
    return secret[: min(_HINT_CHARACTERS, len(secret) // 4)] + "…"


def key_admits(key: ApiKey, secret: str, *, now: datetime) -> bool:
    """Whether `secret` is this key and the key is alive. Constant time in the secret (S21)."""
    same = key_is(key, secret)
    alive = key.revoked_at is None and (key.expires_at is None or now < key.expires_at)
    return same and alive


def key_is(key: ApiKey, secret: str) -> bool:
    """Whether `secret` is this key, alive or not. Constant time in the secret (S21)."""
    return hmac.compare_digest(key.digest, secret_digest(secret))


def require_scope(key: ApiKey, scope: Scope) -> None:
    """Raises `ScopeMissing` unless the key carries the scope."""
    if scope not in key.scopes:
        raise ScopeMissing(scope.value)


def parse_scopes(names: tuple[str, ...]) -> frozenset[Scope]:
    """Scopes from their names; none given means all. Raises `InvalidField`."""
    if not names:
        return ALL_SCOPES
    known = {scope.value: scope for scope in Scope}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidField(("scopes",), f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return frozenset(known[name] for name in names)
