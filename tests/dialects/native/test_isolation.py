"""S22: with another account's ids every route answers as if they had never existed. From the OpenAPI document.

A new route with an id in its path, or a new id in a body, is tested here without anybody thinking of it; a new kind of
id fails until somebody does.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.exchange import Answer
    from tests.support.native import Native

UNKNOWN = "00000000000040008000000000000000"
CUT_OUT = "builtin/remove-background"
ID_OF = {"upload_id": "upload", "asset_id": "asset", "run_id": "run"}
BODIES = {"/assets/{asset_id}/lifetime": {"expires_in": 3600}}
NOT_IDS = {"slug", "key"}  # names of models are everybody's; a media key is a capability, not an id


def _calls(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each operation with an id in its path: method, path, and the parameter."""
    calls = []
    for path, methods in document["paths"].items():
        for parameter in re.findall(r"{(\w+)(?::path)?}", path):
            assert parameter in ID_OF or parameter in NOT_IDS, f"{path}: say here what {parameter} is"
            if parameter in ID_OF:
                calls += [(method.upper(), path, parameter) for method in methods]
    return calls


def _same_but_for_ids(answer: Answer) -> tuple[int, str | None, str]:
    """What the answer says, without the id that was asked for and the request's own."""
    told = answer.json() if answer.body else None
    if isinstance(told, dict):
        told.pop("request_id", None)
    text = re.sub(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", "ID", json.dumps(told))
    return answer.status, answer.headers["content-type"], text


@pytest.fixture(scope="module")
def alice(make_account: Callable[..., Native]) -> Native:
    return make_account()


@pytest.fixture(scope="module")
def things_of_alice(alice: Native, photo: bytes) -> dict[str, list[str]]:
    """Alice's ids by kind, in every state that may show."""
    pending = alice.begin(photo)
    given_up = alice.begin(photo)
    alice.delete(f"/uploads/{given_up['id']}").must(200)
    asset = alice.upload(photo)
    run = alice.finished(alice.start(CUT_OUT, {"image": asset["id"]})["id"])
    return {
        "upload": [pending["id"], given_up["id"], asset["upload_id"]],
        "asset": [asset["id"], run["output"]["image"]["asset_id"], pending["id"].replace("upload_", "asset_")],
        "run": [run["id"]],
    }


def test_every_route_takes_anothers_id_for_an_unknown_one(
    alice: Native, bob: Native, things_of_alice: dict[str, list[str]]
) -> None:
    before = alice.kept()
    calls = _calls(exchange("GET", f"{alice.url}/v1/openapi.json").must(200))
    assert {"upload_id", "asset_id", "run_id"} <= {parameter for _, _, parameter in calls}

    for method, path, parameter in calls:
        kind = ID_OF[parameter]
        below = re.sub(r"^.*/v1(?=/)", "", path)

        def ask(identifier: str, method: str = method, below: str = below) -> tuple[int, str | None, str]:
            return _same_but_for_ids(bob.call(method, re.sub(r"{\w+(?::path)?}", identifier, below), BODIES.get(below)))

        unknown = ask(f"{kind}_{UNKNOWN}")
        assert unknown[0] == 404, (method, path, unknown)
        assert {ask(identifier) for identifier in things_of_alice[kind]} == {unknown}, (method, path)

    assert alice.kept() == before


@pytest.mark.parametrize("kind", ["asset", "upload"])
def test_a_run_takes_anothers_file_for_an_unknown_one(
    alice: Native, bob: Native, things_of_alice: dict[str, list[str]], kind: str
) -> None:
    def ask(identifier: str) -> tuple[int, str | None, str]:
        return _same_but_for_ids(bob.post("/runs", {"model": CUT_OUT, "input": {"image": identifier}}))

    unknown = ask(f"{kind}_{UNKNOWN}")

    assert unknown[0] == 404
    assert {ask(identifier) for identifier in things_of_alice[kind]} == {unknown}
    assert bob.kept() == ([], [], [], 1)


def test_every_id_that_a_body_can_hold_is_tested_here(alice: Native) -> None:
    document = exchange("GET", f"{alice.url}/v1/openapi.json").must(200)
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for methods in document["paths"].values()
        for operation in methods.values()
        if "requestBody" in operation
    }
    fields = {name for body in bodies for name in document["components"]["schemas"][body]["properties"]}

    assert bodies == {"CreateUpload", "CreateRun", "SetLifetime"}
    # An id stands only inside `input`, in the file fields of a model.
    assert [name for name in fields if name.endswith(("id", "ids")) or "asset" in name or "upload" in name] == []


def test_listings_show_nothing_of_others(alice: Native, bob: Native, things_of_alice: dict[str, list[str]]) -> None:
    assert bob.kept() == ([], [], [], 1)
    assert set(things_of_alice["upload"]) <= set(alice.kept()[0])


def test_anothers_cursor_shows_nothing_of_others(
    alice: Native, bob: Native, things_of_alice: dict[str, list[str]]
) -> None:
    for path in ("/uploads", "/assets"):
        cursor = alice.get(f"{path}?limit=1").must(200)["next_cursor"]

        assert bob.get(f"{path}?cursor={cursor}").must(200) == {"data": [], "next_cursor": None}


def test_anothers_idempotency_key_is_free(alice: Native, bob: Native, photo: bytes) -> None:
    declared = {"filename": "a.png", "content_type": "image/png", "size_bytes": len(photo)}
    alice.post("/uploads", declared, idempotency_key="same").must(201)

    bob.post("/uploads", {**declared, "size_bytes": 1}, idempotency_key="same").must(201)


def test_the_stored_object_cannot_be_reached_without_a_signature(alice: Native, photo: bytes) -> None:
    location = exchange("GET", alice.upload(photo)["url"]).headers["location"]

    assert exchange("GET", location.partition("?")[0]).status == 403
