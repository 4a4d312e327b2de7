"""Uploads and assets as rows, and what sweeping needs of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId, AssetId, MediaKey, RunId, UploadId
    from penstock.domain.uploads import Upload, UploadState
    from penstock.ports.positions import Position


class UploadRepository(Protocol):
    """Uploads."""

    def add(self, upload: Upload) -> None:
        """Keep a new upload."""
        ...

    def get(self, account_id: AccountId, upload_id: UploadId) -> Upload:
        """Raises `UploadNotFound`."""
        ...

    def reserve(self, upload: Upload, size: int) -> None:
        """Set `size` bytes of the account's quota aside for a pending upload, in place of what was.

        The transaction raises `QuotaExceeded` when they are not there.
        """
        ...

    def by_media_key(self, media_key: MediaKey) -> Upload:
        """By the public handle, in whatever account. Raises `UploadNotFound`."""
        ...

    def replace(self, upload: Upload, *, was: UploadState) -> bool:
        """Write the upload if its row's state is still `was`; False (and nothing written) otherwise."""
        ...

    def page(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[Upload]:
        """Newest first."""
        ...

    def overdue(self, *, now: datetime, after: Position | None = None, limit: int) -> Sequence[Upload]:
        """Pending uploads whose URL has expired, by (when, id)."""
        ...

    def unswept(self, *, now: datetime, after: Position | None = None, limit: int) -> Sequence[Upload]:
        """Uploads that are no longer pending, whose URL has expired and whose staging object was not yet removed."""
        ...

    def begun(self, upload_ids: Iterable[UploadId]) -> frozenset[str]:
        """The store's ids of the uploads in parts that belong to those of these uploads that are pending."""
        ...

    def mark_swept(self, upload_ids: Iterable[UploadId]) -> None:
        """Record that the staging objects are gone."""
        ...


class AssetRepository(Protocol):
    """Assets, and the leases that runs hold on them."""

    def add(self, asset: Asset) -> None:
        """Keep a new asset."""
        ...

    def get(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Also expired ones; the caller decides with `is_readable`. Raises `AssetNotFound`, also of deleted ones."""
        ...

    def held(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Also a deleted one, which can be restored, until its bytes are on their way out. Raises `AssetNotFound`."""
        ...

    def by_media_key(self, media_key: MediaKey) -> Asset:
        """By the public handle, in whatever account. Raises `AssetNotFound`."""
        ...

    def of_anyone(self, asset_id: AssetId) -> Asset:
        """In whatever account, for whoever shows that they may read it. Raises `AssetNotFound`."""
        ...

    def holding(self, account_id: AccountId, sha256: str, *, now: datetime) -> Asset | None:
        """A readable asset of this account with those bytes. Its bytes stay until the transaction ends."""
        ...

    def replace(self, asset: Asset) -> None:
        """Write the changed asset."""
        ...

    def lease(self, run_id: RunId, asset_ids: Iterable[AssetId]) -> None:
        """Keep these assets readable until the run's leases are released (P8). Idempotent."""
        ...

    def release(self, run_id: RunId) -> None:
        """End a run's leases."""
        ...

    def leased_by(self, run_id: RunId) -> Sequence[Asset]:
        """The assets a run holds leases on, of whatever account (a public URL may name another's)."""
        ...

    def is_leased(self, asset_id: AssetId) -> bool:
        """Whether any run holds a lease."""
        ...


class AssetSweepRepository(Protocol):
    """What sweeping needs of assets, and what is remembered of those that are over.

    An asset that is over is purged in three steps: `purge` marks it, so that nothing leads to its bytes any more; its
    objects are removed; `remember` or `remove` records that. `unsettled` finds those that got stuck in between.
    """

    def due(self, *, now: datetime, after: Position | None, limit: int) -> Sequence[Asset]:
        """Assets that are expired or to be purged by now, without a lease and not yet purged, by (when, id)."""
        ...

    def purge(self, *, due: datetime, now: datetime, limit: int) -> Sequence[Asset]:
        """Mark up to `limit` assets that are `due` as purged `now`: those that nobody else is just changing.

        A lease that was committed before, or is committed at the same time, keeps its asset (P8).
        """
        ...

    def unsettled(self, *, limit: int) -> Sequence[Asset]:
        """Purged assets of whose objects it is not recorded that they are gone."""
        ...

    def unnamed(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of the keys that no asset that is not purged names, as its object or its thumbnail."""
        ...

    def remember(self, until: Mapping[AssetId, datetime]) -> None:
        """Record that the bytes of these assets are gone; their rows stay until then, as tombstones."""
        ...

    def last_sharers(self, keys: Iterable[str], *, due: datetime) -> Mapping[str, AssetId]:
        """Of the keys that only assets name that are `due`: the last of them to go, by (when, id)."""
        ...

    def forgettable(self, *, now: datetime, after: Position | None, limit: int) -> Sequence[tuple[datetime, Asset]]:
        """Tombstones whose time is over, and since when, by (when, id)."""
        ...

    def known(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """An asset in whatever state, as long as it is remembered. Raises `AssetNotFound`."""
        ...

    def known_by_media_key(self, media_key: MediaKey) -> Asset:
        """The same by the public handle, in whatever account. Raises `AssetNotFound`."""
        ...

    def remove(self, asset_ids: Iterable[AssetId]) -> None:
        """Forget assets whose bytes are gone."""
        ...
