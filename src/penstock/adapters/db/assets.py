"""Assets as rows, and the leases that keep them while runs use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, delete, exists, insert, or_, select, update

from penstock.adapters.db.paging import Listing
from penstock.adapters.db.rows import Rows, insert_missing, to_change
from penstock.adapters.db.tables import asset_leases, assets
from penstock.adapters.db.terms import lines_of, post_changed, post_new, take_back
from penstock.domain.assets import Asset
from penstock.domain.errors import AssetNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from penstock.domain.ids import AccountId, AssetId, MediaKey, RunId
    from penstock.ports.database import Position

_ROWS = Rows(Asset, assets)
_FIXED = ("id", "account_id", "media_key", "created_at")
"""What never changes, so that replacing a row leaves the indexes on it alone."""
_LEASED = exists().where(asset_leases.c.asset_id == assets.c.id)

_ADD = insert(assets)
_GET = _ROWS.select().where(
    assets.c.id == bindparam("id"), assets.c.account_id == bindparam("account_id"), assets.c.deleted_at.is_(None)
)
_GET_TO_CHANGE = to_change(_GET)
_BY_MEDIA_KEY = _ROWS.select().where(assets.c.media_key == bindparam("media_key"), assets.c.deleted_at.is_(None))
_REPLACE = update(assets).where(assets.c.id == bindparam("its_id"), assets.c.account_id == bindparam("its_account"))
_LISTING = Listing(
    _ROWS.select().where(
        assets.c.deleted_at.is_(None),
        or_(assets.c.expires_at.is_(None), assets.c.expires_at > bindparam("now"), _LEASED),
    ),
    assets,
)
_LEASE = insert_missing(asset_leases)
_LEASED_BY = _ROWS.select().where(
    assets.c.id.in_(select(asset_leases.c.asset_id).where(asset_leases.c.run_id == bindparam("run_id")))
)
_RELEASE = delete(asset_leases).where(asset_leases.c.run_id == bindparam("run_id"))
_IS_LEASED = select(exists().where(asset_leases.c.asset_id == bindparam("asset_id")))
_OVER = (
    _ROWS.select()
    .where(assets.c.over_at <= bindparam("now"), ~_LEASED)
    .order_by(assets.c.over_at)
    .limit(bindparam("limit", type_=Integer))
)
_REMEMBER = update(assets).where(assets.c.id == bindparam("its_id")).values(over_at=bindparam("until"))
_WAS_DELETED = select(
    exists().where(
        assets.c.id == bindparam("id"), assets.c.account_id == bindparam("account_id"), assets.c.deleted_at.is_not(None)
    )
)
_REMOVE = delete(assets).where(assets.c.id == bindparam("its_id"))


class SqlAssets:
    """Implements `AssetRepository`."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._get = _GET_TO_CHANGE if writes else _GET

    def add(self, asset: Asset) -> None:
        """Keep a new asset."""
        values = _values(asset)
        self._connection.execute(_ADD, values)
        post_new(self._connection, asset, str(values["terms"]))

    def get(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Raises `AssetNotFound`."""
        asset = _ROWS.one(self._connection, self._get, {"id": asset_id, "account_id": account_id})
        if asset is None:
            raise AssetNotFound(asset_id)
        return asset

    def by_media_key(self, media_key: MediaKey) -> Asset:
        """Raises `AssetNotFound`."""
        asset = _ROWS.one(self._connection, _BY_MEDIA_KEY, {"media_key": media_key})
        if asset is None:
            raise AssetNotFound(media_key)
        return asset

    def replace(self, asset: Asset) -> None:
        """Write the changed asset."""
        values = _values(asset)
        post_changed(self._connection, asset, str(values["terms"]))
        for name in _FIXED:
            del values[name]
        self._connection.execute(_REPLACE, {**values, "its_id": asset.id, "its_account": asset.account_id})

    def page(self, account_id: AccountId, *, below: Position | None, limit: int, now: datetime) -> Sequence[Asset]:
        """Readable assets (not deleted; not expired, or leased), newest first."""
        return _ROWS.all(self._connection, *_LISTING.page(account_id, below=below, limit=limit, now=now))

    def lease(self, run_id: RunId, asset_ids: Iterable[AssetId]) -> None:
        """Idempotent, and fine with one asset named twice."""
        for asset_id in asset_ids:
            self._connection.execute(_LEASE, {"asset_id": asset_id, "run_id": run_id})

    def release(self, run_id: RunId) -> None:
        """End a run's leases."""
        self._connection.execute(_RELEASE, {"run_id": run_id})

    def leased_by(self, run_id: RunId) -> Sequence[Asset]:
        """Also deleted ones: the run keeps what it has accepted (F31)."""
        return _ROWS.all(self._connection, _LEASED_BY, {"run_id": run_id})

    def is_leased(self, asset_id: AssetId) -> bool:
        """Whether any run holds a lease."""
        return bool(self._connection.execute(_IS_LEASED, {"asset_id": asset_id}).scalar_one())


class SqlAssetSweeps:
    """Implements `AssetSweepRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def expired(self, *, now: datetime, limit: int) -> Sequence[Asset]:
        """Assets that are over and not leased, the longest over first."""
        return _ROWS.all(self._connection, _OVER, {"now": now, "limit": limit})

    def remember(self, until: Mapping[AssetId, datetime]) -> None:
        """Keep the rows of deleted assets up to these times."""
        if rows := [{"its_id": asset_id, "until": moment} for asset_id, moment in until.items()]:
            self._connection.execute(_REMEMBER, rows)

    def was_deleted(self, account_id: AccountId, asset_id: AssetId) -> bool:
        """Whether a remembered asset was deleted."""
        parameters = {"id": asset_id, "account_id": account_id}
        return bool(self._connection.execute(_WAS_DELETED, parameters).scalar_one())

    def remove(self, asset_ids: Iterable[AssetId]) -> None:
        """Forget assets; leases on them end too, for their bytes are gone."""
        if rows := [{"its_id": asset_id} for asset_id in asset_ids]:
            take_back(self._connection, [row["its_id"] for row in rows])
            self._connection.execute(_REMOVE, rows)


def _values(asset: Asset) -> dict[str, object]:
    ends = [end for end in (asset.deleted_at, asset.expires_at) if end is not None]
    return {**_ROWS.values(asset), "over_at": min(ends, default=None), "terms": lines_of(asset)}
