"""Listings: assets, folders and runs; pages in both directions, and the `q` expression."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.dialects.runflow.client import PNG, UNKNOWN, Runflow, envelope, wrong_fields

MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(1000)


def listed(acme: Runflow, what: str = "assets", **query: object) -> Any:  # noqa: ANN401 - JSON
    """A page of a listing."""
    return acme.call("GET", f"/v1/{what}?{urlencode(query)}").must(200)


def names(acme: Runflow, q: str, what: str = "assets") -> set[str]:
    return {item["name"] for item in listed(acme, what, q=q)["items"]}


@pytest.mark.statement("RF-18")
def test_confirmed_assets_are_listed_newest_first_page_by_page(acme: Runflow, rival: Runflow) -> None:
    acme.send(name="never-confirmed.png")
    rival.upload()
    ids = [acme.upload(name=f"{number}.png")["id"] for number in range(5)][::-1]

    assert [item["id"] for item in listed(acme)["items"]] == ids
    assert [listed(acme)[name] for name in ("next_pq", "prev_pq")] == [None, None]
    seen, pages, cursor = [], [], None
    while True:
        page = listed(acme, limit=2, **({"pq": cursor} if cursor else {}))
        seen += [item["id"] for item in page["items"]]
        pages.append(page)
        cursor = page["next_pq"]
        if cursor is None:
            break
    assert seen == ids
    assert [len(page["items"]) for page in pages] == [2, 2, 1]
    assert pages[0]["prev_pq"] is None
    back = listed(acme, limit=2, pq=pages[2]["prev_pq"], from_prev="true")
    assert [item["id"] for item in back["items"]] == ids[2:4]
    assert [item["id"] for item in listed(acme, limit=2, pq=back["next_pq"])["items"]] == ids[4:]
    first = listed(acme, limit=2, pq=back["prev_pq"], from_prev="true")
    assert ([item["id"] for item in first["items"]], first["prev_pq"]) == (ids[:2], None)
    assert [item["id"] for item in listed(acme, sort_by="created_at:asc")["items"]] == ids[::-1]


def test_a_page_may_be_larger_than_those_that_it_is_made_of(acme: Runflow) -> None:
    for number in range(103):
        acme.call("POST", "/v1/asset-folders", {"name": str(number)}).must(201)
        acme.run({})

    page = listed(acme, "runs", limit=500)
    assert (len(page["items"]), page["next_pq"]) == (103, None)
    assert len(listed(acme, "runs", limit=102)["items"]) == 102
    assert len(listed(acme, "asset-folders", limit=500)["items"]) == 103


@pytest.mark.statement("RF-19")
def test_a_deleted_asset_is_gone_from_everywhere(acme: Runflow) -> None:
    kept, deleted = acme.upload()["id"], acme.upload()["id"]

    assert acme.call("DELETE", f"/v1/assets/{deleted}").status == 204

    envelope(acme.call("GET", f"/v1/assets/{deleted}"), 404, "ASSET_NOT_FOUND")
    assert [item["id"] for item in listed(acme)["items"]] == [kept]
    for inputs in ({"asset_id": deleted}, {"image": f"runflow://assets/{deleted}"}):
        envelope(acme.try_run(inputs), 422, "ASSET_NOT_FOUND")


@pytest.mark.statement("RF-37")
def test_assets_are_found_by_what_is_said_of_them(acme: Runflow) -> None:
    folder = acme.call("POST", "/v1/asset-folders", {"name": "shop"}).must(201)["id"]
    acme.upload(name="Perfume Bottle.png")
    acme.upload(name="perfume.png", folder=folder)
    acme.upload(MP4, "walk.mp4", "video/mp4")

    assert names(acme, "name:perfume") == {"Perfume Bottle.png", "perfume.png"}
    assert names(acme, "name:perf") == {"Perfume Bottle.png", "perfume.png"}
    assert names(acme, 'name:"bottle perfume"') == names(acme, "perfume bottle") == {"Perfume Bottle.png"}
    assert names(acme, "name:perfume AND folder_id:null") == {"Perfume Bottle.png"}
    assert names(acme, f"folder_id = {folder}") == {"perfume.png"}
    assert names(acme, "asset_type:video") == names(acme, "mime_type:video/mp4") == {"walk.mp4"}
    assert names(acme, "asset_type=image AND name:bottle") == {"Perfume Bottle.png"}
    assert names(acme, "asset_type:other") == set()
    assert names(acme, f"size_bytes>{len(PNG)}") == {"walk.mp4"}
    assert names(acme, f"size_bytes<={len(PNG)} AND size_bytes>=1 AND name:bottle") == {"Perfume Bottle.png"}
    assert names(acme, f"size_bytes:{len(MP4)}") == {"walk.mp4"}
    assert len(names(acme, "created_at>=2026-01-01 AND created_at<2100-01-01T00:00:00Z")) == 3
    assert names(acme, "created_at<2026-01-01T00:00:00+01:00") == set()
    assert names(acme, "name:nothing") == names(acme, "zebra") == set()
    assert len(names(acme, "")) == 3


def test_an_expression_that_cannot_be_answered_is_refused_and_not_ignored(acme: Runflow) -> None:
    wrong = [
        *("name:a OR name:b", "NOT name:a", "(name:a)", "owner:me", "name>a", "name=a", "size_bytes:many", '"a', "a:"),
        *("size_bytes>1 AND size_bytes>2", "created_at:2026-01-01", "created_at>soon", "folder_id:x", "folder_id>null"),
        *(
            "asset_type:picture",
            "asset_type>image",
            "asset_type:image mime_type:image/png",
            "size_bytes>5 size_bytes<2",
        ),
        *("name:" + "a" * 201, "a b c d e f g h i", "x" * 801, "mime_type:" + "a" * 201, "created_at>0001-01-01"),
        *("size_bytes>" + "9" * 30 + "x", "name:a\0b", "created_at>9999-12-31T23:59:59.999999Z"),
    ]
    for q in wrong:
        answer = acme.call("GET", f"/v1/assets?{urlencode({'q': q})}")
        assert (q, answer.status) == (q, 422)
        assert wrong_fields(answer) == [["query", "q"]], q
    for query in ("limit=0", "limit=501", "limit=x", "sort_by=name:asc", "fields=nothing", "from_prev=maybe"):
        acme.upload()
        answer = acme.call("GET", f"/v1/assets?{query}")
        assert wrong_fields(answer) == [["query", query.partition("=")[0]]], query
    listed(acme, q="size_bytes<" + "9" * 30)
    for what in ("assets", "asset-folders", "runs"):
        for pq in ("x", "", "OmE"):
            envelope(acme.call("GET", f"/v1/{what}?pq={pq}"), 422, "VALIDATION_ERROR")
    cursor = [listed(acme, limit=1)["next_pq"] for _ in (acme.upload(), acme.upload())][-1]
    envelope(acme.call("GET", f"/v1/assets?pq={cursor}&from_prev=true"), 422, "VALIDATION_ERROR")
    envelope(acme.call("GET", f"/v1/assets?q=folder_id:{UNKNOWN}"), 404, "ASSET_FOLDER_NOT_FOUND")


def test_fields_of_a_listing_are_selected(acme: Runflow) -> None:
    acme.upload(name="a.png")

    assert listed(acme, fields="name,mime_type")["items"] == [{"name": "a.png", "mime_type": "image/png"}]


@pytest.mark.statement("RF-12")
def test_a_confirmation_files_the_asset_in_a_folder(acme: Runflow, rival: Runflow) -> None:
    folder = acme.call("POST", "/v1/asset-folders", {"name": "shop"}).must(201)["id"]
    foreign = rival.call("POST", "/v1/asset-folders", {"name": "shop"}).must(201)["id"]
    upload_id = acme.send()

    for wrong in (UNKNOWN, foreign, "x"):
        envelope(acme.try_confirm(upload_id, {"folder_id": wrong}), 404, "ASSET_FOLDER_NOT_FOUND")
    assert listed(acme)["items"] == []

    assert acme.try_confirm(upload_id, {"folder_id": folder}).must(201)["folder_id"] == folder
    assert acme.asset(upload_id)["folder_id"] == folder


@pytest.mark.statement("RF-20")
def test_folders_are_made_listed_renamed_and_deleted_without_their_assets(acme: Runflow, rival: Runflow) -> None:
    top = acme.call("POST", "/v1/asset-folders", {"name": "Spring Shop"}).must(201)
    inner = acme.call("POST", "/v1/asset-folders", {"name": "bottles", "parent_id": top["id"]}).must(201)
    path = f"/v1/asset-folders/{inner['id']}"
    asset_id = acme.upload(folder=inner["id"])["id"]

    assert (top["parent_id"], inner["parent_id"], top["name"]) == (None, top["id"], "Spring Shop")
    assert acme.call("GET", path).must(200) == inner
    assert [item["id"] for item in listed(acme, "asset-folders")["items"]] == [inner["id"], top["id"]]
    page = listed(acme, "asset-folders", limit=1)
    assert listed(acme, "asset-folders", limit=1, pq=page["next_pq"])["items"] == [top]
    assert names(acme, "name:shop", "asset-folders") == {"Spring Shop"}
    assert names(acme, f"parent_id:{top['id']}", "asset-folders") == {"bottles"}
    assert names(acme, "parent_id:null", "asset-folders") == {"Spring Shop"}
    assert acme.call("PATCH", path, {"name": "vials"}).must(200)["name"] == "vials"
    assert acme.call("PATCH", path, {"parent_id": None}).must(200)["parent_id"] is None
    for method, body in (("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)):
        envelope(rival.call(method, path, body), 404, "ASSET_FOLDER_NOT_FOUND")
    envelope(acme.call("POST", "/v1/asset-folders", {"name": "vials"}), 409, "CONFLICT")
    envelope(acme.call("PATCH", f"/v1/asset-folders/{top['id']}", {"parent_id": top["id"]}), 409, "CONFLICT")
    assert wrong_fields(acme.call("POST", "/v1/asset-folders", {"name": ""})) == [["body", "name"]]
    assert acme.call("DELETE", path).status == 204
    envelope(acme.call("GET", path), 404, "ASSET_FOLDER_NOT_FOUND")
    assert acme.asset(asset_id)["folder_id"] is None


def test_runs_are_listed_newest_first_for_their_own_organization(acme: Runflow, rival: Runflow) -> None:
    ids = [acme.run({})["id"] for _ in range(3)][::-1]
    rival.run({})

    first = listed(acme, "runs", limit=2)
    rest = listed(acme, "runs", limit=2, pq=first["next_pq"])

    assert [run["id"] for run in (*first["items"], *rest["items"])] == ids
    assert rest["next_pq"] is None


def test_a_page_of_runs_with_long_inputs_has_fewer_of_them(acme: Runflow) -> None:
    made = [acme.run({"long": "a" * 250_000})["id"] for _ in range(28)]

    first = acme.call("GET", "/v1/runs?limit=500").must(200)
    second = acme.call("GET", f"/v1/runs?limit=500&pq={first['next_pq']}").must(200)

    assert len(first["items"]) == 25
    assert second["next_pq"] is None
    assert {run["id"] for page in (first, second) for run in page["items"]} == set(made)
