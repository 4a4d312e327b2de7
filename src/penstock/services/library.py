"""The library: assets found, changed, and brought back from the trash, one by one or many at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from penstock.domain.assets import Asset, is_expired, is_readable, restored
from penstock.domain.errors import AssetNotFound, FolderNotFound, InputError, InvalidField, NotFound, PenstockError
from penstock.domain.filenames import clean_filename
from penstock.domain.library import NUL, Change, check_filter, clauses_of, fingerprint
from penstock.domain.tags import checked_number, clean_tags
from penstock.services.folders import in_its_folder
from penstock.services.paging import (
    Page,
    Window,
    check_limit,
    decode_cursor,
    decode_name_cursor,
    encode_cursor,
    encode_name_cursor,
    gathered,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.domain.ids import AccountId, AssetId, FolderId
    from penstock.domain.library import AssetFilter
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database, Transaction
    from penstock.ports.positions import Position
    from penstock.services.assets import Assets

MAX_BULK = 1000
_AT_ONCE = 100
"""Assets changed in one transaction: on SQLite every other writer waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one of many went: `error` None when it is as was asked for."""

    asset_id: AssetId
    error: PenstockError | None


class Library:
    """Use cases on the assets of one account, as its owner keeps them."""

    def __init__(self, database: Database, assets: Assets, *, clock: Clock) -> None:
        self._database = database
        self._assets = assets
        self._clock = clock

    def page(self, account_id: AccountId, wanted: AssetFilter, *, cursor: str | None, limit: int) -> Page[Asset]:
        """Assets that fit, newest first unless the filter says otherwise; of the trash the latest deleted first.

        A page may hold fewer than `limit`, even none, and still have a cursor: each looks at so many assets at most.
        Raises `InvalidCursor` (also for the cursor of another filter), `InvalidField`, `FolderNotFound`.
        """
        check_limit(limit)
        check_filter(wanted)
        clauses_of(wanted)
        mark = fingerprint(wanted)
        past = decode_cursor(cursor, mark=mark)
        with self._database.read() as tx:
            if wanted.folder_id is not None:
                tx.folders.get(account_id, wanted.folder_id)
            found = tx.library.find(account_id, wanted, past=past, limit=limit, now=self._clock.now())
        after = encode_cursor(found.rest, mark=mark) if found.rest is not None else None
        return Page(items=found.assets, next_cursor=after)

    def window(
        self, account_id: AccountId, wanted: AssetFilter, *, cursor: str | None, limit: int, back: bool = False
    ) -> Window[Asset]:
        """As `page`, but full as far as can be, of any `limit`, and to be turned: `back` goes on before a first asset.

        A cursor is good for its own direction alone. Not for the trash. Raises as `page`.
        """
        turned = replace(wanted, ascending=not wanted.ascending)
        ahead, behind = (turned, wanted) if back else (wanted, turned)
        page = gathered(lambda past, size: self.page(account_id, ahead, cursor=past, limit=size), cursor, limit)
        first = encode_cursor(_place(page.items[0]), mark=fingerprint(behind)) if page.items and cursor else None
        if back:
            return Window(items=page.items[::-1], next_cursor=first, previous_cursor=page.next_cursor)
        return Window(items=page.items, next_cursor=page.next_cursor, previous_cursor=first)

    def tags(self, account_id: AccountId, *, prefix: str, cursor: str | None, limit: int) -> Page[str]:
        """The tags in use that begin so, by name. Raises `InvalidCursor`, `InvalidField`."""
        check_limit(limit)
        if NUL in prefix:
            raise InvalidField(("prefix",), "must not hold the character NUL")
        beginning = " ".join(prefix.lower().split())
        past = decode_name_cursor(cursor, mark="tags")
        with self._database.read() as tx:
            found = tx.library.tags(account_id, prefix=beginning, past=past, limit=limit + 1)
        after = encode_name_cursor(found[limit - 1], mark="tags") if len(found) > limit else None
        return Page(items=found[:limit], next_cursor=after)

    def change(self, account_id: AccountId, asset_id: AssetId, change: Change) -> Asset:
        """Write what the change names and leave the rest: of two at once the later one's fields stand.

        Raises `AssetNotFound`, `FolderNotFound`, `InvalidField`.
        """
        with self._database.write() as tx:
            self._hold_folder(tx, account_id, change.folder_id)
            asset = tx.assets.get(account_id, asset_id)
            self._require_readable(tx, asset)
            return self._changed(tx, asset, change)

    def restore(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Bring a deleted asset back to where it was, or to the top if that folder is gone; idempotent.

        Raises `AssetNotFound`, also when its time in the trash is over.
        """
        with self._database.write() as tx:
            return self._restored(tx, tx.library.many(account_id, [asset_id]).get(asset_id), asset_id)

    def move(self, account_id: AccountId, ids: Sequence[AssetId], folder_id: FolderId | None) -> list[Outcome]:
        """Move assets to a folder, or to the top. Raises `FolderNotFound`."""
        self._require_folder(account_id, folder_id)
        change = Change(to_folder=True, folder_id=folder_id)
        return self._each(account_id, ids, lambda _asset: change, folder_id=folder_id)

    def tag(self, account_id: AccountId, ids: Sequence[AssetId], tags: Sequence[str]) -> list[Outcome]:
        """Add tags to assets. Raises `InvalidField`."""
        more = clean_tags(tags)
        return self._each(account_id, ids, lambda asset: Change(tags=(*asset.tags, *more)))

    def untag(self, account_id: AccountId, ids: Sequence[AssetId], tags: Sequence[str]) -> list[Outcome]:
        """Take tags from assets. Raises `InvalidField`."""
        gone = frozenset(clean_tags(tags))
        return self._each(account_id, ids, lambda asset: Change(tags=tuple(t for t in asset.tags if t not in gone)))

    def delete(self, account_id: AccountId, ids: Sequence[AssetId]) -> list[Outcome]:
        """Put assets into the trash, as `Assets.delete` does with one."""
        return [_outcome(asset_id, partial(self._assets.delete, account_id, asset_id)) for asset_id in ids]

    def bring_back(self, account_id: AccountId, ids: Sequence[AssetId]) -> list[Outcome]:
        """Restore assets from the trash, as `restore` does with one."""
        outcomes: list[Outcome] = []
        for some in _batches(ids):
            with self._database.write() as tx:
                found = tx.library.many(account_id, some)
                for asset_id in some:
                    act = partial(self._restored, tx, found.get(asset_id), asset_id)
                    outcomes.append(_outcome(asset_id, act))
        return outcomes

    def _each(
        self,
        account_id: AccountId,
        ids: Sequence[AssetId],
        change_of: Callable[[Asset], Change],
        *,
        folder_id: FolderId | None = None,
    ) -> list[Outcome]:
        """Change the assets in batches, each of which is kept or fails as a whole; what is kept stays."""
        errors: dict[AssetId, PenstockError | None] = {}
        for some in _batches(tuple(dict.fromkeys(ids))):
            with self._database.write() as tx:
                self._hold_folder(tx, account_id, folder_id)
                found = tx.library.many(account_id, some)
                for asset_id in some:
                    errors[asset_id] = self._try(tx, found.get(asset_id), asset_id, change_of)
        return [Outcome(asset_id=asset_id, error=errors[asset_id]) for asset_id in ids]

    def _try(
        self, tx: Transaction, asset: Asset | None, asset_id: AssetId, change_of: Callable[[Asset], Change]
    ) -> PenstockError | None:
        if asset is None:
            return AssetNotFound(asset_id)
        try:
            self._require_readable(tx, asset)
            self._changed(tx, asset, change_of(asset))
        except (NotFound, InputError) as error:
            return error
        return None

    def _changed(self, tx: Transaction, asset: Asset, change: Change) -> Asset:
        changed = replace(
            asset,
            name=clean_filename(change.name) if change.name is not None else asset.name,
            folder_id=change.folder_id if change.to_folder else asset.folder_id,
            tags=checked_number(clean_tags(change.tags)) if change.tags is not None else asset.tags,
        )
        if changed == asset:
            return asset
        changed = replace(changed, updated_at=self._clock.now())
        tx.assets.replace(changed)
        return changed

    def _restored(self, tx: Transaction, asset: Asset | None, asset_id: AssetId) -> Asset:
        now = self._clock.now()
        if asset is None or is_expired(asset, at=now, leased=False):
            raise AssetNotFound(asset_id)
        if asset.deleted_at is None:
            return asset
        back = in_its_folder(tx, restored(asset, now=now))
        tx.assets.replace(back)
        return back

    def _require_readable(self, tx: Transaction, asset: Asset) -> None:
        leased = asset.expires_at is not None and tx.assets.is_leased(asset.id)
        if not is_readable(asset, at=self._clock.now(), leased=leased):
            raise AssetNotFound(asset.id)

    def _require_folder(self, account_id: AccountId, folder_id: FolderId | None) -> None:
        if folder_id is not None:
            with self._database.read() as tx:
                tx.folders.get(account_id, folder_id)

    @staticmethod
    def _hold_folder(tx: Transaction, account_id: AccountId, folder_id: FolderId | None) -> None:
        """Before any asset is locked: whoever empties a folder does it in this order too."""
        if folder_id is not None and not tx.folders.hold(account_id, folder_id):
            raise FolderNotFound(folder_id)


def _outcome(asset_id: AssetId, act: Callable[[], object]) -> Outcome:
    try:
        act()
    except (NotFound, InputError) as error:
        return Outcome(asset_id=asset_id, error=error)
    return Outcome(asset_id=asset_id, error=None)


def _place(asset: Asset) -> Position:
    return asset.created_at, asset.id


def _batches(ids: Sequence[AssetId]) -> list[Sequence[AssetId]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
