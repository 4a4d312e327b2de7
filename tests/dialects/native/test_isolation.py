"""S22: with another account's ids every route answers as if they had never existed. From the OpenAPI document.

A new route with an id in its path, or a new id in a body, is tested here without anybody thinking of it; a new kind of
id fails until somebody does.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.exchange import exchange
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.exchange import Answer
    from tests.support.model_files import ModelFiles
    from tests.support.native import Native

UNKNOWN = "00000000000040008000000000000000"
CUT_OUT = "builtin/remove-background"

ID_OF = {
    "upload_id": "upload",
    "asset_id": "asset",
    "run_id": "run",
    "folder_id": "folder",
    "parent_id": "folder",
    "ids": "asset",
    "endpoint_id": "endpoint",
    "delivery_id": "delivery",
    "model_upload_id": "modelupload",
    "air": "air",
    "other_air": "air",
}
"""Which kind of id stands in a parameter of a path or a query, or in a member of a body."""
NOT_IDS = {"slug", "key", "part"}
"""Names of models are everybody's; a media key is a capability, not an id."""
NAMED = {"part": "original"}
"""What stands in a path and is no id."""
BODIES: dict[str, dict[str, Any]] = {
    "CreateUpload": {"filename": "a.png", "content_type": "image/png"},
    "CreateImport": {"source_url": "http://nowhere.invalid/a.png"},
    "CreateRun": {"model": CUT_OUT, "input": {}},
    "ChangeAsset": {"filename": "b.png"},
    "BulkRequest": {"ids": [f"asset_{UNKNOWN}"], "action": "move", "folder_id": None},
    "CreateFolder": {"name": "new"},
    "ChangeFolder": {"name": "changed"},
    "SetLifetime": {"expires_in": 3600},
    "SignParts": {"part_numbers": [1]},
    "CompleteUpload": {},
    "CreateEndpoint": {"url": "https://hooks.example.com/a"},
    "ChangeEndpoint": {"description": "changed"},
    "RegisterModel": {"air": "bobs:1@1", "category": "lora", "unique_identifier": "bobs"},
    "ChangeModel": {"name": "changed"},
    "CreateSource": {"name": "somebodys"},
}
"""A body of each shape with which its request could succeed. What stands in a run's `input` is tested apart."""
ANSWERED = {("GET", "/assets", "run_id"), ("POST", "/assets/bulk", "ids")}
"""Where an unknown id is no error of the whole request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the document, as far as ids concern it."""

    method: str
    path: str
    in_path: tuple[str, ...]
    in_query: tuple[str, ...]
    in_body: tuple[str, ...]
    body: dict[str, Any] | None

    def places(self) -> list[str]:
        """Where ids stand."""
        return [*self.in_path, *self.in_query, *self.in_body]

    def ask(self, caller: Native, ids: Mapping[str, str], *, place: str) -> Answer:
        """Send it with these ids, of what is optional only in that place."""
        path = re.sub(r"{(\w+)(?::path)?}", lambda found: {**NAMED, **ids}[found[1]], self.path)
        query = f"?{place}={ids[place]}" if place in self.in_query else ""
        body = self.body
        if body is not None and place in self.in_body:
            body = {**body, place: [ids[place]] if isinstance(body.get(place), list) else ids[place]}
        return caller.call(self.method, path + query, body)


def _operations(document: dict[str, Any]) -> list[Operation]:
    """All of them; fails for an id or a body of which nothing is said above."""
    found = []
    for whole, methods in document["paths"].items():
        path = re.sub(r"^.*/v1(?=/)", "", whole)
        for method, operation in methods.items():
            parameters = operation.get("parameters", ())
            in_path = re.findall(r"{(\w+)(?::path)?}", path)
            in_query = [one["name"] for one in parameters if one["in"] == "query" and _is_id(one["name"])]
            shape = _body_shape(operation)
            members = _members(document, shape) if shape is not None else []
            in_body = [name for name in members if _is_id(name)]
            for name in (*in_path, *in_query, *in_body):
                assert name in ID_OF or name in NOT_IDS, f"{path}: say above what {name} is"
            assert shape is None or shape in BODIES, f"{path}: say above what {shape} may hold"
            found.append(
                Operation(
                    method=method.upper(),
                    path=path,
                    in_path=tuple(name for name in in_path if name in ID_OF),
                    in_query=tuple(in_query),
                    in_body=tuple(in_body),
                    body=BODIES[shape] if shape is not None else None,
                )
            )
    return [operation for operation in found if operation.places()]


def _is_id(name: str) -> bool:
    return name.endswith(("id", "ids")) or "asset" in name or "upload" in name


def _body_shape(operation: dict[str, Any]) -> str | None:
    if "requestBody" not in operation:
        return None
    if "application/json" not in operation["requestBody"]["content"]:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    reference: str = schema.get("$ref") or next(one["$ref"] for one in schema["anyOf"] if "$ref" in one)
    return reference.rpartition("/")[2]


def _members(document: dict[str, Any], shape: str) -> list[str]:
    """The members of a body, and those of what stands in it; of these none may hold an id."""
    shapes = document["components"]["schemas"]
    members = list(shapes[shape]["properties"])
    for inner in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(shapes[shape])):
        nested = [name for name in shapes[inner].get("properties", ()) if _is_id(name)]
        assert nested == [], f"{shape}: an id in {inner} has no test yet"
    return members


