"""The account, its ledger, and the models, over the wire."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from penstock.domain.quotas import Limits
from tests.support.exchange import exchange
from tests.support.native import problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.app import Administration
    from tests.support.native import Native
    from tests.support.server import Server

SCOPES = [
    *("account:read", "files:read", "files:write", "models:read", "models:write"),
    *("runs:read", "runs:write", "webhooks:write"),
]


def test_the_account_shows_its_balance_and_the_key_that_asks(alice: Native) -> None:
    account = alice.get("/account").must(200)

    assert set(account) == {"id", "object", "name", "balance_usd", "usage", "limits", "key"}
    assert re.fullmatch(r"acct_[0-9a-f]{32}", account["id"])
    assert (account["object"], account["balance_usd"]) == ("account", "100")
    assert set(account["key"]) == {"id", "scopes"}
    assert re.fullmatch(r"key_[0-9a-f]{32}", account["key"]["id"])
    assert account["key"]["scopes"] == SCOPES


def test_a_key_shows_the_scopes_it_was_given(make_account: Callable[..., Native]) -> None:
    limited = make_account("account:read", "files:read")

    assert limited.get("/account").must(200)["key"]["scopes"] == ["account:read", "files:read"]


@pytest.mark.parametrize("amount", ["0.000000001", "12.5", "999999899.999999999"])
def test_money_is_exact_to_the_billionth(alice: Native, office: Administration, amount: str) -> None:
    name = alice.get("/account").must(200)["name"]

    office.credit_account(name, Decimal(amount))

    assert Decimal(alice.balance()) == 100 + Decimal(amount)
    assert alice.ledger()[-1]["amount_usd"] == amount


def test_the_ledger_is_listed_newest_first_page_by_page(alice: Native, office: Administration) -> None:
    name = alice.get("/account").must(200)["name"]
    for amount in range(1, 5):
        office.credit_account(name, Decimal(amount))

    entries = list(alice.all("/account/ledger", limit=2))

    assert [entry["number"] for entry in entries] == [5, 4, 3, 2, 1]
    assert [entry["balance_usd"] for entry in entries] == ["110", "106", "103", "101", "100"]
    assert {(entry["kind"], entry["run_id"]) for entry in entries} == {("credit", None)}


def test_a_ledger_cursor_beyond_all_numbers_shows_everything(alice: Native) -> None:
    assert len(alice.get(f"/account/ledger?cursor={10**30}").must(200)["data"]) == 1


def test_the_models_are_those_that_can_be_run(alice: Native) -> None:
    models = alice.get("/models").must(200)

    assert set(models) == {"data"}
    by_slug = {model["slug"]: model for model in models["data"]}
    assert {"builtin/remove-background", "builtin/stylize"} <= set(by_slug)
    for model in by_slug.values():
        assert set(model) == {
            "slug",
            "object",
            "aliases",
            "title",
            "description",
            "price_usd",
            "inputs",
            "outputs",
        }
    paint = by_slug["builtin/stylize"]
    assert (paint["object"], paint["price_usd"]) == ("model", "0.004")
    assert "flux-1.1-pro" in paint["aliases"]
    (prompt,) = (field for field in paint["inputs"] if field["name"] == "prompt")
    assert (prompt["type"], prompt["required"], prompt["min_length"]) == ("string", True, 1)


@pytest.mark.parametrize("name", ["builtin/stylize", "flux-1.1-pro", "builtin%2Fstylize"])
def test_a_model_is_found_by_slug_and_by_alias(alice: Native, name: str) -> None:
    models = alice.get("/models").must(200)["data"]

    assert alice.get(f"/models/{name}").must(200) in models


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_server_says_that_it_is_up_and_no_more(server: Server, path: str, method: str) -> None:
    answer = exchange(method, server.url + path)

    assert (answer.status, answer.body) == (200, b'{"status":"ok"}' if method == "GET" else b"")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_health_route_takes_no_other_method(server: Server, path: str) -> None:
    answer = exchange("POST", server.url + path)

    assert answer.status == 405
    assert sorted(answer.headers["allow"].split(", ")) == ["GET", "HEAD"]
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_account_shows_what_it_keeps_and_may_keep(make_account: Callable[..., Native]) -> None:
    fresh = make_account()
    fresh.post("/uploads", {"filename": "a.png", "content_type": "image/png", "size_bytes": 7}).must(201)

    account = fresh.get("/account").must(200)

    assert account["usage"] == {"bytes": 0, "files": 0, "reserved_bytes": 7, "open_uploads": 1}
    assert account["limits"] == {"bytes": None, "files": None, "open_uploads": 1000}


def test_what_does_not_fit_is_refused_with_what_is_taken(
    make_account: Callable[..., Native], office: Administration
) -> None:
    full = make_account()
    office.set_limits(full.get("/account").must(200)["name"], Limits(bytes=10))

    refused = full.post("/uploads", {"filename": "a.png", "content_type": "image/png", "size_bytes": 11})

    assert problem(refused, 403, "quota_exceeded")["detail"] == "this needs 11 more bytes; 0 of 10 are taken"
    assert full.get("/uploads").must(200)["data"] == []


@pytest.mark.statement("RU-81", part="the usage report")
def test_what_models_take_and_cost_is_listed_day_by_day(alice: Native) -> None:
    storage = alice.get("/account/storage").must(200)

    assert storage == {"bytes": 0, "gigabytes": 0, "daily_usd": "0", "data": [], "next_cursor": None}
    problem(alice.get("/account/storage?cursor=yesterday"), 422, "invalid_cursor")
    problem(alice.get("/account/storage?limit=0"), 422, "invalid_field")
