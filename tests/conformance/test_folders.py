"""What `ports/library` means for folders, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import FolderNotFound
from penstock.domain.folders import Folder
from penstock.domain.ids import AccountId, FolderId
from tests.support.records import HOUR, NOW, open_account

if TYPE_CHECKING:
    from penstock.adapters.db.database import SqlDatabase

A_CHANCE = 0.3
"""Seconds that another thread gets to do what it must not; a right one only waits."""


def make_folder(account_id: AccountId, identifier: str, parent: str | None = None, name: str | None = None) -> Folder:
    return Folder(
        id=FolderId(identifier),
        account_id=account_id,
        parent_id=FolderId(parent) if parent is not None else None,
        name=name or identifier,
        created_at=NOW,
        updated_at=NOW + HOUR,
    )


@pytest.fixture
def acme(database: SqlDatabase) -> AccountId:
    """An account with the folders a, a/b, a/b/c and d."""
    account_id = open_account(database)
    with database.write() as tx:
        for folder in (
            make_folder(account_id, "a"),
            make_folder(account_id, "b", "a"),
            make_folder(account_id, "c", "b"),
            make_folder(account_id, "d"),
        ):
            tx.folders.add(folder)
    return account_id


def test_a_folder_comes_back_as_it_went_in_to_its_own_account_alone(database: SqlDatabase, acme: AccountId) -> None:
    stranger = open_account(database, "zenith")

    with database.write() as tx:
        assert tx.folders.get(acme, FolderId("b")) == make_folder(acme, "b", "a")
        assert tx.folders.get(acme, FolderId("a")).parent_id is None
        assert tx.folders.path(stranger, FolderId("a")) == []
        assert tx.folders.children(stranger, None, past="", limit=10) == []
        assert tx.folders.named(stranger, None, "a") is None
        assert not tx.folders.hold(stranger, FolderId("a"))
        with pytest.raises(FolderNotFound):
            tx.folders.get(stranger, FolderId("a"))


def test_folders_at_whatever_depth_come_newest_first_page_by_page(database: SqlDatabase, acme: AccountId) -> None:
    with database.write() as tx:
        tx.folders.add(replace(make_folder(acme, "e", "d"), created_at=NOW + HOUR))
        tx.folders.dissolve(tx.folders.get(acme, FolderId("c")))

    with database.read() as tx:
        first = tx.folders.everywhere(acme, below=None, limit=2)
        rest = tx.folders.everywhere(acme, below=(first[-1].created_at, first[-1].id), limit=10)

    assert [folder.id for folder in (*first, *rest)] == ["e", "d", "b", "a"]
    assert rest[-1].parent_id is None


def test_path_height_children_and_number_say_what_the_tree_is(database: SqlDatabase, acme: AccountId) -> None:
    with database.read() as tx:
        assert [folder.id for folder in tx.folders.path(acme, FolderId("c"))] == ["a", "b", "c"]
        assert [tx.folders.height(acme, FolderId(one)) for one in ("a", "b", "c", "unknown")] == [3, 2, 1, 0]
        assert [folder.id for folder in tx.folders.children(acme, None, past="", limit=10)] == ["a", "d"]
        assert [folder.id for folder in tx.folders.children(acme, None, past="a", limit=10)] == ["d"]
        assert [folder.id for folder in tx.folders.children(acme, FolderId("a"), past="", limit=10)] == ["b"]
        assert tx.folders.named(acme, FolderId("a"), "b") == make_folder(acme, "b", "a")
        assert tx.folders.named(acme, None, "b") is None
        assert tx.folders.count(acme) == 4


def test_a_changed_folder_has_its_new_name_and_place(database: SqlDatabase, acme: AccountId) -> None:
    moved = make_folder(acme, "b", "d", "renamed")

    with database.write() as tx:
        tx.folders.replace(moved)

    with database.read() as tx:
        assert [folder.name for folder in tx.folders.path(acme, FolderId("c"))] == ["d", "renamed", "c"]


def test_a_dissolved_folder_is_seen_no_more_and_its_name_is_free(database: SqlDatabase, acme: AccountId) -> None:
    with database.write() as tx:
        tx.folders.dissolve(tx.folders.get(acme, FolderId("d")))
        tx.folders.add(make_folder(acme, "e", name="d"))

    with database.write() as tx:
        assert tx.folders.path(acme, FolderId("d")) == []
        assert not tx.folders.hold(acme, FolderId("d"))
        assert [folder.id for folder in tx.folders.children(acme, None, past="", limit=10)] == ["a", "e"]
        assert tx.folders.count(acme) == 4
        assert tx.folders.dissolving(acme, FolderId("d")) == (None,)
        tx.folders.remove(acme, FolderId("d"))
        assert tx.folders.dissolving(acme, FolderId("d")) is None


def test_what_was_to_go_to_a_folder_goes_to_its_parent_once_that_is_dissolved_too(
    database: SqlDatabase, acme: AccountId
) -> None:
    with database.write() as tx:
        tx.folders.dissolve(tx.folders.get(acme, FolderId("c")))
        assert tx.folders.dissolving(acme, FolderId("c")) == (FolderId("b"),)

        tx.folders.dissolve(tx.folders.get(acme, FolderId("b")))

        assert tx.folders.dissolving(acme, FolderId("c")) == (FolderId("a"),)
        assert tx.folders.dissolving(acme, FolderId("b")) == (FolderId("a"),)


def test_a_folder_in_the_tree_is_not_forgotten(database: SqlDatabase, acme: AccountId) -> None:
    with database.write() as tx:
        tx.folders.remove(acme, FolderId("d"))

    with database.read() as tx:
        assert tx.folders.get(acme, FolderId("d")) == make_folder(acme, "d")
        assert tx.folders.dissolving(acme, FolderId("d")) is None


def test_who_locks_the_tree_sees_what_the_one_before_did(database: SqlDatabase, acme: AccountId) -> None:
    locked = threading.Event()

    def count() -> int:
        locked.wait()
        with database.write() as tx:
            tx.folders.lock(acme)
            return tx.folders.count(acme)

    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            tx.folders.lock(acme)
            later = pool.submit(count)
            locked.set()
            threading.Event().wait(A_CHANCE)
            tx.folders.add(make_folder(acme, "e"))
        assert later.result() == 5


def test_a_folder_that_is_held_stays_until_the_transaction_ends(database: SqlDatabase, acme: AccountId) -> None:
    held = threading.Event()
    order: list[str] = []

    def dissolve() -> None:
        held.wait()
        with database.write() as tx:
            tx.folders.dissolve(tx.folders.get(acme, FolderId("d")))
            order.append("dissolved")

    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            assert tx.folders.hold(acme, FolderId("d"))
            later = pool.submit(dissolve)
            held.set()
            threading.Event().wait(A_CHANCE)
            order.append("done")
        later.result()

    assert order == ["done", "dissolved"]
