"""Assets as rows, and the leases that keep them while runs use them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, and_, bindparam, delete, exists, insert, or_, select, tuple_, update

from penstock.adapters.db.rows import Rows, insert_missing, to_change
from penstock.adapters.db.tables import asset_leases, assets
from penstock.adapters.db.terms import lines_of, post_changed, post_new, take_back
from penstock.domain.assets import Asset, over_at
from penstock.domain.errors import AssetNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

    from penstock.adapters.db.quotas import QuotaBook
    from penstock.domain.ids import AccountId, AssetId, MediaKey, RunId
    from penstock.ports.positions import Position

_ROWS = Rows(Asset, assets)
_FIXED = ("id", "account_id", "media_key", "created_at")
"""What never changes, so that replacing a row leaves the indexes on it alone."""
_LEASED = exists().where(asset_leases.c.asset_id == assets.c.id)

_ADD = insert(assets)
_KNOWN = _ROWS.select().where(assets.c.id == bindparam("id"), assets.c.account_id == bindparam("account_id"))
_KNOWN_BY_MEDIA_KEY = _ROWS.select().where(assets.c.media_key == bindparam("media_key"))
_PRESENT = and_(assets.c.deleted_at.is_(None), assets.c.purged_at.is_(None))
_GET = _KNOWN.where(_PRESENT)
_GET_TO_CHANGE = to_change(_GET)
_OF_ANYONE = _ROWS.select().where(assets.c.id == bindparam("id"), _PRESENT)
_BY_MEDIA_KEY = _KNOWN_BY_MEDIA_KEY.where(_PRESENT)
_HOLDING = to_change(
    _ROWS.select()
    .where(
        assets.c.account_id == bindparam("account_id"),
        assets.c.sha256 == bindparam("sha256"),
        assets.c.found_type.is_not(None),
        _PRESENT,
        or_(assets.c.expires_at.is_(None), assets.c.expires_at > bindparam("now")),
    )
    .limit(1)
)
_HELD = _KNOWN.where(assets.c.purged_at.is_(None))
_HELD_TO_CHANGE = to_change(_HELD)
_REPLACE = update(assets).where(assets.c.id == bindparam("its_id"), assets.c.account_id == bindparam("its_account"))
_LEASE = insert_missing(asset_leases)
_LEASED_BY = _ROWS.select().where(
    assets.c.id.in_(select(asset_leases.c.asset_id).where(asset_leases.c.run_id == bindparam("run_id")))
)
_RELEASE = delete(asset_leases).where(asset_leases.c.run_id == bindparam("run_id"))
_IS_LEASED = select(exists().where(asset_leases.c.asset_id == bindparam("asset_id")))

_DUE = (assets.c.over_at <= bindparam("now"), assets.c.purged_at.is_(None), ~_LEASED)
_BY_MOMENT = (assets.c.over_at, assets.c.id)
_LIMIT = bindparam("limit", type_=Integer)
_ABOVE = tuple_(*_BY_MOMENT) > tuple_(
    bindparam("above_at", type_=assets.c.over_at.type), bindparam("above_id", type_=assets.c.id.type)
)
_DUE_FIRST = _ROWS.select().where(*_DUE).order_by(*_BY_MOMENT).limit(_LIMIT)
_DUE_ABOVE = _DUE_FIRST.where(_ABOVE)
_DUE_TO_PURGE = _DUE_FIRST.with_for_update(key_share=True, skip_locked=True)
_PURGE = (
    update(assets)
    .where(assets.c.id.in_(bindparam("ids", expanding=True)), *_DUE)
    .values(purged_at=bindparam("moment"), over_at=bindparam("moment"))
    .returning(assets.c.id)
)
_UNSETTLED = _ROWS.select().where(assets.c.over_at <= assets.c.purged_at).order_by(*_BY_MOMENT).limit(_LIMIT)
_NAMED_AS_OBJECT = select(assets.c.object_key).where(
    assets.c.object_key.in_(bindparam("keys", expanding=True)), assets.c.purged_at.is_(None)
)
_NAMED_AS_THUMBNAIL = select(assets.c.thumbnail_key).where(
    assets.c.thumbnail_key.in_(bindparam("keys", expanding=True)), assets.c.purged_at.is_(None)
)
_REMEMBER = update(assets).where(assets.c.id == bindparam("its_id")).values(over_at=bindparam("until"))
_SHARERS = select(
    assets.c.object_key, assets.c.thumbnail_key, assets.c.over_at, assets.c.id, _LEASED.label("leased")
).where(assets.c.purged_at.is_(None))
_SHARERS_OF_OBJECTS = _SHARERS.where(assets.c.object_key.in_(bindparam("keys", expanding=True)))
_SHARERS_OF_THUMBNAILS = _SHARERS.where(assets.c.thumbnail_key.in_(bindparam("keys", expanding=True)))
_FORGETTABLE = (
    select(assets.c.over_at, *_ROWS.columns)
    .where(assets.c.over_at > assets.c.purged_at, assets.c.over_at <= bindparam("now"))
    .order_by(*_BY_MOMENT)
    .limit(_LIMIT)
)
_FORGETTABLE_ABOVE = _FORGETTABLE.where(_ABOVE)
_REMOVE = delete(assets).where(assets.c.id == bindparam("its_id"))


class SqlAssets:
    """Implements `AssetRepository`."""

    def __init__(self, connection: Connection, book: QuotaBook, *, writes: bool) -> None:
        self._connection = connection
        self._book = book
        self._get = _GET_TO_CHANGE if writes else _GET
        self._held = _HELD_TO_CHANGE if writes else _HELD

    def add(self, asset: Asset) -> None:
        """Keep a new asset, and count it."""
        self._book.added(asset)
        values = _values(asset)
        self._connection.execute(_ADD, values)
        post_new(self._connection, asset, str(values["terms"]))

    def get(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Raises `AssetNotFound`."""
        asset = _ROWS.one(self._connection, self._get, {"id": asset_id, "account_id": account_id})
        if asset is None:
            raise AssetNotFound(asset_id)
        return asset

    def held(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Raises `AssetNotFound`."""
        asset = _ROWS.one(self._connection, self._held, {"id": asset_id, "account_id": account_id})
        if asset is None:
            raise AssetNotFound(asset_id)
        return asset

    def by_media_key(self, media_key: MediaKey) -> Asset:
        """Raises `AssetNotFound`."""
        asset = _ROWS.one(self._connection, _BY_MEDIA_KEY, {"media_key": media_key})
        if asset is None:
            raise AssetNotFound(media_key)
        return asset

    def of_anyone(self, asset_id: AssetId) -> Asset:
        """Raises `AssetNotFound`."""
        asset = _ROWS.one(self._connection, _OF_ANYONE, {"id": asset_id})
        if asset is None:
            raise AssetNotFound(asset_id)
        return asset

    def holding(self, account_id: AccountId, sha256: str, *, now: datetime) -> Asset | None:
        """One that is purged at the same moment is waited for, and then not found."""
        return _ROWS.one(self._connection, _HOLDING, {"account_id": account_id, "sha256": sha256, "now": now})

    def replace(self, asset: Asset) -> None:
        """Write the changed asset. Once its bytes go, it counts no more."""
        if asset.purged_at is not None:
            self._book.leaving([asset.id])
        values = _values(asset)
        post_changed(self._connection, asset, str(values["terms"]))
        for name in _FIXED:
            del values[name]
        self._connection.execute(_REPLACE, {**values, "its_id": asset.id, "its_account": asset.account_id})

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

    def __init__(self, connection: Connection, book: QuotaBook, *, writes: bool) -> None:
        self._connection = connection
        self._book = book
        self._known = to_change(_KNOWN) if writes else _KNOWN

    def due(self, *, now: datetime, after: Position | None, limit: int) -> Sequence[Asset]:
        """Assets that are over, not leased and not purged, the longest over first."""
        return _ROWS.all(self._connection, *_above(_DUE_FIRST, _DUE_ABOVE, now=now, after=after, limit=limit))

    def purge(self, *, due: datetime, now: datetime, limit: int) -> Sequence[Asset]:
        """Lock, then look again and mark: the second statement sees the leases that were committed before the lock.

        Rows that somebody holds are left for the next time, so that nobody waits for a sweep in a circle.
        """
        found = _ROWS.all(self._connection, _DUE_TO_PURGE, {"now": due, "limit": limit})
        if not found:
            return ()
        parameters = {"ids": [asset.id for asset in found], "now": due, "moment": now}
        purged = set(self._connection.execute(_PURGE, parameters).scalars())
        take_back(self._connection, sorted(purged))
        marked = [replace(asset, purged_at=now) for asset in found if asset.id in purged]
        self._book.gone(marked)
        return marked

    def unsettled(self, *, limit: int) -> Sequence[Asset]:
        """Purged assets whose objects may still be there."""
        return _ROWS.all(self._connection, _UNSETTLED, {"limit": limit})

    def unnamed(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of the keys that only purged assets name, or nobody."""
        asked = frozenset(keys)
        named: set[str] = set()
        for query in (_NAMED_AS_OBJECT, _NAMED_AS_THUMBNAIL):
            if asked:
                named.update(self._connection.execute(query, {"keys": sorted(asked)}).scalars())
        return asked - named

    def remember(self, until: Mapping[AssetId, datetime]) -> None:
        """Keep the rows of purged assets up to these times."""
        if rows := [{"its_id": asset_id, "until": moment} for asset_id, moment in until.items()]:
            self._connection.execute(_REMEMBER, rows)

    def last_sharers(self, keys: Iterable[str], *, due: datetime) -> Mapping[str, AssetId]:
        """Who is the last to go, of the keys with which all go."""
        asked = frozenset(keys)
        held: set[str] = set()
        last: dict[str, tuple[datetime, AssetId]] = {}
        for query in (_SHARERS_OF_OBJECTS, _SHARERS_OF_THUMBNAILS):
            for row in self._connection.execute(query, {"keys": sorted(asked)}) if asked else ():
                shared = asked & {row.object_key, row.thumbnail_key}
                if row.leased or row.over_at is None or row.over_at > due:
                    held |= shared
                    continue
                last.update({key: max((row.over_at, row.id), last.get(key, (row.over_at, row.id))) for key in shared})
        return {key: asset_id for key, (_, asset_id) in last.items() if key not in held}

    def forgettable(self, *, now: datetime, after: Position | None, limit: int) -> Sequence[tuple[datetime, Asset]]:
        """Tombstones whose time is over, and since when."""
        query, parameters = _above(_FORGETTABLE, _FORGETTABLE_ABOVE, now=now, after=after, limit=limit)
        return [(row[0], _ROWS.made(row[1:])) for row in self._connection.execute(query, parameters)]

    def known(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Raises `AssetNotFound`."""
        asset = _ROWS.one(self._connection, self._known, {"id": asset_id, "account_id": account_id})
        if asset is None:
            raise AssetNotFound(asset_id)
        return asset

    def known_by_media_key(self, media_key: MediaKey) -> Asset:
        """Raises `AssetNotFound`."""
        asset = _ROWS.one(self._connection, _KNOWN_BY_MEDIA_KEY, {"media_key": media_key})
        if asset is None:
            raise AssetNotFound(media_key)
        return asset

    def remove(self, asset_ids: Iterable[AssetId]) -> None:
        """Forget assets; leases on them end too, for their bytes are gone."""
        if rows := [{"its_id": asset_id} for asset_id in asset_ids]:
            take_back(self._connection, [row["its_id"] for row in rows])
            self._book.leaving(row["its_id"] for row in rows)
            self._connection.execute(_REMOVE, rows)


def _above(
    first: Select[Any], above: Select[Any], *, now: datetime, after: Position | None, limit: int
) -> tuple[Select[Any], dict[str, object]]:
    parameters: dict[str, object] = {"now": now, "limit": limit}
    if after is None:
        return first, parameters
    return above, {**parameters, "above_at": after[0], "above_id": after[1]}


def _values(asset: Asset) -> dict[str, object]:
    return {**_ROWS.values(asset), "over_at": over_at(asset), "terms": lines_of(asset)}
