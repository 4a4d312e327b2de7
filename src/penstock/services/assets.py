"""Assets: find, read, delete. What becomes of those that are over is `purging`'s."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.assets import THUMBNAIL_TYPE, deleted, has_picture, is_readable, tombstone_of
from penstock.domain.errors import (
    AssetGone,
    AssetNotFound,
    FileNotStored,
    InputError,
    UploadIncomplete,
    UploadNotCompletable,
    UploadNotFound,
)
from penstock.domain.filenames import content_disposition
from penstock.domain.ids import AssetId, UploadId
from penstock.domain.media_types import OCTET_STREAM, is_shown_inline, kind_of
from penstock.domain.references import SignedReference

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId, MediaKey
    from penstock.domain.media_types import Kind
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database, Transaction
    from penstock.ports.objects import Presigner
    from penstock.services.uploads import Uploads

_URL_TTL = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where bytes can be read by whoever has it, and until when."""

    url: str
    expires_at: datetime


class Assets:
    """Use cases on assets."""

    def __init__(
        self, database: Database, presigner: Presigner, uploads: Uploads, *, clock: Clock, trash: timedelta
    ) -> None:
        """`trash`: how long a deleted asset can be restored."""
        self._database = database
        self._presigner = presigner
        self._uploads = uploads
        self._clock = clock
        self._trash = trash

    def get(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """A readable asset of this account. Raises `AssetNotFound`."""
        with self._database.read() as tx:
            asset = tx.assets.get(account_id, asset_id)
            return self._readable(tx, asset)

    def first_use(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """As `get`; an upload's asset has the upload's id, so that one not yet completed is admitted on the spot.

        Raises `AssetNotFound`, also while there are no bytes, and what admission raises.
        """
        try:
            return self.get(account_id, asset_id)
        except AssetNotFound:
            try:
                return self._uploads.use_upload(account_id, UploadId(asset_id))
            except (UploadNotFound, FileNotStored):
                raise AssetNotFound(asset_id) from None

    def show(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """A readable asset of this account. Raises `AssetGone` while it is remembered, else `AssetNotFound`."""
        with self._database.read() as tx:
            asset = tx.asset_sweeps.known(account_id, asset_id)
            try:
                return self._readable(tx, asset)
            except AssetNotFound:
                raise AssetGone(asset_id, tombstone_of(asset)) from None

    def many(self, account_id: AccountId, asset_ids: tuple[AssetId, ...]) -> dict[AssetId, Asset]:
        """Those of the assets that this account has and may read."""
        found: dict[AssetId, Asset] = {}
        with self._database.read() as tx:
            for asset_id in asset_ids:
                try:
                    found[asset_id] = self._readable(tx, tx.assets.get(account_id, asset_id))
                except AssetNotFound:
                    continue
        return found

    def by_media_key(self, media_key: MediaKey) -> Asset:
        """The asset behind a public handle, whoever asks; an upload whose bytes have arrived is admitted on the spot.

        Raises `AssetNotFound`: unknown, no bytes yet, refused, expired and deleted look the same from outside.
        """
        with self._database.read() as tx:
            try:
                return self._readable(tx, tx.assets.by_media_key(media_key))
            except AssetNotFound:
                pass
            try:
                upload = tx.uploads.by_media_key(media_key)
            except UploadNotFound:
                raise AssetNotFound(media_key) from None
        if upload.asset_id is not None:
            raise AssetNotFound(media_key)
        try:
            asset = self._uploads.admit(upload)
        except (AssetNotFound, FileNotStored, UploadIncomplete, UploadNotCompletable, InputError):
            raise AssetNotFound(media_key) from None
        if not is_readable(asset, at=self._clock.now()):
            raise AssetNotFound(media_key)
        return asset

    def media_location(self, media_key: MediaKey, *, method: str = "GET") -> str:
        """A presigned URL for the bytes behind a public handle, for one hour or what is left of the asset's life.

        `method` is GET or HEAD. Raises `AssetGone` while it is remembered, else `AssetNotFound`.
        """
        return self.signed_get(self._remembered(media_key), method=method)

    def thumbnail_location(self, media_key: MediaKey, *, method: str = "GET") -> str | Kind:
        """A presigned URL for the thumbnail behind a public handle, or the kind of an asset that could not be seen.

        `method` is GET or HEAD. Raises `AssetGone` while it is remembered, else `AssetNotFound`: also while there
        is no thumbnail yet, and for what never has one.
        """
        asset = self._remembered(media_key)
        if not has_picture(asset):
            raise AssetNotFound(media_key)
        return self.signed_thumbnail(asset, method=method) or asset.kind

    def _remembered(self, media_key: MediaKey) -> Asset:
        try:
            return self.by_media_key(media_key)
        except AssetNotFound:
            with self._database.read() as tx:
                gone = tx.asset_sweeps.known_by_media_key(media_key)
            raise AssetGone(media_key, tombstone_of(gone)) from None

    def signed_reference(self, url: str) -> SignedReference | None:
        """What a URL of `address` names; None for one of another server. Raises `AssetNotFound` past its end."""
        marked = self._presigner.mark_of(url, now=self._clock.now())
        if marked == "":
            raise AssetNotFound(url.partition("?")[0])
        return SignedReference(asset_id=AssetId(marked)) if marked is not None else None

    def by_signature(self, asset_id: AssetId) -> Asset:
        """The asset that a `SignedReference` names, whoever asks. Raises `AssetNotFound`."""
        with self._database.read() as tx:
            return self._readable(tx, tx.assets.of_anyone(asset_id))

    def signed_get(self, asset: Asset, *, method: str = "GET", life: timedelta = _URL_TTL) -> str:
        """A presigned URL for reading an asset's bytes, on the store's public address."""
        return self.address(asset, method=method, life=life).url

    def signed_thumbnail(self, asset: Asset, *, method: str = "GET") -> str | None:
        """A presigned URL for reading an asset's thumbnail; None while there is none, and of what never has one."""
        if asset.thumbnail_key is None:
            return None
        now = self._clock.now()
        return self._presigner.get(
            asset.thumbnail_key,
            expires_in=_url_life(asset, now, _URL_TTL),
            now=now,
            content_type=THUMBNAIL_TYPE,
            disposition="inline",
            method=method,
        )

    def address(self, asset: Asset, *, method: str = "GET", life: timedelta = _URL_TTL) -> Address:
        """A presigned URL for reading an asset's bytes, on the store's public address, and its end.

        It lives for `life`, seven days at most (S3 API), or what is left of the asset's.
        What is not plain media is an attachment without its type (S10); stores that are not ours rely on that.
        """
        now = self._clock.now()
        # Where what the bytes show was not recorded, the kind is their word.
        borne_out = asset.found_type is not None or asset.kind is kind_of(asset.content_type)
        inline = borne_out and is_shown_inline(asset.content_type, asset.found_type)
        life = _url_life(asset, now, life)
        url = self._presigner.get(
            asset.object_key,
            expires_in=life,
            now=now,
            content_type=asset.content_type if inline else OCTET_STREAM,
            disposition=content_disposition(asset.name, inline=inline),
            method=method,
            mark=asset.id,
        )
        return Address(url=url, expires_at=now.replace(microsecond=0) + life)

    def delete(self, account_id: AccountId, asset_id: AssetId, *, permanent: bool = False) -> None:
        """Make an asset unreadable at once: into the trash or, `permanent`, past it.

        When its time there is over and no run needs them any more, its bytes go.
        May be repeated as long as it is remembered (P5), also to make it permanent. Raises `AssetNotFound`.
        """
        now = self._clock.now()
        with self._database.write() as tx:
            asset = tx.asset_sweeps.known(account_id, asset_id)
            if asset.deleted_at is None:
                self._readable(tx, asset)
            thrown_away = deleted(asset, now=now, trash=timedelta(0) if permanent else self._trash)
            if asset.purged_at is None and thrown_away != asset:
                tx.assets.replace(thrown_away)

    def forget(self, account_id: AccountId, asset_id: AssetId) -> None:
        """End an asset that nobody was told of; it is not remembered. Raises `AssetNotFound`."""
        with self._database.write() as tx:
            asset = self._readable(tx, tx.assets.get(account_id, asset_id))
            tx.assets.replace(replace(asset, expires_at=self._clock.now()))

    def _readable(self, tx: Transaction, asset: Asset) -> Asset:
        leased = asset.expires_at is not None and tx.assets.is_leased(asset.id)
        if not is_readable(asset, at=self._clock.now(), leased=leased):
            raise AssetNotFound(asset.id)
        return asset


def _url_life(asset: Asset, now: datetime, life: timedelta) -> timedelta:
    """Whole seconds, at least one: a signature cannot live shorter (S3 API)."""
    left = asset.expires_at - now if asset.expires_at is not None else life
    return max(timedelta(seconds=1), min(life, timedelta(seconds=int(left.total_seconds()))))
