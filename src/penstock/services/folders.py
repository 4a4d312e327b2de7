"""Folders: make, name, move and delete them. The tree of an account is changed by one transaction at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.domain.errors import FolderConflict, FolderNotFound, NameTaken
from penstock.domain.folders import (
    MAX_FOLDERS,
    Folder,
    FolderFilter,
    check_place,
    clean_folder_name,
    fingerprint,
    fits,
    free_name,
)
from penstock.domain.idempotency import require_same
from penstock.domain.ids import FolderId, JobId
from penstock.ports.events import IdempotencyRaceError
from penstock.services.identity import new_id
from penstock.services.paging import (
    Page,
    check_limit,
    decode_cursor,
    decode_name_cursor,
    encode_cursor,
    encode_name_cursor,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.assets import Asset
    from penstock.domain.idempotency import IdempotentRequest
    from penstock.domain.ids import AccountId
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction

FOLDER_JOB = "folder_removal"
EMPTIED_AT_ONCE = 200
"""Assets moved in one transaction: on SQLite every other writer waits for it."""
_VERB = "create_folder"
_CHILDREN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChange:
    """What shall change of a folder. `moves` says whether `parent_id` is meant."""

    name: str | None = None
    moves: bool = False
    parent_id: FolderId | None = None


class Folders:
    """Use cases on folders."""

    def __init__(self, database: Database, *, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    def create(
        self,
        account_id: AccountId,
        name: str,
        parent_id: FolderId | None,
        *,
        idempotency: IdempotentRequest | None = None,
    ) -> Folder:
        """A new folder. A repeat under one key returns the first.

        Raises `InvalidField`, `FolderNotFound` (the parent), `NameTaken`, `FolderConflict`, `IdempotencyMismatch`.
        """
        now = self._clock.now()
        folder = Folder(
            id=FolderId(new_id(self._entropy)),
            account_id=account_id,
            parent_id=parent_id,
            name=clean_folder_name(name),
            created_at=now,
            updated_at=now,
        )
        try:
            return self._keep_new(folder, idempotency)
        except IdempotencyRaceError:
            return self._keep_new(folder, idempotency)

    def get(self, account_id: AccountId, folder_id: FolderId) -> Sequence[Folder]:
        """The folder behind all folders above it, the top one first. Raises `FolderNotFound`."""
        with self._database.read() as tx:
            path = tx.folders.path(account_id, folder_id)
        if not path:
            raise FolderNotFound(folder_id)
        return path

    def page(
        self, account_id: AccountId, parent_id: FolderId | None, *, cursor: str | None, limit: int
    ) -> Page[Folder]:
        """A folder's children, or those at the top, by name.

        Raises `FolderNotFound`, `InvalidCursor`, `InvalidField`.
        """
        check_limit(limit)
        past = decode_name_cursor(cursor, mark=parent_id or "top")
        with self._database.read() as tx:
            if parent_id is not None:
                tx.folders.get(account_id, parent_id)
            found = tx.folders.children(account_id, parent_id, past=past, limit=limit + 1)
        after = encode_name_cursor(found[limit - 1].name, mark=parent_id or "top") if len(found) > limit else None
        return Page(items=found[:limit], next_cursor=after)

    def search(self, account_id: AccountId, wanted: FolderFilter, *, cursor: str | None, limit: int) -> Page[Folder]:
        """Folders at whatever depth that fit, newest first. Raises `FolderNotFound`, `InvalidCursor`."""
        mark, found = fingerprint(wanted), list[Folder]()
        below = decode_cursor(cursor, mark=mark)
        with self._database.read() as tx:
            if wanted.parent_id is not None:
                tx.folders.get(account_id, wanted.parent_id)
            while some := tx.folders.everywhere(account_id, below=below, limit=_CHILDREN):
                found += [folder for folder in some if fits(folder, wanted)]
                below = some[-1].created_at, some[-1].id
                if len(found) > limit:
                    break
        last = found[limit - 1] if len(found) > limit else None
        after = encode_cursor((last.created_at, last.id), mark=mark) if last is not None else None
        return Page(items=found[:limit], next_cursor=after)

    def change(self, account_id: AccountId, folder_id: FolderId, change: FolderChange) -> Folder:
        """Rename or move a folder with all that is in it.

        Raises `FolderNotFound` (it, or where it shall go), `NameTaken`, `FolderConflict`, `InvalidField`.
        """
        name = clean_folder_name(change.name) if change.name is not None else None
        with self._database.write() as tx:
            tx.folders.lock(account_id)
            folder = tx.folders.get(account_id, folder_id)
            parent_id = change.parent_id if change.moves else folder.parent_id
            changed = replace(folder, name=name or folder.name, parent_id=parent_id)
            if changed == folder:
                return folder
            if parent_id != folder.parent_id:
                height = tx.folders.height(account_id, folder_id)
                check_place(folder_id, ancestors=_above(tx, account_id, parent_id), height=height)
            _require_free(tx, changed)
            changed = replace(changed, updated_at=self._clock.now())
            tx.folders.replace(changed)
        return changed

    def delete(self, account_id: AccountId, folder_id: FolderId) -> None:
        """Delete a folder alone: what is in it moves up to its parent, a subfolder under a new name where its is taken.

        The folder is gone at once; of many assets the first move with it, the others soon. Raises `FolderNotFound`.
        """
        now = self._clock.now()
        with self._database.write() as tx:
            tx.folders.lock(account_id)
            folder = tx.folders.get(account_id, folder_id)
            tx.folders.dissolve(folder)
            self._raise_children(tx, folder)
            if not empty_some(tx, account_id, folder_id, heir_id=folder.parent_id, clock=self._clock):
                tx.folders.remove(account_id, folder_id)
                return
            tx.jobs.enqueue(
                FOLDER_JOB,
                {"folder_id": folder_id},
                job_id=JobId(new_id(self._entropy)),
                now=now,
                dedupe_key=folder_id,
                account_id=account_id,
            )

    def _keep_new(self, folder: Folder, idempotency: IdempotentRequest | None) -> Folder:
        account_id = folder.account_id
        with self._database.write() as tx:
            if idempotency is not None:
                known = tx.idempotency.find(account_id, _VERB, idempotency.key)
                if known is not None:
                    require_same(idempotency, fingerprint=known[0])
                    return tx.folders.get(account_id, FolderId(known[1]))
            tx.folders.lock(account_id)
            check_place(None, ancestors=_above(tx, account_id, folder.parent_id), height=1)
            _require_free(tx, folder)
            if tx.folders.count(account_id) >= MAX_FOLDERS:
                msg = f"an account has at most {MAX_FOLDERS} folders"
                raise FolderConflict(msg)
            if idempotency is not None:
                tx.idempotency.add(
                    account_id,
                    _VERB,
                    idempotency.key,
                    fingerprint=idempotency.fingerprint,
                    subject=folder.id,
                    now=folder.created_at,
                )
            tx.folders.add(folder)
        return folder

    def _raise_children(self, tx: Transaction, folder: Folder) -> None:
        """Move the children of a folder up. Those that went are no more below it, so the first ones come again."""
        parent_id, now = folder.parent_id, self._clock.now()

        def taken(name: str) -> bool:
            return tx.folders.named(folder.account_id, parent_id, name) is not None

        past = ""
        while children := tx.folders.children(folder.account_id, folder.id, past=past, limit=_CHILDREN):
            for child in children:
                name = free_name(child.name, taken=taken)
                tx.folders.replace(replace(child, parent_id=parent_id, name=name, updated_at=now))
            past = children[-1].name


def empty_some(
    tx: Transaction, account_id: AccountId, folder_id: FolderId, *, heir_id: FolderId | None, clock: Clock
) -> bool:
    """Move some assets of a deleted folder to its heir; whether there may be more."""
    some = tx.library.in_folder(account_id, folder_id, limit=EMPTIED_AT_ONCE)
    for asset in some:
        tx.assets.replace(replace(asset, folder_id=heir_id, updated_at=clock.now()))
    return len(some) == EMPTIED_AT_ONCE


def in_its_folder(tx: Transaction, asset: Asset) -> Asset:
    """The asset in its folder, which then stays until the transaction ends, or at the top if that is gone."""
    if asset.folder_id is None or tx.folders.hold(asset.account_id, asset.folder_id):
        return asset
    return replace(asset, folder_id=None)


def _above(tx: Transaction, account_id: AccountId, parent_id: FolderId | None) -> Sequence[Folder]:
    """The parent and all above it. Raises `FolderNotFound`."""
    if parent_id is None:
        return ()
    path = tx.folders.path(account_id, parent_id)
    if not path:
        raise FolderNotFound(parent_id)
    return path


def _require_free(tx: Transaction, folder: Folder) -> None:
    other = tx.folders.named(folder.account_id, folder.parent_id, folder.name)
    if other is not None and other.id != folder.id:
        raise NameTaken(folder.name)
