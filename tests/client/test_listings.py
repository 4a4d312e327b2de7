from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tests.client.scripted_server import asset, reply, upload

if TYPE_CHECKING:
    from penstock.client import Penstock
    from tests.client.scripted_server import ScriptedServer


def test_assets_come_page_by_page_as_they_are_wanted(client: Penstock, server: ScriptedServer) -> None:
    server.answer(
        "GET",
        "/v1/assets",
        reply({"data": [asset("asset_1"), asset("asset_2")], "next_cursor": "a+b"}),
        reply({"data": [asset("asset_3")], "next_cursor": None}),
    )

    assets = iter(client.assets(page_size=2))

    assert next(assets).id == "asset_1"
    assert len(server.seen) == 1
    assert [one.id for one in assets] == ["asset_2", "asset_3"]
    assert [seen.query for seen in server.seen] == ["limit=2", "limit=2&cursor=a%2Bb"]


def test_uploads_come_page_by_page(client: Penstock, server: ScriptedServer) -> None:
    first, second = upload(None, "upload_2"), upload(None, "upload_1")
    server.answer(
        "GET",
        "/v1/uploads",
        reply({"data": [first], "next_cursor": "c"}),
        reply({"data": [second], "next_cursor": None}),
    )

    assert [one.id for one in client.uploads()] == ["upload_2", "upload_1"]
    assert [seen.query for seen in server.seen] == ["limit=100", "limit=100&cursor=c"]


def test_a_page_without_assets_is_not_the_end(client: Penstock, server: ScriptedServer) -> None:
    server.answer(
        "GET",
        "/v1/assets",
        reply({"data": [], "next_cursor": "c"}),
        reply({"data": [asset("asset_1")], "next_cursor": None}),
    )

    found = client.assets(q="a b", folder_id="none", tags=["x", "y"], kind="image")

    assert [one.id for one in found] == ["asset_1"]
    assert server.seen[0].query == "limit=100&q=a+b&folder_id=none&tag=x&tag=y&kind=image"
    assert server.seen[1].query == f"{server.seen[0].query}&cursor=c"


def test_folders_come_page_by_page_and_are_made(client: Penstock, server: ScriptedServer) -> None:
    one, other = ({"id": f"folder_{n}", "name": str(n), "parent_id": "folder_0"} for n in (1, 2))
    server.answer(
        "GET", "/v1/folders", reply({"data": [one], "next_cursor": "c"}), reply({"data": [other], "next_cursor": None})
    )
    server.answer("POST", "/v1/folders", reply(other, status=201))

    assert [folder.name for folder in client.folders("folder_0", page_size=1)] == ["1", "2"]
    assert client.create_folder("2", parent_id="folder_0").id == "folder_2"
    assert [seen.query for seen in server.seen[:2]] == [
        "limit=1&parent_id=folder_0",
        "limit=1&parent_id=folder_0&cursor=c",
    ]


def test_no_assets_are_an_empty_listing(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/assets", reply({"data": [], "next_cursor": None}))

    assert list(client.assets()) == []


def test_models_tell_what_they_take_and_cost(client: Penstock, server: ScriptedServer) -> None:
    model = {
        "slug": "builtin/stylize",
        "object": "model",
        "aliases": ["other"],
        "title": "Stylize",
        "description": "Repaints.",
        "price_usd": "0.004",
        "inputs": [{"name": "image", "type": "file", "accepts": ["image"]}, {"name": "style", "type": "enum"}],
        "outputs": [{"name": "image", "type": "file", "kind": "image"}],
    }
    server.answer("GET", "/v1/models", reply({"data": [model]}))

    (found,) = client.models()

    assert found.price_usd == Decimal("0.004")
    assert [(field.name, field.accepts, field.required) for field in found.inputs] == [
        ("image", ("image",), False),
        ("style", (), False),
    ]


def test_the_account_tells_its_balance_exactly(client: Penstock, server: ScriptedServer) -> None:
    key = {"id": "key_1", "scopes": ["files:read"]}
    server.answer(
        "GET", "/v1/account", reply({"id": "acct_1", "name": "me", "balance_usd": "99.9999999999", "key": key})
    )

    account = client.account()

    assert account.balance_usd == Decimal("99.9999999999")
    assert account.key.scopes == ("files:read",)
