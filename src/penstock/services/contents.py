"""Bytes that stand inside a request or an answer: kept as assets, and read back."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from penstock.domain.assets import Asset, intake_of_new
from penstock.domain.errors import (
    AssetNotFound,
    FileTooLarge,
    FileTypeRefused,
    QuotaExceeded,
    ReferenceInvalid,
    Unavailable,
)
from penstock.domain.filenames import url_slug
from penstock.domain.ids import AssetId, MediaKey
from penstock.domain.media_types import OCTET_STREAM, kind_of, type_that_counts
from penstock.domain.sniffing import sniff
from penstock.ports.objects import ObjectNotFoundError
from penstock.services.identity import new_id, new_media_key
from penstock.services.intake import begin_intake

if TYPE_CHECKING:
    from datetime import timedelta

    from penstock.domain.ids import AccountId
    from penstock.domain.media_types import Kind
    from penstock.domain.references import InlineData
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database
    from penstock.ports.objects import ObjectStore


class Contents:
    """Use cases on whole files in memory; whoever calls bounds them."""

    def __init__(self, database: Database, objects: ObjectStore, *, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._entropy = entropy

    def keep(
        self,
        account_id: AccountId,
        inline: InlineData,
        *,
        accepts: tuple[str, ...] = (),
        lifetime: timedelta | None = None,
        title: str = "inline",
    ) -> Asset:
        """An asset of those bytes, which live for so long (None: until deleted); what does not fit leaves nothing.

        Raises `ReferenceInvalid` for no bytes, `FileTypeRefused`, `QuotaExceeded`.
        """
        if not inline.data:
            raise ReferenceInvalid((), "the data URI is empty", rule="data_uri")
        found = sniff(inline.data)
        content_type = type_that_counts(inline.content_type, found)
        require_kind(kind_of(content_type), content_type, accepts)
        now = self._clock.now()
        asset_id = AssetId(new_id(self._entropy))
        key = f"assets/{asset_id}"
        try:
            info = self._objects.put(key, inline.data, size=len(inline.data), content_type=content_type)
        except Unavailable:
            self._drop(key)  # it may be there all the same
            raise
        name = url_slug(f"{title}.{content_type.partition('/')[2].partition('+')[0] or 'bin'}")
        sha256 = info.sha256 or hashlib.sha256(inline.data).hexdigest()
        asset = Asset(
            id=asset_id,
            account_id=account_id,
            upload_id=None,
            run_id=None,
            name=name,
            size=info.size,
            sha256=sha256,
            content_type=content_type,
            declared_type=inline.content_type,
            found_type=found or OCTET_STREAM,
            kind=kind_of(content_type),
            object_key=info.key,
            media_key=MediaKey(new_media_key(self._entropy, name)),
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
            intake=intake_of_new(kind=kind_of(content_type), sha256=sha256),
        )
        self._add(asset)
        return asset

    def read(self, asset: Asset, *, most: int) -> bytes:
        """The bytes of an asset that has not more of them. Raises `FileTooLarge`, `AssetNotFound`."""
        if asset.size > most:
            raise FileTooLarge(limit=most, actual=asset.size)
        try:
            return b"".join(self._objects.read(asset.object_key))
        except ObjectNotFoundError:
            raise AssetNotFound(asset.id) from None

    def _add(self, asset: Asset) -> None:
        committing = False
        try:
            with self._database.write() as tx:
                tx.assets.add(asset)
                begin_intake(tx, asset, entropy=self._entropy)
                committing = True
        except QuotaExceeded:
            self._drop(asset.object_key)
            raise
        except Unavailable:
            if not committing:  # a commit that failed may have happened (P6)
                self._drop(asset.object_key)
            raise

    def _drop(self, key: str) -> None:
        with contextlib.suppress(Unavailable):
            self._objects.delete([key])


def require_kind(kind: Kind, content_type: str, accepts: tuple[str, ...]) -> None:
    """Raises `FileTypeRefused` for a kind that is not among those; none named: any will do."""
    if accepts and kind.value not in accepts:
        raise FileTypeRefused(content_type, accepted=accepts)
