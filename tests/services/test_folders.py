"""Folders: the tree stays a tree, names stay unique among siblings, and deleting one loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import (
    FolderConflict,
    FolderNotFound,
    IdempotencyMismatch,
    InvalidCursor,
    InvalidField,
    NameTaken,
)
from penstock.domain.folders import MAX_DEPTH
from penstock.domain.idempotency import idempotent_request
from penstock.domain.ids import FolderId
from penstock.domain.library import AssetFilter, Change
from penstock.services import folders as service
from penstock.services.folders import FolderChange
from tests.support.core import at_once

if TYPE_CHECKING:
    from penstock.domain.ids import AccountId
    from tests.support.core import Core


@pytest.fixture
def acme(core: Core) -> AccountId:
    return core.open_account()


def _names(core: Core, account_id: AccountId, parent_id: FolderId | None = None) -> list[str]:
    return [folder.name for folder in core.folders.page(account_id, parent_id, cursor=None, limit=100).items]


def _in_folder(core: Core, account_id: AccountId, folder_id: FolderId | None) -> set[str]:
    wanted = AssetFilter(folder_id=folder_id, at_top=folder_id is None)
    return {asset.id for asset in core.library.page(account_id, wanted, cursor=None, limit=100).items}


def test_a_name_is_cleaned_and_unique_among_its_siblings(core: Core, acme: AccountId) -> None:
    made = core.folders.create(acme, "../Cafe\u0301 ", None)

    assert made.name == "Café"
    with pytest.raises(NameTaken):
        core.folders.create(acme, "Café", None)
    with pytest.raises(InvalidField):
        core.folders.create(acme, "..", None)
    assert core.folders.create(acme, "Café", made.id).parent_id == made.id


def test_a_folder_tells_the_way_to_it(core: Core, acme: AccountId) -> None:
    top = core.folders.create(acme, "2026", None)
    inner = core.folders.create(acme, "May", top.id)

    assert list(core.folders.get(acme, inner.id)) == [top, inner]
    with pytest.raises(FolderNotFound):
        core.folders.get(acme, FolderId("unknown"))


def test_a_repeated_creation_returns_the_first_folder(core: Core, acme: AccountId) -> None:
    first = core.folders.create(acme, "a", None, idempotency=idempotent_request("k", {"name": "a"}))

    assert core.folders.create(acme, "a", None, idempotency=idempotent_request("k", {"name": "a"})) == first
    with pytest.raises(IdempotencyMismatch):
        core.folders.create(acme, "b", None, idempotency=idempotent_request("k", {"name": "b"}))


def test_a_folder_takes_its_subfolders_along(core: Core, acme: AccountId) -> None:
    a, b = core.folders.create(acme, "a", None), core.folders.create(acme, "b", None)
    child = core.folders.create(acme, "child", a.id)

    moved = core.folders.change(acme, a.id, FolderChange(name="renamed", moves=True, parent_id=b.id))

    assert moved.parent_id == b.id
    assert [folder.name for folder in core.folders.get(acme, child.id)] == ["b", "renamed", "child"]
    assert core.folders.change(acme, a.id, FolderChange(moves=True, parent_id=None)).parent_id is None


def test_a_folder_moves_neither_below_itself_nor_where_its_name_is_taken(core: Core, acme: AccountId) -> None:
    a, b = core.folders.create(acme, "a", None), core.folders.create(acme, "b", None)
    inner = core.folders.create(acme, "a", b.id)
    below = core.folders.create(acme, "below", a.id)

    for place in (a.id, below.id):
        with pytest.raises(FolderConflict):
            core.folders.change(acme, a.id, FolderChange(moves=True, parent_id=place))
    with pytest.raises(NameTaken):
        core.folders.change(acme, a.id, FolderChange(moves=True, parent_id=b.id))
    with pytest.raises(NameTaken):
        core.folders.change(acme, inner.id, FolderChange(moves=True, parent_id=None))
    with pytest.raises(FolderNotFound):
        core.folders.change(acme, a.id, FolderChange(moves=True, parent_id=FolderId("unknown")))


def test_two_moves_at_once_make_no_cycle(core: Core, acme: AccountId) -> None:
    a, b = core.folders.create(acme, "a", None), core.folders.create(acme, "b", None)
    turns = iter([(a.id, b.id), (b.id, a.id)])

    def move() -> object:
        one, other = next(turns)
        return core.folders.change(acme, one, FolderChange(moves=True, parent_id=other))

    results = at_once(2, move)

    assert sorted(type(result).__name__ for result in results) == ["Folder", "FolderConflict"]
    assert len(_names(core, acme)) == 1


def test_folders_nest_so_deep_and_no_deeper(core: Core, acme: AccountId) -> None:
    parent = None
    for number in range(MAX_DEPTH):
        parent = core.folders.create(acme, str(number), parent.id if parent else None)
    assert parent is not None
    tall = core.folders.create(acme, "tall", None)
    core.folders.create(acme, "child", tall.id)
    last_but_one = core.folders.get(acme, parent.id)[-2]

    with pytest.raises(FolderConflict):
        core.folders.create(acme, "deeper", parent.id)
    with pytest.raises(FolderConflict):
        core.folders.change(acme, tall.id, FolderChange(moves=True, parent_id=last_but_one.id))


def test_an_account_has_so_many_folders(core: Core, acme: AccountId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_FOLDERS", 2)
    core.folders.create(acme, "a", None)
    core.folders.create(acme, "b", None)

    with pytest.raises(FolderConflict):
        core.folders.create(acme, "c", None)


def test_listings_go_on_where_they_stopped_in_the_same_folder_only(core: Core, acme: AccountId) -> None:
    parent = core.folders.create(acme, "parent", None)
    for name in "cabd":
        core.folders.create(acme, name, parent.id)

    first = core.folders.page(acme, parent.id, cursor=None, limit=3)
    second = core.folders.page(acme, parent.id, cursor=first.next_cursor, limit=3)

    assert [folder.name for folder in (*first.items, *second.items)] == list("abcd")
    assert second.next_cursor is None
    with pytest.raises(InvalidCursor):
        core.folders.page(acme, None, cursor=first.next_cursor, limit=3)


def test_deleting_a_folder_moves_what_is_in_it_up(core: Core, acme: AccountId) -> None:
    top = core.folders.create(acme, "top", None)
    doomed = core.folders.create(acme, "doomed", top.id)
    core.folders.create(acme, "child", doomed.id)
    core.folders.create(acme, "taken", doomed.id)
    core.folders.create(acme, "taken", top.id)
    assets = {core.upload(acme).id for _ in range(3)}
    core.library.move(acme, list(assets), doomed.id)

    core.folders.delete(acme, doomed.id)

    assert _names(core, acme, top.id) == ["child", "taken", "taken (2)"]
    assert _in_folder(core, acme, top.id) == assets
    assert not core.has_jobs()
    with pytest.raises(FolderNotFound):
        core.folders.delete(acme, doomed.id)


def test_a_folder_of_many_assets_is_emptied_by_the_worker(
    core: Core, acme: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "EMPTIED_AT_ONCE", 2)
    top, doomed = core.folders.create(acme, "top", None), core.folders.create(acme, "doomed", None)
    doomed = core.folders.change(acme, doomed.id, FolderChange(moves=True, parent_id=top.id))
    assets = {core.upload(acme).id for _ in range(7)}
    core.library.move(acme, list(assets), doomed.id)

    core.folders.delete(acme, doomed.id)
    assert len(_in_folder(core, acme, top.id)) == 2
    core.folders.delete(acme, top.id)
    core.worker.drain()

    assert _in_folder(core, acme, None) == assets
    assert not core.has_jobs()


def test_nothing_enters_a_folder_that_is_deleted(core: Core, acme: AccountId) -> None:
    doomed = core.folders.create(acme, "doomed", None)
    asset = core.upload(acme)
    core.folders.delete(acme, doomed.id)

    with pytest.raises(FolderNotFound):
        core.library.change(acme, asset.id, Change(to_folder=True, folder_id=doomed.id))
    with pytest.raises(FolderNotFound):
        core.library.move(acme, [asset.id], doomed.id)
    with pytest.raises(FolderNotFound):
        core.folders.create(acme, "inside", doomed.id)
