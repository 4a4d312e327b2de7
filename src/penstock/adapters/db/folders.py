"""Folders as rows. At the top the parent is the empty text; a deleted one that still holds assets is its own parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, case, delete, func, insert, select, text, update

from penstock.adapters.db.paging import Listing
from penstock.adapters.db.rows import Rows
from penstock.adapters.db.tables import accounts, folders
from penstock.domain.errors import FolderNotFound
from penstock.domain.folders import MAX_DEPTH, Folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from penstock.domain.ids import AccountId, FolderId
    from penstock.ports.positions import Position

_ROWS = Rows(Folder, folders, {"parent_id": func.nullif(folders.c.parent_id, "", type_=folders.c.parent_id.type)})
_IN_TREE = folders.c.heir_id.is_(None)
_ITS = (folders.c.account_id == bindparam("account_id"), folders.c.id == bindparam("id"))

_LOCK = select(accounts.c.id).where(accounts.c.id == bindparam("account_id")).with_for_update(key_share=True)
_GET = _ROWS.select().where(*_ITS, _IN_TREE)
_HOLD = select(folders.c.id).where(*_ITS, _IN_TREE).with_for_update(read=True, key_share=True)
_ADD = insert(folders)
_REPLACE = (
    update(folders)
    .where(folders.c.account_id == bindparam("its_account"), folders.c.id == bindparam("its_id"))
    .values(parent_id=bindparam("parent_id"), name=bindparam("name"), updated_at=bindparam("updated_at"))
)
_BELOW = (folders.c.account_id == bindparam("account_id"), folders.c.parent_id == bindparam("parent_id"), _IN_TREE)
_NAMED = _ROWS.select().where(*_BELOW, folders.c.name == bindparam("name"))
_CHILDREN = (
    _ROWS.select()
    .where(*_BELOW, folders.c.name > bindparam("past"))
    .order_by(folders.c.name)
    .limit(bindparam("limit", type_=Integer))
)
_LISTING = Listing(_ROWS.select().where(_IN_TREE), folders)
_COUNT = select(func.count()).where(folders.c.account_id == bindparam("account_id"), _IN_TREE)
_HEIGHT = text(
    "WITH RECURSIVE level (id, height) AS ("
    " SELECT id, 1 FROM folders WHERE account_id = :account_id AND id = :id AND heir_id IS NULL"
    " UNION ALL SELECT folders.id, level.height + 1 FROM level JOIN folders"
    "  ON folders.account_id = :account_id AND folders.parent_id = level.id AND folders.heir_id IS NULL"
    "  WHERE level.height <= :most"
    ") SELECT MAX(height) FROM level"
)
_BEQUEATH = (
    update(folders)
    .where(folders.c.account_id == bindparam("its_account"), folders.c.heir_id == bindparam("its_id"))
    .values(heir_id=bindparam("heir_id"))
)
_DISSOLVE = (
    update(folders)
    .where(folders.c.account_id == bindparam("its_account"), folders.c.id == bindparam("its_id"))
    .values(parent_id=folders.c.id, heir_id=bindparam("heir_id"))
)
_HEIR = select(case((folders.c.heir_id == "", None), else_=folders.c.heir_id)).where(*_ITS, ~_IN_TREE)
_REMOVE = delete(folders).where(*_ITS, ~_IN_TREE)


class SqlFolders:
    """Implements `FolderRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, account_id: AccountId) -> None:
        """The account's row; who only refers to it is not held up."""
        self._connection.execute(_LOCK, {"account_id": account_id})

    def add(self, folder: Folder) -> None:
        """Keep a new folder."""
        self._connection.execute(_ADD, {**_ROWS.values(folder), "parent_id": folder.parent_id or ""})

    def get(self, account_id: AccountId, folder_id: FolderId) -> Folder:
        """Raises `FolderNotFound`."""
        folder = _ROWS.one(self._connection, _GET, {"account_id": account_id, "id": folder_id})
        if folder is None:
            raise FolderNotFound(folder_id)
        return folder

    def hold(self, account_id: AccountId, folder_id: FolderId) -> bool:
        """Keeps its row from being dissolved, and nobody else from holding it too."""
        return self._connection.execute(_HOLD, {"account_id": account_id, "id": folder_id}).first() is not None

    def replace(self, folder: Folder) -> None:
        """Write name and place."""
        self._connection.execute(
            _REPLACE,
            {
                "its_account": folder.account_id,
                "its_id": folder.id,
                "parent_id": folder.parent_id or "",
                "name": folder.name,
                "updated_at": folder.updated_at,
            },
        )

    def named(self, account_id: AccountId, parent_id: FolderId | None, name: str) -> Folder | None:
        """The child of that name."""
        parameters = {"account_id": account_id, "parent_id": parent_id or "", "name": name}
        return _ROWS.one(self._connection, _NAMED, parameters)

    def children(self, account_id: AccountId, parent_id: FolderId | None, *, past: str, limit: int) -> Sequence[Folder]:
        """By name, in the order of code points."""
        parameters = {"account_id": account_id, "parent_id": parent_id or "", "past": past, "limit": limit}
        return _ROWS.all(self._connection, _CHILDREN, parameters)

    def everywhere(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[Folder]:
        """An account has so many folders at most that they need no index of their own."""
        return _ROWS.all(self._connection, *_LISTING.page(account_id, below=below, limit=limit))

    def path(self, account_id: AccountId, folder_id: FolderId) -> Sequence[Folder]:
        """Up from the folder, a look-up each."""
        found: list[Folder] = []
        wanted: FolderId | None = folder_id
        while wanted is not None and len(found) <= MAX_DEPTH:
            folder = _ROWS.one(self._connection, _GET, {"account_id": account_id, "id": wanted})
            if folder is None:
                break
            found.append(folder)
            wanted = folder.parent_id
        return found[::-1]

    def height(self, account_id: AccountId, folder_id: FolderId) -> int:
        """Level by level; deeper than a tree may be it does not look."""
        parameters = {"account_id": account_id, "id": folder_id, "most": MAX_DEPTH}
        return int(self._connection.execute(_HEIGHT, parameters).scalar_one() or 0)

    def count(self, account_id: AccountId) -> int:
        """How many folders the account has."""
        return int(self._connection.execute(_COUNT, {"account_id": account_id}).scalar_one())

    def dissolve(self, folder: Folder) -> None:
        """Its heir is its parent, also for those whose heir it was."""
        its = {"its_account": folder.account_id, "its_id": folder.id, "heir_id": folder.parent_id or ""}
        self._connection.execute(_BEQUEATH, its)
        self._connection.execute(_DISSOLVE, its)

    def dissolving(self, account_id: AccountId, folder_id: FolderId) -> tuple[FolderId | None] | None:
        """Where the assets of a deleted folder go."""
        row = self._connection.execute(_HEIR, {"account_id": account_id, "id": folder_id}).first()
        return None if row is None else (row[0],)

    def remove(self, account_id: AccountId, folder_id: FolderId) -> None:
        """Forget a deleted one."""
        self._connection.execute(_REMOVE, {"account_id": account_id, "id": folder_id})
