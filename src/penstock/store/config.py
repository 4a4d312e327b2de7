"""What a store process is told at start, and where its credentials come from (never from a command line)."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KB, MB, GB = 1024, 1024**2, 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds one process. Sizes in bytes, times in seconds."""

    head_bytes: int = 16 * KB
    head_count: int = 100
    head_seconds: float = 15.0
    idle_seconds: float = 75.0
    rate_bytes: int = 30 * KB
    """Least bytes that a body must move per `rate_seconds` (F10: 1 KiB/s over 30 s)."""
    rate_seconds: float = 30.0
    connections: int = 10_000
    threads: int = 16
    object_bytes: int = 5 * GB
    """Largest single PUT, form or part."""
    least_part_bytes: int = 5 * MB
    """Smallest part of a multipart upload, but for the last."""
    multipart_bytes: int = 50_000 * GB
    """Largest object that is uploaded in parts."""
    small_body_bytes: int = 2 * MB
    """Largest XML request body."""
    reserve_bytes: int = 256 * MB
    """Free space that uploads leave alone (P9)."""
    drain_bytes: int = 64 * KB
    """A refused body up to this size is read to its end, so that the connection can live on."""
    drain_seconds: float = 2.0
    shutdown_seconds: float = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """One store on one data directory. `credentials` maps access keys to secrets; `buckets` are created at start."""

    directory: Path
    credentials: Mapping[str, str] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 9000
    region: str = "us-east-1"
    buckets: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    """Origins that browsers may call from; `*` for any (no credentials are involved: the URL is the permission)."""
    public_acls: bool = False
    """Whether `x-amz-acl: public-…` is kept and lets in whom nobody signed for. Else it is refused."""
    limits: Limits = field(default_factory=Limits)
    encryption_key_file: Path | None = None
    """The master key of an encrypted store (`encryption`); None: what is new is stored as it comes."""
    processes: int = 1
    """How many serve the directory together; each has these limits for itself."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Port of the admin listener, 0: any free one; None: metrics are counted and not served."""


def limits_of(
    *, object_bytes: int, multipart_bytes: int, least_rate: int, connections: int, reserve_bytes: int
) -> Limits:
    """The limits that an operator chooses; `least_rate` is in bytes per second, 0 for none."""
    usual = Limits()
    return replace(
        usual,
        object_bytes=object_bytes,
        multipart_bytes=multipart_bytes,
        rate_bytes=round(least_rate * usual.rate_seconds),
        connections=connections,
        reserve_bytes=reserve_bytes,
    )


def load_credentials(path: Path) -> dict[str, str]:
    """The key pairs of a 0600 JSON file `{"access key": "secret", …}`.

    Raises ValueError for a file of another form, or one that others may read.
    """
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} must be readable by its owner only (chmod 600)")
    pairs = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(pairs, dict) or not pairs or not all(isinstance(text, str) and text for text in pairs.values()):
        raise ValueError(f"{path} must hold a JSON object of access keys and secrets")
    return pairs


def load_or_create_credentials(path: Path) -> dict[str, str]:
    """The key pairs of `path`; a new random pair when there is no such file. Whoever comes first creates it, once."""
    try:
        return load_credentials(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    pair = {"PENSTOCK" + secrets.token_hex(6).upper(): secrets.token_urlsafe(30)}
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(pair, file)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
        _sync_directory(path.parent)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return load_credentials(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
