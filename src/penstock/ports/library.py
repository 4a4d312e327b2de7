"""The library as rows: folders, and assets found by what is asked of them. Part of a transaction (`database`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from penstock.domain.assets import Asset
    from penstock.domain.folders import Folder
    from penstock.domain.ids import AccountId, AssetId, FolderId
    from penstock.domain.library import AssetFilter
    from penstock.ports.positions import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Some assets of a listing, and where it goes on: None at its end.

    Looking is bounded, so there may be fewer assets than asked for, even none, and still more to come.
    """

    assets: Sequence[Asset]
    rest: Position | None


class LibraryRepository(Protocol):
    """Assets found by a filter. A page costs no more the deeper it lies, whatever the filter."""

    def find(
        self, account_id: AccountId, wanted: AssetFilter, *, past: Position | None, limit: int, now: datetime
    ) -> Found:
        """Up to `limit` (at most 100) assets past a position, newest first, or oldest first if the filter says so.

        In the trash the latest deleted come first, and a position is (deleted_at, id).
        """
        ...

    def many(self, account_id: AccountId, asset_ids: Iterable[AssetId]) -> Mapping[AssetId, Asset]:
        """Those that the account has, deleted ones too; in a write nobody else changes them until its end."""
        ...

    def in_folder(self, account_id: AccountId, folder_id: FolderId, *, limit: int) -> Sequence[Asset]:
        """Some of the assets in a folder, deleted ones not among them; in a write nobody else changes them."""
        ...

    def tags(self, account_id: AccountId, *, prefix: str, past: str, limit: int) -> Sequence[str]:
        """Tags in use that begin with `prefix`, those after `past`, in order."""
        ...


class FolderRepository(Protocol):
    """Folders. A deleted one that is still being emptied is found by nothing but `dissolving` and `heir`."""

    def lock(self, account_id: AccountId) -> None:
        """Until the transaction ends nobody else changes the tree of this account. Take it before reading the tree."""
        ...

    def add(self, folder: Folder) -> None:
        """Keep a new folder; its place and name were checked under the lock."""
        ...

    def get(self, account_id: AccountId, folder_id: FolderId) -> Folder:
        """Raises `FolderNotFound`."""
        ...

    def hold(self, account_id: AccountId, folder_id: FolderId) -> bool:
        """Whether there is such a folder; it then stays until the transaction ends. Of writes alone."""
        ...

    def replace(self, folder: Folder) -> None:
        """Write the changed folder; its place and name were checked under the lock."""
        ...

    def named(self, account_id: AccountId, parent_id: FolderId | None, name: str) -> Folder | None:
        """The child of that name."""
        ...

    def children(self, account_id: AccountId, parent_id: FolderId | None, *, past: str, limit: int) -> Sequence[Folder]:
        """Children with names after `past`, by name."""
        ...

    def everywhere(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[Folder]:
        """Folders at whatever depth, newest first, those below a position (created_at, id)."""
        ...

    def path(self, account_id: AccountId, folder_id: FolderId) -> Sequence[Folder]:
        """The folder and all above it, the top one first; nothing when there is no such folder."""
        ...

    def height(self, account_id: AccountId, folder_id: FolderId) -> int:
        """Levels of the folder's subtree, 1 for one without children."""
        ...

    def count(self, account_id: AccountId) -> int:
        """How many folders the account has."""
        ...

    def dissolve(self, folder: Folder) -> None:
        """Take an empty-of-folders one out of the tree; what was to move into it moves into its parent."""
        ...

    def dissolving(self, account_id: AccountId, folder_id: FolderId) -> tuple[FolderId | None] | None:
        """Of a folder that was taken out of the tree, where its assets go (None: to the top); else nothing."""
        ...

    def remove(self, account_id: AccountId, folder_id: FolderId) -> None:
        """Forget a folder that was taken out of the tree."""
        ...
