"""The library over HTTP: listings by filter, changes, the trash, many at once, tags and folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support.native import pointers, problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.native import Native

UNKNOWN = "00000000000040008000000000000000"


def _names(account: Native, query: str) -> list[str]:
    return [asset["filename"] for asset in account.get(f"/assets?{query}").must(200)["data"]]


def _patched(account: Native, asset: dict[str, Any], **change: object) -> dict[str, Any]:
    changed: dict[str, Any] = account.call("PATCH", f"/assets/{asset['id']}", change).must(200)
    return changed


def test_assets_are_found_by_every_filter(alice: Native, photo: bytes) -> None:
    folder = alice.post("/folders", {"name": "Trip"}).must(201)
    beach = alice.upload(photo, "IMG_Beach-Sunset.png")
    draft = alice.upload(b"hello there", "draft.txt", "text/plain")
    _patched(alice, beach, folder_id=folder["id"], tags=["Holiday", "2026"])

    for query in (
        "q=beach%20sun",
        "q=holi",
        "name=img_b",
        "content_type=image/png",
        "content_type=image/*",
        "kind=image",
        f"folder_id={folder['id']}",
        "tag=HOLIDAY&tag=2026",
        f"min_size={len(photo)}",
        f"created_before={quote(draft['created_at'])}&created_from={quote(beach['created_at'])}&kind=image",
    ):
        assert _names(alice, query) == ["IMG_Beach-Sunset.png"], query
    assert _names(alice, "folder_id=none") == ["draft.txt"]
    assert _names(alice, f"max_size={len(photo) - 1}") == ["draft.txt"]
    assert _names(alice, "sort=created_at") == ["IMG_Beach-Sunset.png", "draft.txt"]
    assert _names(alice, "tag=holiday&kind=video") == []


def test_what_cannot_be_meant_is_refused(alice: Native) -> None:
    for query, code, field in (
        ("kind=picture", "invalid_field", "#/kind"),
        ("min_size=-1", "invalid_field", "#/min_size"),
        ("sort=name", "invalid_field", "#/sort"),
        ("tag=%20", "invalid_field", "#/tag/0"),
        ("created_from=2026-11-21T00:00:00", "invalid_field", "#/created_from"),
        ("q=a%20b%20c%20d%20e%20f%20g%20h%20i", "invalid_field", "#/q"),
    ):
        said = problem(alice.get(f"/assets?{query}"), 422, code)
        assert [where for where, _ in pointers(said)] == [field], query
    problem(alice.get(f"/assets?folder_id=folder_{UNKNOWN}"), 404, "folder_not_found")
    problem(alice.get("/assets?folder_id=nonsense"), 404, "folder_not_found")


@pytest.mark.parametrize("query", ["tags=beach", "foo=bar", "deleted=true&Q=x"])
def test_a_misspelt_filter_is_refused_instead_of_showing_everything(alice: Native, query: str) -> None:
    said = problem(alice.get(f"/assets?{query}"), 422, "invalid_field")

    assert said["errors"][0]["code"] == "unknown"


def test_a_cursor_of_another_listing_is_refused(alice: Native, photo: bytes) -> None:
    for _ in range(2):
        alice.upload(photo)
    cursor = alice.get("/assets?limit=1").must(200)["next_cursor"]

    problem(alice.get(f"/assets?limit=1&kind=image&cursor={cursor}"), 422, "invalid_cursor")


def test_a_change_is_seen_at_once_and_leaves_the_rest(alice: Native, photo: bytes) -> None:
    asset = alice.settled(alice.upload(photo, "a.png"))
    assert (asset["folder_id"], asset["tags"], asset["updated_at"]) == (None, [], None)

    changed = _patched(alice, asset, filename="../b.png", tags=["T", "t "])

    assert (changed["filename"], changed["tags"]) == ("b.png", ["t"])
    assert changed["updated_at"] is not None
    assert alice.get(f"/assets/{asset['id']}").must(200) == changed
    assert changed["url"] == asset["url"]
    assert _patched(alice, asset, tags=[])["filename"] == "b.png"


def test_a_wrong_change_changes_nothing(alice: Native, photo: bytes) -> None:
    asset = alice.settled(alice.upload(photo))
    path = f"/assets/{asset['id']}"

    problem(alice.call("PATCH", path, {"tags": ["ok", "x" * 101]}), 422, "invalid_field")
    problem(alice.call("PATCH", path, {"tags": [str(number) for number in range(51)]}), 422, "invalid_field")
    problem(alice.call("PATCH", path, {"size_bytes": 1}), 422, "invalid_field")
    problem(alice.call("PATCH", path, {"folder_id": f"folder_{UNKNOWN}"}), 404, "folder_not_found")

    assert alice.get(path).must(200) == asset


def test_a_deleted_asset_lies_in_the_trash_until_it_is_restored(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo, "a.png")
    alice.delete(f"/assets/{asset['id']}").must(204)

    alice.get(f"/assets/{asset['id']}").must(410)
    (lying,) = alice.get("/assets?deleted=true").must(200)["data"]
    assert (lying["id"], lying["deleted_at"] is None) == (asset["id"], False)
    assert _names(alice, "") == []

    back = alice.post(f"/assets/{asset['id']}/restore").must(200)

    assert (back["id"], back["deleted_at"], back["purge_at"]) == (asset["id"], None, None)
    assert alice.get("/assets?deleted=true").must(200)["data"] == []


def test_many_are_changed_with_a_result_for_each(alice: Native, photo: bytes) -> None:
    first, second = alice.upload(photo), alice.upload(photo)
    folder = alice.post("/folders", {"name": "Trip"}).must(201)
    ids = [first["id"], f"asset_{UNKNOWN}", "nonsense", second["id"]]

    for body in (
        {"action": "move", "folder_id": folder["id"]},
        {"action": "tag", "tags": ["New"]},
        {"action": "untag", "tags": ["new"]},
        {"action": "delete"},
        {"action": "restore"},
    ):
        results = alice.post("/assets/bulk", {"ids": ids, **body}).must(200)["data"]
        assert [one["id"] for one in results] == ids
        assert [one["code"] for one in results] == [None, "asset_not_found", "asset_not_found", None], body

    assert len(_names(alice, f"folder_id={folder['id']}")) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"ids": [], "action": "delete"},
        {"ids": ["x"] * 1001, "action": "delete"},
        {"ids": ["x"], "action": "explode"},
        {"ids": ["x"], "action": "move"},
        {"ids": ["x"], "action": "tag"},
        {"ids": ["x"], "action": "tag", "tags": ["\u0000"]},
    ],
    ids=["none", "too many", "unknown action", "nowhere", "no tags", "no tag"],
)
def test_a_bulk_request_that_cannot_be_meant_is_refused(alice: Native, body: dict[str, Any]) -> None:
    problem(alice.post("/assets/bulk", body), 422, "invalid_field")


def test_tags_in_use_are_listed(alice: Native, photo: bytes) -> None:
    _patched(alice, alice.upload(photo), tags=["beach", "berlin", "zoo"])

    assert list(alice.get("/tags?prefix=be").must(200)["data"]) == ["beach", "berlin"]
    assert [str(one) for one in alice.all("/tags", limit=2)] == ["beach", "berlin", "zoo"]


def test_folders_are_made_renamed_moved_listed_and_deleted(alice: Native, photo: bytes) -> None:
    top = alice.post("/folders", {"name": "2026"}).must(201)
    inner = alice.post("/folders", {"name": "May", "parent_id": top["id"]}).must(201)
    asset = alice.upload(photo)
    _patched(alice, asset, folder_id=inner["id"])

    problem(alice.post("/folders", {"name": "2026"}), 409, "name_taken")
    problem(alice.call("PATCH", f"/folders/{top['id']}", {"parent_id": inner["id"]}), 409, "folder_conflict")
    renamed = alice.call("PATCH", f"/folders/{inner['id']}", {"name": "June"}).must(200)
    assert (renamed["name"], renamed["parent_id"]) == ("June", top["id"])
    path = alice.get(f"/folders/{inner['id']}").must(200)["path"]
    assert path == [{"id": top["id"], "name": "2026"}, {"id": inner["id"], "name": "June"}]
    assert [one["name"] for one in alice.all("/folders", limit=1)] == ["2026"]
    assert alice.get(f"/folders?parent_id={top['id']}").must(200)["data"] == [renamed]

    alice.delete(f"/folders/{inner['id']}").must(204)

    problem(alice.get(f"/folders/{inner['id']}"), 404, "folder_not_found")
    assert alice.get(f"/assets/{asset['id']}").must(200)["folder_id"] == top["id"]


def test_reading_and_writing_need_their_scopes(alice: Native, make_account: Callable[..., Native]) -> None:
    reader, writer = make_account("files:read"), make_account("files:write")

    for path in ("/assets", "/folders", "/tags"):
        problem(writer.get(path), 403, "scope_missing")
    problem(reader.post("/folders", {"name": "x"}), 403, "scope_missing")
    problem(reader.post("/assets/bulk", {"ids": ["x"], "action": "delete"}), 403, "scope_missing")
    problem(reader.call("PATCH", f"/assets/asset_{UNKNOWN}", {"tags": []}), 403, "scope_missing")
