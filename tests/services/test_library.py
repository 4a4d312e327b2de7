"""The library as its owner keeps it: found, named, sorted, thrown away and brought back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import AssetNotFound, FolderNotFound, InvalidCursor, InvalidField
from penstock.domain.ids import AssetId, FolderId
from penstock.domain.library import AssetFilter, Change
from penstock.services.paging import encode_cursor, encode_name_cursor
from tests.support.core import at_once

if TYPE_CHECKING:
    from penstock.domain.ids import AccountId
    from penstock.services.library import Outcome
    from tests.support.core import Core


@pytest.fixture
def acme(core: Core) -> AccountId:
    return core.open_account()


def _found(core: Core, account_id: AccountId, **wanted: object) -> set[str]:
    page = core.library.page(account_id, AssetFilter(**wanted), cursor=None, limit=100)  # type: ignore[arg-type]  # fields of a filter
    return {asset.id for asset in page.items}


def _codes(outcomes: list[Outcome]) -> list[str | None]:
    return [outcome.error.code if outcome.error is not None else None for outcome in outcomes]


def test_an_asset_is_found_by_what_it_was_changed_to(core: Core, acme: AccountId) -> None:
    asset = core.upload(acme, filename="IMG_0001.png")
    folder = core.folders.create(acme, "trip", None)

    changed = core.library.change(
        acme,
        asset.id,
        Change(name="Sunset at Sea.png", to_folder=True, folder_id=folder.id, tags=("Beach ", "2026", "beach")),
    )

    assert (changed.name, changed.folder_id, changed.tags) == ("Sunset at Sea.png", folder.id, ("beach", "2026"))
    assert changed.updated_at == core.assets.get(acme, asset.id).updated_at is not None
    assert _found(core, acme, query="sunset be", folder_id=folder.id, tags=("beach",)) == {asset.id}
    assert _found(core, acme, query="img") == set()


def test_what_a_change_does_not_name_stays(core: Core, acme: AccountId) -> None:
    asset = core.upload(acme, filename="a.png")
    core.library.change(acme, asset.id, Change(tags=("keep",)))

    renamed = core.library.change(acme, asset.id, Change(name="b.png"))
    untouched = core.library.change(acme, asset.id, Change(name="b.png"))

    assert renamed.tags == ("keep",)
    assert untouched == renamed


def test_changes_at_the_same_time_lose_nothing_of_each_other(core: Core, acme: AccountId) -> None:
    asset = core.upload(acme, filename="a.png")
    changes = iter([Change(name="b.png"), Change(tags=("t",))])

    at_once(2, lambda: core.library.change(acme, asset.id, next(changes)))

    now = core.assets.get(acme, asset.id)
    assert (now.name, now.tags) == ("b.png", ("t",))


def test_a_cursor_belongs_to_its_filter(core: Core, acme: AccountId) -> None:
    for _ in range(3):
        core.upload(acme)
    cursor = core.library.page(acme, AssetFilter(), cursor=None, limit=2).next_cursor

    assert len(core.library.page(acme, AssetFilter(), cursor=cursor, limit=2).items) == 1
    for other in (AssetFilter(ascending=True), AssetFilter(query="a"), AssetFilter(deleted=True)):
        with pytest.raises(InvalidCursor):
            core.library.page(acme, other, cursor=cursor, limit=2)


def test_too_much_of_anything_is_refused(core: Core, acme: AccountId) -> None:
    for wanted in (
        AssetFilter(query="a b c d e f g h i"),
        AssetFilter(tags=tuple("abcdefghi")),
        AssetFilter(min_size=2, max_size=1),
        AssetFilter(name="x" * 201),
    ):
        with pytest.raises(InvalidField):
            core.library.page(acme, wanted, cursor=None, limit=2)
    asset = core.upload(acme)
    with pytest.raises(InvalidField):
        core.library.change(acme, asset.id, Change(tags=tuple(str(number) for number in range(51))))


def test_bulk_work_has_a_result_for_every_id_and_can_be_repeated(core: Core, acme: AccountId) -> None:
    mine, expired = core.upload(acme), core.upload(acme, lifetime=timedelta(seconds=1))
    theirs = core.upload(core.open_account("zenith"))
    core.clock.advance(timedelta(seconds=2))
    ids = [mine.id, theirs.id, AssetId("unknown"), expired.id, mine.id]
    expected = [None, "asset_not_found", "asset_not_found", "asset_not_found", None]

    for _ in range(2):
        assert _codes(core.library.tag(acme, ids, ["New"])) == expected
    assert core.assets.get(acme, mine.id).tags == ("new",)

    for _ in range(2):
        assert _codes(core.library.untag(acme, ids, ["new", "never had"])) == expected
    assert core.assets.get(acme, mine.id).tags == ()

    folder = core.folders.create(acme, "trip", None)
    for _ in range(2):
        assert _codes(core.library.move(acme, ids, folder.id)) == expected
    assert _found(core, acme, folder_id=folder.id) == {mine.id}


def test_one_that_would_have_too_many_tags_is_told_and_the_others_get_theirs(core: Core, acme: AccountId) -> None:
    full, other = core.upload(acme), core.upload(acme)
    core.library.change(acme, full.id, Change(tags=tuple(str(number) for number in range(50))))

    assert _codes(core.library.tag(acme, [full.id, other.id], ["one more"])) == ["invalid_field", None]

    assert core.assets.get(acme, other.id).tags == ("one more",)


def test_the_trash_shows_what_can_be_restored_and_restores_it_to_its_place(core: Core, acme: AccountId) -> None:
    folder = core.folders.create(acme, "trip", None)
    kept, gone = core.upload(acme), core.upload(acme)
    core.library.move(acme, [gone.id], folder.id)
    core.library.tag(acme, [gone.id], ["t"])

    assert _codes(core.library.delete(acme, [gone.id, AssetId("unknown")])) == [None, "asset_not_found"]
    assert (_found(core, acme), _found(core, acme, deleted=True)) == ({kept.id}, {gone.id})

    for _ in range(2):
        back = core.library.restore(acme, gone.id)
        assert (back.folder_id, back.tags, back.deleted_at) == (folder.id, ("t",), None)
    assert _found(core, acme, tags=("t",)) == {gone.id}
    assert _found(core, acme, deleted=True) == set()


def test_what_was_in_a_folder_that_is_gone_comes_back_to_the_top(core: Core, acme: AccountId) -> None:
    folder = core.folders.create(acme, "trip", None)
    asset = core.upload(acme)
    core.library.move(acme, [asset.id], folder.id)
    core.assets.delete(acme, asset.id)
    core.folders.delete(acme, folder.id)

    assert _codes(core.library.bring_back(acme, [asset.id, AssetId("unknown")])) == [None, "asset_not_found"]

    assert core.assets.get(acme, asset.id).folder_id is None
    assert _found(core, acme, at_top=True) == {asset.id}


def test_nothing_of_another_account_is_restored_or_changed(core: Core, acme: AccountId) -> None:
    zenith = core.open_account("zenith")
    theirs = core.upload(zenith)
    core.assets.delete(zenith, theirs.id)

    with pytest.raises(AssetNotFound):
        core.library.restore(acme, theirs.id)
    assert _codes(core.library.bring_back(acme, [theirs.id])) == ["asset_not_found"]
    assert _found(core, acme, deleted=True) == set()
    with pytest.raises(AssetNotFound):
        core.library.change(acme, theirs.id, Change(name="mine.png"))


def test_tags_in_use_are_listed_page_by_page(core: Core, acme: AccountId) -> None:
    asset = core.upload(acme)
    core.library.change(acme, asset.id, Change(tags=("beach", "berlin", "zoo")))

    first = core.library.tags(acme, prefix="BE", cursor=None, limit=1)
    second = core.library.tags(acme, prefix="BE", cursor=first.next_cursor, limit=1)

    assert (first.items, second.items, second.next_cursor) == (["beach"], ["berlin"], None)
    with pytest.raises(InvalidCursor):
        core.library.tags(acme, prefix="", cursor="bm9uc2Vuc2U", limit=1)


def test_an_unknown_folder_cannot_be_listed(core: Core, acme: AccountId) -> None:
    with pytest.raises(FolderNotFound):
        core.library.page(acme, AssetFilter(folder_id=FolderId("unknown")), cursor=None, limit=1)


def test_an_upload_says_where_its_asset_goes_and_what_it_is_called(core: Core, acme: AccountId) -> None:
    folder = core.folders.create(acme, "trip", None)

    asset = core.upload(acme, folder_id=folder.id, tags=("Beach", "beach"))

    assert (asset.folder_id, asset.tags) == (folder.id, ("beach",))
    assert _found(core, acme, folder_id=folder.id, tags=("beach",)) == {asset.id}


def test_an_upload_into_an_unknown_folder_is_refused(core: Core, acme: AccountId) -> None:
    with pytest.raises(FolderNotFound):
        core.begin(acme, folder_id=FolderId("unknown"))


def test_an_asset_whose_folder_went_meanwhile_is_at_the_top(core: Core, acme: AccountId) -> None:
    folder = core.folders.create(acme, "trip", None)
    upload = core.begin(acme, folder_id=folder.id)
    core.put(upload)
    core.folders.delete(acme, folder.id)

    assert core.uploads.complete_upload(acme, upload.id).folder_id is None


@pytest.mark.parametrize("field", ["content_type", "name", "query"])
def test_no_filter_holds_the_character_that_postgresql_cannot_hold(core_on_each_database: Core, field: str) -> None:
    core = core_on_each_database
    acme = core.open_account()

    with pytest.raises(InvalidField):
        _found(core, acme, **{field: "a\0b"})


def test_no_prefix_and_no_cursor_holds_it_either(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    position = (core.clock.now(), "\0")

    with pytest.raises(InvalidField):
        core.library.tags(acme, prefix="a\0", cursor=None, limit=1)
    with pytest.raises(InvalidCursor):
        core.library.tags(acme, prefix="", cursor=encode_name_cursor("a\0", mark="tags"), limit=1)
    with pytest.raises(InvalidCursor):
        core.uploads.page(acme, cursor=encode_cursor(position), limit=1)


def test_a_window_turns_in_both_directions(core: Core, acme: AccountId) -> None:
    ids = []
    for _ in range(5):
        core.clock.advance(timedelta(milliseconds=1))
        ids.append(core.upload(acme).id)
    wanted = AssetFilter(ascending=True)

    last = core.library.window(acme, wanted, cursor=None, limit=2, back=True)
    middle = core.library.window(acme, wanted, cursor=last.previous_cursor, limit=2, back=True)
    again = core.library.window(acme, wanted, cursor=middle.next_cursor, limit=2)

    assert [asset.id for asset in last.items] == [asset.id for asset in again.items] == ids[3:]
    assert [asset.id for asset in middle.items] == ids[1:3]
    assert (last.next_cursor, again.next_cursor) == (None, None)
    with pytest.raises(InvalidCursor):
        core.library.window(acme, wanted, cursor=middle.next_cursor, limit=2, back=True)
