"""Executions: accept, follow, result, cancel, refuse."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import RunnerFailed
from penstock.ports.runners import FileInput, OutputFile
from tests.dialects.modelroute.client import MP3, PNG, ModelRoute, envelope, stamp, wrong_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.house import House

DATA_URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
UNKNOWN = "file_0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11"


def picture(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    """What the model read of its picture, and a picture."""
    file = inputs["image"]
    assert isinstance(file, FileInput)
    path = context.workdir / "made.png"
    path.write_bytes(PNG)
    read = hashlib.sha256(context.fetch(file).read_bytes()).hexdigest()
    return {"image": OutputFile(path=path, name="made.png", content_type="image/png"), "sha256": read, "seed": 7}


def broken(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunnerFailed("the picture shows nothing")


def balance(acme: ModelRoute) -> str:
    return str(acme.native("GET", "/account").must(200)["balance_usd"])


@pytest.mark.statement("MO-12")
def test_an_execution_of_an_uploaded_file_is_accepted(acme: ModelRoute, house: House) -> None:
    now = house.clock.now()

    said = acme.execute({"image": acme.upload(), "prompt": "an oil painting"})

    assert re.fullmatch(r"exec_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", said["id"])
    assert said == {
        "id": said["id"],
        "status": "PENDING",
        "model": "acme/model",
        "hold_amount": "40.040",
        "estimated_cost": "40.040",
        "expires_at": stamp(now + timedelta(days=7)),
        "created_at": stamp(now),
    }
    assert acme.execution(said["id"]) == said
    assert balance(acme) == "59.96"


@pytest.mark.statement("MO-13", "MO-33")
def test_it_completes_with_a_file_of_its_own(acme: ModelRoute, house: House) -> None:
    during: list[str] = []

    def watched(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        during.append(acme.execution(execution_id)["status"])
        house.clock.advance(timedelta(seconds=8))
        return picture(inputs, context)

    house.models["acme/model"] = watched
    now = house.clock.now()
    execution_id = acme.execute({"source_image": acme.upload()})["id"]
    house.work()

    said = acme.execution(execution_id)
    assert (during, said["status"]) == (["PROCESSING"], "COMPLETED")
    file_id = said["result"]["file_id"]
    assert said["result"] == {"file_id": file_id, "content_type": "image/png", "width": 1, "height": 1}
    assert (said["cost"], said["completed_at"]) == ("40.040", stamp(now + timedelta(seconds=8)))
    assert acme.call("GET", f"/v1/files/{file_id}/url").must(200)["size_bytes"] == len(PNG)
    acme.call("POST", f"/v1/executions/{execution_id}/cancel").must(200)
    house.work()
    assert acme.execution(execution_id) == said


@pytest.mark.statement("MO-33")
def test_the_result_has_what_the_model_made_of_the_exact_bytes(acme: ModelRoute, house: House) -> None:
    house.models["acme/model"] = picture
    execution_id = acme.execute({"image": acme.upload()})["id"]
    waiting = acme.call("GET", f"/v1/executions/{execution_id}/result").must(200)
    house.work()

    said = acme.call("GET", f"/v1/executions/{execution_id}/result").must(200)

    assert waiting == {"execution_id": execution_id, "status": "PENDING"}
    [image] = said["output"].pop("images")
    assert said == {
        "execution_id": execution_id,
        "status": "COMPLETED",
        "output": {"sha256": hashlib.sha256(PNG).hexdigest(), "seed": 7},
        "cost": "40.040",
        "latency_ms": 0,
    }
    assert image == {"file_id": image["file_id"], "format": "png", "width": 1, "height": 1}
    assert image["file_id"] == acme.execution(execution_id)["result"]["file_id"]


@pytest.mark.statement("MO-13", part="failure")
def test_a_failed_execution_says_why_and_costs_nothing(acme: ModelRoute, house: House) -> None:
    house.models["acme/model"] = broken
    execution_id = acme.execute({})["id"]
    house.work()

    said = acme.execution(execution_id)

    assert said["status"] == "FAILED"
    assert said["error"] == {"code": "GENERATION_FAILED", "message": "the picture shows nothing"}
    assert "cost" not in said
    assert balance(acme) == "100"
    assert acme.call("GET", f"/v1/executions/{execution_id}/result").must(200)["error"] == said["error"]


@pytest.mark.statement("MO-13", part="time runs out")
def test_an_execution_that_does_not_end_in_its_time_expires_and_costs_nothing(acme: ModelRoute, house: House) -> None:
    execution_id = acme.execute({})["id"]
    house.clock.advance(timedelta(days=7))
    house.work()

    said = acme.execution(execution_id)

    assert (said["status"], said["error"]["code"]) == ("EXPIRED", "GENERATION_TIMEOUT")
    assert said["completed_at"] >= said["expires_at"]
    assert "cost" not in said
    assert balance(acme) == "100"
    assert acme.call("POST", f"/v1/executions/{execution_id}/cancel").must(200) == said
    assert acme.call("GET", f"/v1/executions/{execution_id}/result").must(200)["status"] == "EXPIRED"


@pytest.mark.statement("MO-14")
def test_one_file_feeds_several_executions(acme: ModelRoute, house: House) -> None:
    house.models["acme/model"] = picture
    file_id = acme.upload()

    ids = [acme.execute({"image": file_id})["id"] for _ in range(2)]
    house.work()

    assert [acme.execution(execution_id)["status"] for execution_id in ids] == ["COMPLETED"] * 2


@pytest.mark.statement("MO-15")
def test_an_unknown_file_is_refused_wherever_it_stands(acme: ModelRoute) -> None:
    wrong: list[dict[str, object]] = [
        {"image": UNKNOWN},
        {"source_image": UNKNOWN},
        {"prompt": UNKNOWN},
        {"unlisted": UNKNOWN},
        {"unlisted": ["a", {"b": [UNKNOWN]}]},
        {"image": "file_nothing"},
        {"image": UNKNOWN.upper().replace("FILE", "file")},
    ]

    for inputs in wrong:
        envelope(acme.try_execute(inputs), 400, "FILE_NOT_FOUND")


def test_a_prompt_may_speak_of_files(acme: ModelRoute) -> None:
    acme.execute({"prompt": f"draw {UNKNOWN}"})
    acme.execute({"prompt": "file_cabinet"})


@pytest.mark.statement("MO-16", "MO-17")
@pytest.mark.parametrize("field", ["image", "unlisted"])
def test_a_file_without_bytes_and_anothers_look_like_an_unknown_one(
    acme: ModelRoute, rival: ModelRoute, field: str
) -> None:
    unknown = envelope(acme.try_execute({field: UNKNOWN}), 400, "FILE_NOT_FOUND")

    for file_id in (acme.begin()["file_id"], rival.upload(), rival.begin()["file_id"]):
        said = envelope(acme.try_execute({field: file_id}), 400, "FILE_NOT_FOUND")
        assert said | {"request_id": ""} == unknown | {"request_id": ""}


@pytest.mark.statement("MO-16")
def test_a_file_is_found_as_soon_as_its_bytes_came(acme: ModelRoute) -> None:
    envelope(acme.try_execute({"image": acme.begin()["file_id"]}), 400, "FILE_NOT_FOUND")

    acme.execute({"image": acme.upload()})


@pytest.mark.statement("MO-18")
def test_a_sound_is_no_picture(acme: ModelRoute) -> None:
    file_id = acme.upload(MP3, "song.mp3", "audio/mp3")

    envelope(acme.try_execute({"image": file_id}), 400, "FILE_FORMAT_UNSUPPORTED")


@pytest.mark.statement("MO-18", part="a sound that was declared a picture")
def test_the_bytes_decide_what_a_file_is(acme: ModelRoute) -> None:
    envelope(acme.try_execute({"image": acme.upload(MP3)}), 400, "FILE_FORMAT_UNSUPPORTED")


@pytest.mark.statement("MO-19")
def test_what_cannot_be_paid_is_refused_and_creates_nothing(acme: ModelRoute, house: House) -> None:
    for _ in range(2):
        acme.execute({})

    envelope(acme.try_execute({}), 402, "INSUFFICIENT_BALANCE")

    assert balance(acme) == "19.92"
    assert len(acme.native("GET", "/runs").must(200)["data"]) == 2


@pytest.mark.statement("MO-20", "MO-21")
def test_a_wrong_body_names_its_field(acme: ModelRoute) -> None:
    cases: list[tuple[dict[str, object], dict[str, str]]] = [
        ({"input": {}}, {"model": "REQUIRED"}),
        ({"model": "acme/model"}, {"input": "REQUIRED"}),
        ({}, {"model": "REQUIRED", "input": "REQUIRED"}),
        ({"model": "", "input": {}}, {"model": "OUT_OF_RANGE"}),
        ({"model": 7, "input": {}}, {"model": "INVALID_TYPE"}),
        ({"model": "acme/model", "input": []}, {"input": "INVALID_TYPE"}),
        ({"model": "acme/model", "input": None}, {"input": "INVALID_TYPE"}),
        ({"model": "acme/unknown", "input": {}}, {"model": "INVALID_VALUE"}),
        ({"model": "acme/model", "input": {"prompt": 7}}, {"input.prompt": "INVALID_TYPE"}),
        ({"model": "acme/model", "input": {"image": "photo.png"}}, {"input.image": "INVALID_VALUE"}),
        ({"model": "acme/model", "input": {}, "metadata": 1}, {"metadata": "INVALID_TYPE"}),
    ]

    told = [wrong_fields(acme.call("POST", "/v1/executions", body)) for body, _ in cases]

    assert told == [wrong for _, wrong in cases]


def test_a_url_is_no_file_and_may_stand_in_a_prompt(acme: ModelRoute, house: House) -> None:
    file_id = acme.upload()
    acme.execute({"image": file_id})
    ours = acme.native("GET", f"/assets/asset_{file_id[5:].replace('-', '')}").must(200)["url"]

    for url in ("https://example.com/photo.png", "HTTP://example.com/photo.png", ours, DATA_URI):
        assert wrong_fields(acme.try_execute({"image": url})) == {"input.image": "INVALID_VALUE"}
    acme.execute({"prompt": "https://example.com/photo.png"})


def test_what_is_wrong_first_is_told_first(acme: ModelRoute) -> None:
    """Key, body, file references, format, balance (inferred)."""
    for _ in range(2):
        acme.execute({})
    sound = acme.upload(MP3, "song.mp3", "audio/mp3")
    all_wrong = {"image": UNKNOWN, "prompt": 7}

    nobody = ModelRoute(base=acme.base, key="sk_unknown")
    envelope(nobody.try_execute(all_wrong), 401, "UNAUTHORIZED")
    wrong_fields(acme.try_execute(all_wrong))
    envelope(acme.try_execute({"image": UNKNOWN}), 400, "FILE_NOT_FOUND")
    envelope(acme.try_execute({"image": sound}), 400, "FILE_FORMAT_UNSUPPORTED")
    envelope(acme.try_execute({}), 402, "INSUFFICIENT_BALANCE")


def test_a_files_address_names_it_to_its_owner_where_addresses_are_taken(acme: ModelRoute, rival: ModelRoute) -> None:
    file_id = acme.upload()

    for tail in ("url", "download"):
        inputs = {"image": f"{acme.base}/v1/files/{file_id}/{tail}"}
        body = {"model": "acme/model", "input": inputs}
        acme.native("POST", "/runs", body).must(201)
        assert rival.native("POST", "/runs", body).must(404)["code"] == "asset_not_found"


def test_metadata_may_be_any_pairs(acme: ModelRoute) -> None:
    body = {"model": "acme/model", "input": {}, "metadata": {"order": 42, "tags": ["a"], "who": "me", "": None}}

    acme.call("POST", "/v1/executions", body).must(202)

    too_much = {**body, "metadata": {"order": "x" * 17_000}}
    assert wrong_fields(acme.call("POST", "/v1/executions", too_much)) == {"metadata": "OUT_OF_RANGE"}


@pytest.mark.statement("MO-23")
def test_an_unknown_execution_and_anothers_are_not_found(acme: ModelRoute, rival: ModelRoute) -> None:
    theirs = rival.execute({})["id"]

    for execution_id in ("exec_0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11", "exec_x", "nothing", theirs):
        envelope(acme.call("GET", f"/v1/executions/{execution_id}"), 404, "NOT_FOUND")
        envelope(acme.call("GET", f"/v1/executions/{execution_id}/result"), 404, "NOT_FOUND")
        envelope(acme.call("POST", f"/v1/executions/{execution_id}/cancel"), 404, "NOT_FOUND")
    assert rival.execution(theirs)["status"] == "PENDING"


@pytest.mark.statement("MO-24")
def test_a_repeat_under_one_key_is_one_execution(acme: ModelRoute, house: House) -> None:
    runs: list[str] = []

    def counted(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        runs.append("run")
        return {}

    house.models["acme/model"] = counted
    body = {"image": acme.upload(), "prompt": "a"}
    first = acme.try_execute(body, Idempotency_Key="k1").must(202)

    again = acme.try_execute(body, Idempotency_Key="k1").must(202)

    house.work()
    assert first == again
    assert runs == ["run"]
    assert acme.try_execute(body, Idempotency_Key="k1").must(202)["id"] == first["id"]
    envelope(acme.try_execute({"prompt": "b"}, Idempotency_Key="k1"), 409, "CONFLICT")
    assert acme.try_execute(body, Idempotency_Key="k2").must(202)["id"] != first["id"]


@pytest.mark.statement("MO-24", part="another account's key")
def test_another_accounts_key_is_another_key(acme: ModelRoute, rival: ModelRoute) -> None:
    first = acme.try_execute({}, Idempotency_Key="k1").must(202)

    assert rival.try_execute({}, Idempotency_Key="k1").must(202)["id"] != first["id"]


@pytest.mark.statement("MO-26")
def test_a_pending_execution_is_cancelled_and_its_hold_released(acme: ModelRoute, house: House) -> None:
    execution_id = acme.execute({})["id"]
    assert balance(acme) == "59.96"

    said = acme.call("POST", f"/v1/executions/{execution_id}/cancel").must(200)

    assert said["status"] == "CANCELLED"
    assert balance(acme) == "100"
    house.work()
    assert acme.call("POST", f"/v1/executions/{execution_id}/cancel").must(200) == said
    assert acme.execution(execution_id) == said