def _same_but_for_ids(answer: Answer) -> tuple[int, str | None, str]:
    """What the answer says, without the id that was asked for and the request's own."""
    told = answer.json() if answer.body else None
    if isinstance(told, dict):
        told.pop("request_id", None)
    text = re.sub(r"[a-z]+:[0-9]+@[0-9]+", "ID", json.dumps(told))
    text = re.sub(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", "ID", text)
    return answer.status, answer.headers["content-type"], text


def _everything(account: Native) -> tuple[object, ...]:
    """All that an account has, as it sees it; of its endpoints not how deliveries fare, which go on by themselves."""
    listings = ("/assets", "/assets?deleted=true", "/folders", "/webhook-endpoints", "/models/registered")
    changing = {"failures", "succeeded_at"}
    return account.kept(), [
        [{name: told for name, told in one.items() if name not in changing} for one in _all(account, listing)]
        for listing in listings
    ]


def _all(account: Native, listing: str) -> list[dict[str, Any]]:
    separator = "&" if "?" in listing else "?"
    data: list[dict[str, Any]] = account.get(f"{listing}{separator}limit=100").must(200)["data"]
    return data


@pytest.fixture(scope="session")
def alice(make_account: Callable[..., Native]) -> Native:
    """As long as the server: a process may come back to these tests after others, and her names are taken then."""
    return make_account()


@pytest.fixture(scope="session")
def things_of_alice(alice: Native, photo: bytes, model_files: ModelFiles) -> dict[str, list[str]]:
    """Alice's ids by kind, in every state that may show."""
    pending = alice.begin(photo)
    given_up = alice.begin(photo)
    alice.delete(f"/uploads/{given_up['id']}").must(200)
    asset, thrown_away = alice.upload(photo), alice.upload(photo)
    alice.delete(f"/assets/{thrown_away['id']}").must(204)
    run = alice.finished(alice.start(CUT_OUT, {"image": asset["id"]})["id"])
    endpoint = alice.post("/webhook-endpoints", {"url": "https://127.0.0.1:9/a", "events": ["run.started"]}).must(201)
    brought = _register(alice, "alices", model_files)
    return {
        "modelupload": [brought],
        "air": ["alices:1@1"],
        "upload": [pending["id"], given_up["id"], asset["upload_id"]],
        "asset": [
            asset["id"],
            thrown_away["id"],
            run["output"]["image"]["asset_id"],
            pending["id"].replace("upload_", "asset_"),
        ],
        "run": [run["id"]],
        "folder": [alice.post("/folders", {"name": "hers"}).must(201)["id"]],
        "endpoint": [endpoint["id"]],
        "delivery": [alice.post(f"/webhook-endpoints/{endpoint['id']}/test").must(200)["id"]],
    }


def test_every_route_takes_anothers_id_for_an_unknown_one(
    alice: Native,
    make_account: Callable[..., Native],
    things_of_alice: dict[str, list[str]],
    photo: bytes,
    model_files: ModelFiles,
) -> None:
    """In every place where an id can stand: what else the request needs is the caller's own."""
    wait_until(lambda: all(one["intake"] == "done" for one in _all(alice, "/assets")), "the intake of Alice's assets")
    before = _everything(alice)
    operations = _operations(exchange("GET", f"{alice.url}/v1/openapi.json").must(200))
    assert {"upload_id", "asset_id", "run_id", "folder_id", "parent_id", "ids", "endpoint_id", "delivery_id"} | {
        "model_upload_id",
        "air",
        "other_air",
    } == {place for operation in operations for place in operation.places()}
    bob = make_account()
    _register(bob, "bobs", model_files)
    for operation in operations:
        for place in operation.places():

            def ask(identifier: str, operation: Operation = operation, place: str = place) -> tuple[Any, ...]:
                own = {name: _own(bob, ID_OF[name], photo) for name in operation.in_path if name != place}
                return _same_but_for_ids(operation.ask(bob, {**own, place: identifier}, place=place))

            where = (operation.method, operation.path, place)
            unknown = ask("nobodys:1@1" if ID_OF[place] == "air" else f"{ID_OF[place]}_{UNKNOWN}")
            assert unknown[0] == (200 if where in ANSWERED else 404), (where, unknown)
            assert {ask(identifier) for identifier in things_of_alice[ID_OF[place]]} == {unknown}, where

    assert _everything(alice) == before


def _register(account: Native, source: str, model_files: ModelFiles) -> str:
    """A model under a source of the account's own; the id of its upload."""
    account.post("/model-sources", {"name": source}).must(201)
    lora = model_files.path("lora/sdxl_kohya").read_bytes()
    weights = account.upload(lora, "a.safetensors", "application/octet-stream")
    said = {"category": "lora", "architecture": "sdxl", "name": source, "version_label": "1"}
    brought: str = account.post("/models", {"air": f"{source}:1@1", "asset_id": weights["id"], **said}).must(202)["id"]
    assert account.get(f"/model-uploads/{brought}?wait=60").must(200)["phase"] == "ready"
    return brought


def _own(account: Native, kind: str, photo: bytes) -> str:
    """A new thing of the caller's own, for what an earlier request did to the last one."""
    match kind:
        case "air":
            return "bobs:1@1"
        case "folder":
            made: str = account.post("/folders", {"name": f"own {os.urandom(4).hex()}"}).must(201)["id"]
            return made
        case "asset":
            return str(account.upload(photo)["id"])
        case _:
            return str(account.begin(photo)["id"])


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
