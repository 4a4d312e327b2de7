"""Assets: bytes that were accepted. What is known of them, and whether they may still be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.ids import AccountId, AssetId, MediaKey, RunId, UploadId
    from penstock.domain.media_types import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Bytes at rest: measured size, SHA-256 (hex; None until measured), the type the bytes show.

    `media_key` alone grants reading through the media URL (128 random bits, S23). `expires_at` None means kept.
    """

    id: AssetId
    account_id: AccountId
    upload_id: UploadId | None
    run_id: RunId | None
    name: str
    size: int
    sha256: str | None
    content_type: str
    declared_type: str
    kind: Kind
    object_key: str
    media_key: MediaKey
    created_at: datetime
    expires_at: datetime | None
    deleted_at: datetime | None = None


def is_expired(asset: Asset, *, at: datetime, leased: bool) -> bool:
    """Whether an asset's promised life is over. A lease by an unfinished run outlives the expiry (P8)."""
    return asset.expires_at is not None and at >= asset.expires_at and not leased


def is_readable(asset: Asset, *, at: datetime, leased: bool = False) -> bool:
    """Whether the asset may be named or read now."""
    return asset.deleted_at is None and not is_expired(asset, at=at, leased=leased)
