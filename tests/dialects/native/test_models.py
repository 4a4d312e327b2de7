"""Registered models over the native API: brought, found, read back, changed and removed."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support.exchange import exchange
from tests.support.native import problem
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.exchange import Answer
    from tests.support.model_files import ModelFiles
    from tests.support.native import Native

LORA = {"category": "lora", "architecture": "sdxl", "name": "Rivers", "version_label": "v1", "tags": ["water"]}


@pytest.fixture(scope="session")
def owner(make_account: Callable[..., Native]) -> Native:
    """An account with the source `native-tests`."""
    account = make_account()
    account.post("/model-sources", {"name": "Native-Tests"}).must(201)
    return account


@pytest.fixture(scope="module")
def lora(model_files: ModelFiles) -> bytes:
    return model_files.path("lora/sdxl_kohya").read_bytes()


def register(account: Native, air: str, **body: object) -> dict[str, Any]:
    """Register, and wait for the end."""
    begun = account.post("/models", {"air": air, **body}).must(202)
    upload: dict[str, Any] = account.get(f"/model-uploads/{begun['id']}?wait=60").must(200)
    return upload


def registered(account: Native, lora: bytes, air: str, **more: object) -> dict[str, Any]:
    """A model that is there."""
    asset = account.upload(lora, "rivers.safetensors", "application/octet-stream")
    upload = register(account, air, asset_id=asset["id"], **{**LORA, **more})
    assert (upload["phase"], upload["error"]) == ("ready", None)
    assert upload["unique_identifier"] == hashlib.sha256(lora).hexdigest()
    account.delete(f"/assets/{asset['id']}").must(204)
    model: dict[str, Any] = account.get(f"/models/{air}").must(200)
    return model


def test_an_uploaded_file_becomes_a_model_that_can_be_read_back(owner: Native, bob: Native, lora: bytes) -> None:
    air = "native-tests:1@08"

    model = registered(owner, lora, air)

    assert model["urn"] == f"urn:air:sdxl:lora:{air}"
    assert (model["owned"], model["private"], model["default_weight"]) == (True, True, 1.0)
    assert model["file"]["original"] == {"size_bytes": len(lora), "sha256": hashlib.sha256(lora).hexdigest()}
    assert model["unique_identifier"] == hashlib.sha256(lora).hexdigest()
    for spelled in (air, quote(air, safe=""), "NATIVE-tests:1@08"):
        assert read(owner, spelled, "original").body == lora
    optimized = read(owner, air, "optimized")
    assert hashlib.sha256(optimized.body).hexdigest() == model["file"]["optimized"]["sha256"]
    assert len(json.loads(read(owner, air, "manifest").body)["tensors"]) > 10
    problem(bob.get(f"/models/{air}/files/original"), 404, "model_not_found")
    problem(bob.get(f"/models/{air}"), 404, "model_not_found")


def read(account: Native, air: str, part: str, *, method: str = "GET", **headers: str) -> Answer:
    """What stands behind the redirect."""
    answer = account.call(method, f"/models/{air}/files/{part}")
    assert answer.status == 307, answer.body
    return exchange(method, answer.headers["location"], headers=headers)


def test_curl_reads_a_model_by_its_air_as_it_is_written(owner: Native, lora: bytes) -> None:
    registered(owner, lora, "native-tests:2@1")
    url = f"{owner.url}/v1/models/native-tests:2@1/files/original"

    got = subprocess.run(
        ["curl", "-sSfL", "-H", f"Authorization: Bearer {owner.key}", url], capture_output=True, check=True, timeout=60
    )

    assert got.stdout == lora


def test_parts_of_a_model_can_be_read(owner: Native, lora: bytes) -> None:
    registered(owner, lora, "native-tests:3@1")

    part = read(owner, "native-tests:3@1", "original", Range="bytes=8-99")
    head = read(owner, "native-tests:3@1", "original", method="HEAD")

    assert (part.status, part.body) == (206, lora[8:100])
    assert (head.status, head.headers["content-length"]) == (200, str(len(lora)))
    problem(owner.get("/models/native-tests:3@1/files/other"), 422, "invalid_field")


def test_a_public_model_is_everybody_s_to_read_and_nobody_else_s_to_change(
    owner: Native, bob: Native, lora: bytes
) -> None:
    air = "native-tests:4@1"
    registered(owner, lora, air, private=False, comment="hush")

    model = bob.get(f"/models/{air}").must(200)

    assert (model["owned"], model["comment"], model["unique_identifier"]) == (False, None, None)
    assert read(bob, air, "original").body == lora
    for answer in (bob.call("PATCH", f"/models/{air}", {"name": "mine"}), bob.delete(f"/models/{air}")):
        problem(answer, 404, "model_not_found")
    problem(bob.post("/models", {"air": air, "name": "mine"}), 403, "source_not_owned")
    assert [one["air"] for one in bob.get("/models/registered?source=Native-Tests").must(200)["data"]] == [air]


def test_what_is_said_of_a_model_changes_at_once_and_it_goes(owner: Native, lora: bytes) -> None:
    air = "native-tests:5@1"
    registered(owner, lora, air)

    changed = owner.call("PATCH", f"/models/{air}", {"name": "Floodplain", "tags": None}).must(200)

    assert (changed["name"], changed["tags"], changed["version_label"]) == ("Floodplain", [], "v1")
    found = owner.get("/models/registered?q=floodp&category=lora&visibility=owned").must(200)
    assert (found["total"], [one["air"] for one in found["data"]], found["next_cursor"]) == (1, [air], None)
    problem(owner.call("PATCH", f"/models/{air}", {"category": "vae"}), 422, "invalid_field")
    problem(owner.call("PATCH", f"/models/{air}", {"owner": "me"}), 422, "invalid_field")
    owner.delete(f"/models/{quote(air, safe='')}").must(204)
    problem(owner.get(f"/models/{air}"), 404, "model_not_found")


def test_pages_of_models_hold_each_once(owner: Native, lora: bytes) -> None:
    for number in (1, 2, 3):
        registered(owner, lora, f"native-tests:6@{number}", name="Paged")

    first = owner.get("/models/registered?q=paged&limit=2").must(200)
    rest = owner.get(f"/models/registered?q=paged&limit=2&cursor={first['next_cursor']}").must(200)

    assert (first["total"], rest["next_cursor"]) == (3, None)
    airs = [one["air"] for page in (first, rest) for one in page["data"]]
    assert airs == [f"native-tests:6@{number}" for number in (3, 2, 1)]


def test_the_same_bytes_are_kept_once(owner: Native, lora: bytes) -> None:
    registered(owner, lora, "native-tests:7@1")

    second = registered(owner, lora, "native-tests:7@2")

    assert "native-tests:7@1" in second["file"]["shared_with"]
    reuse = owner.get("/models/native-tests:7@2/reuse/native-tests:7@1").must(200)
    assert reuse["shared_tensors"] == reuse["tensors"] > 10
    assert reuse["shared_bytes"] == reuse["bytes"] > 1000
    problem(owner.get("/models/native-tests:7@2/reuse/native-tests:7@9"), 404, "model_not_found")


def test_a_file_of_another_kind_is_refused_with_what_it_is(owner: Native, lora: bytes) -> None:
    asset = owner.upload(lora, "rivers.safetensors", "application/octet-stream")

    upload = register(owner, "native-tests:8@1", asset_id=asset["id"], **{**LORA, "category": "vae"})

    assert (upload["phase"], upload["error"]["code"]) == ("failed", "model_file_mismatch")
    problem(owner.get("/models/native-tests:8@1"), 404, "model_not_found")
    events = owner.get(f"/model-uploads/{upload['id']}/events").body.decode()
    assert "event: model.validated" in events
    assert "event: model.failed" in events
    assert owner.get(f"/model-uploads/{upload['id']}/events?after=99").status == 204
    assert upload["id"] in [one["id"] for one in owner.get("/model-uploads").must(200)["data"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/air"),
        ({"air": "nonsense"}, "#/air"),
        ({"air": "native-tests:9@1"}, "#/category"),
        ({"air": "native-tests:9@1", **LORA, "unique_identifier": "a"}, "#/url"),
        ({"air": "native-tests:9@1", **LORA, "url": "https://example.com/a"}, "#/unique_identifier"),
        ({"air": "native-tests:9@1", **LORA, "unique_identifier": "a", "url": "ftp://a"}, "#/url"),
        ({"air": "native-tests:9@1", **LORA, "default_weight": 5}, "#/default_weight"),
        ({"air": "native-tests:9@1", **LORA, "name": 5}, "#/name"),
    ],
)
def test_a_registration_that_is_wrong_is_told_where(owner: Native, body: dict[str, Any], pointer: str) -> None:
    told = problem(owner.post("/models", body), 422, "invalid_field")

    assert pointer in [error["pointer"] for error in told["errors"]]


def test_too_many_words_are_told_of_the_query(owner: Native) -> None:
    told = problem(owner.get("/models/registered?q=a+b+c+d+e+f+g+h+i"), 422, "invalid_field")

    assert [error["pointer"] for error in told["errors"]] == ["#/q"]


def test_a_source_is_one_account_s(owner: Native, bob: Native) -> None:
    problem(bob.post("/model-sources", {"name": "native-tests"}), 409, "name_taken")
    problem(bob.post("/model-sources", {"name": "a b"}), 422, "invalid_field")

    again = owner.post("/model-sources", {"name": "native-tests"}).must(201)

    assert owner.get("/model-sources").must(200)["data"] == [again]
    assert bob.get("/model-sources").must(200)["data"] == []


def test_a_header_alone_tells_what_a_file_is(bob: Native, lora: bytes) -> None:
    header = lora[: 8 + int.from_bytes(lora[:8], "little")]

    found = examine(bob, header, f"size_bytes={len(lora)}").must(200)
    declared = examine(bob, header, "category=vae").must(200)

    assert (found["category"], found["verdict"], found["size_bytes"]) == ("lora", None, len(lora))
    assert found["proposal"]["category"] == "lora"
    assert "sdxl" in found["architectures"]
    assert (declared["verdict"], declared["check"]) == ("mismatch", "enforce")
    problem(examine(bob, b"PK\x03\x04" + bytes(100)), 422, "not_safetensors")
    problem(examine(bob, header[:-1]), 422, "not_safetensors")
    problem(examine(bob, header, "category=vae&architecture=nonsense"), 422, "invalid_field")
    problem(examine(bob, bytes(16 * 2**20 + 1)), 413, "body_too_large")


def examine(account: Native, header: bytes, query: str = "") -> Answer:
    return account.call("POST", f"/models/examinations?{query}", header)


def test_an_update_follows_without_a_file(owner: Native, lora: bytes) -> None:
    air = "native-tests:10@1"
    model = registered(owner, lora, air)

    upload = register(owner, air, name="Streams")

    assert upload["phase"] == "ready"
    wait_until(lambda: owner.get(f"/models/{air}").must(200)["name"] == "Streams", "the new name")
    assert owner.get(f"/models/{air}").must(200)["file"] == model["file"]
