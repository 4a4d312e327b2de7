"""Assets: bytes that were accepted. What is known of them, and whether they may still be read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.errors import AssetNotFound
from penstock.domain.media_types import OCTET_STREAM, Kind, type_that_counts

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from penstock.domain.ids import AccountId, AssetId, FolderId, MediaKey, RunId, UploadId
    from penstock.domain.media_facts import MediaFacts


class IntakeState(StrEnum):
    """Whether what follows admission (hash, media facts, thumbnail) is still to come."""

    PENDING = "pending"
    DONE = "done"


INSPECTED_KINDS = frozenset({Kind.IMAGE, Kind.VIDEO, Kind.AUDIO})
"""What has media facts and a thumbnail."""
THUMBNAIL_TYPE = "image/webp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Bytes at rest: measured size, SHA-256 (hex; None until measured), the type that counts.

    `found_type` is what the bytes show, whatever was declared of them: `application/octet-stream` where that is no
    type we know, None where it was not recorded.
    `media_key` alone grants reading through the media URL (128 random bits, S23). `expires_at` None means kept.
    Several assets of one account may share an `object_key` and a `thumbnail_key`. `intake_problem` says why nothing
    could be seen in the bytes. A deleted asset can be restored until `purge_at`; from `purged_at` on its bytes are
    going or gone, and nothing may share them any more.
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
    updated_at: datetime | None = None
    folder_id: FolderId | None = None
    tags: tuple[str, ...] = ()
    facts: MediaFacts | None = None
    intake: IntakeState = IntakeState.DONE
    intake_problem: str | None = None
    thumbnail_key: str | None = None
    purge_at: datetime | None = None
    purged_at: datetime | None = None
    found_type: str | None = None


def type_by_bytes(asset: Asset) -> str:
    """The type that a model or a decoder is told: under a policy that records, the one declared may be a lie."""
    if asset.found_type is None:
        return asset.content_type
    found = None if asset.found_type == OCTET_STREAM else asset.found_type
    return type_that_counts(asset.content_type, found)


def is_expired(asset: Asset, *, at: datetime, leased: bool) -> bool:
    """Whether an asset's promised life is over. A lease by an unfinished run outlives the expiry (P8)."""
    return asset.expires_at is not None and at >= asset.expires_at and not leased


def is_readable(asset: Asset, *, at: datetime, leased: bool = False) -> bool:
    """Whether the asset may be named or read now."""
    over = asset.deleted_at is not None or asset.purged_at is not None
    return not over and not is_expired(asset, at=at, leased=leased)


def deleted(asset: Asset, *, now: datetime, trash: timedelta) -> Asset:
    """The asset as its owner threw it away: restorable for `trash`. Thrown away again it goes no later than before."""
    purge_at = now + trash
    if asset.deleted_at is not None:
        return replace(asset, purge_at=min(asset.purge_at or asset.deleted_at, purge_at))
    return replace(asset, deleted_at=now, purge_at=purge_at, updated_at=now)


def over_at(asset: Asset) -> datetime | None:
    """From when the bytes of an asset may go, leases aside; None: they are kept."""
    purge_at = asset.purge_at or asset.deleted_at if asset.deleted_at is not None else None
    return min((end for end in (asset.purged_at, purge_at, asset.expires_at) if end is not None), default=None)


def kept(asset: Asset, *, until: datetime | None, now: datetime) -> Asset:
    """The asset with another end; None: until it is deleted."""
    return replace(asset, expires_at=until, updated_at=now)


class Ending(StrEnum):
    """Why an asset is gone."""

    EXPIRED = "expired"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What is told of an asset that is gone, to whoever could have read it. `sha256` (hex) None: never measured."""

    name: str
    sha256: str | None
    at: datetime
    ending: Ending


def tombstone_of(asset: Asset) -> Tombstone | None:
    """What is to be told of an asset that is no longer readable; None of one that is to stay."""
    ends = [(asset.deleted_at, Ending.DELETED), (asset.expires_at, Ending.EXPIRED)]
    over = [(at, ending) for at, ending in ends if at is not None]
    if not over:
        return None
    at, ending = min(over)
    return Tombstone(name=asset.name, sha256=asset.sha256, at=at, ending=ending)


def restored(asset: Asset, *, now: datetime) -> Asset:
    """A deleted asset brought back. Raises `AssetNotFound` when its time in the trash is over, or its bytes are."""
    if asset.purged_at is not None or (asset.purge_at is not None and now >= asset.purge_at):
        raise AssetNotFound(asset.id)
    return replace(asset, deleted_at=None, purge_at=None, updated_at=now)


def intake_of_new(*, kind: Kind, sha256: str | None) -> IntakeState:
    """Whether anything is left to find out about bytes that were just admitted."""
    return IntakeState.PENDING if sha256 is None or kind in INSPECTED_KINDS else IntakeState.DONE


def has_picture(asset: Asset) -> bool:
    """Whether there is something to show for it: a thumbnail, or word that nothing could be seen."""
    return asset.intake is IntakeState.DONE and asset.kind in INSPECTED_KINDS


def event_subject(asset_id: AssetId) -> str:
    """What an asset's events are filed under: its bare id is its upload's, which has events of its own."""
    return f"asset/{asset_id}"
