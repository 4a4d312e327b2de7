"""Runs: ask, look, and what may stand in an input."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.dialects.runflow import POLICY
from penstock.dialects.runflow.wire import runs as wire
from penstock.domain.errors import RunnerFailed
from penstock.domain.runs import RunFault, RunState
from penstock.ports.runners import FileInput, OutputFile
from tests.dialects.runflow.client import PNG, UNKNOWN, Runflow, envelope, wrong_fields
from tests.support.exchange import exchange, fetch
from tests.support.remote import remote_server, serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.house import House


def digest(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    """What the model read of its picture."""
    file = inputs["image"]
    assert isinstance(file, FileInput)
    return {"sha256": hashlib.sha256(context.fetch(file).read_bytes()).hexdigest()}


def picture(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    context.log("painting", level="warning")
    path = context.workdir / "made.png"
    path.write_bytes(PNG)
    return {"image": OutputFile(path=path, name="made.png", content_type="image/png"), "seed": 7}


def refuse(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunnerFailed("the picture shows nothing")


def read_of(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "outputs": []}


def inline(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


@pytest.mark.statement("RF-21")
def test_a_run_of_an_asset_goes_from_the_queue_to_its_output(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = picture
    asset_id = acme.upload()["id"]
    house.work()

    asked: dict[str, Any] = {"metadata": {"order": [7, None]}, "client_ref": "order-7"}
    queued = acme.run({"asset_id": asset_id, "prompt": "white studio"}, **asked)
    house.clock.advance(timedelta(seconds=1, milliseconds=840))
    house.work()
    done = acme.look(queued["id"])

    assert (queued["status_code"], queued["output"], queued["cost"]) == ("queued", None, None)
    assert queued["input"] == done["input"] == {"asset_id": asset_id, "prompt": "white studio"}
    assert {name: queued[name] for name in asked} == {name: done[name] for name in asked} == asked
    assert (queued["model_id"], queued["target_type"]) == ("acme/model", "model")
    assert (done["status_code"], done["cost"], done["duration_ms"]) == ("succeeded", "0.01", 1840)
    assert (done["failure_code"], done["error"]) == (None, None)
    [made] = done["output"]["outputs"]
    assert done["output"] == {"outputs": [made], "image": made, "seed": 7}
    assert made["type"] == "image"
    assert fetch(made["url"]).body == PNG
    [line] = acme.call("GET", f"/v1/runs/{done['id']}/logs").must(200)["items"]
    assert (line["message"], line["level"]) == ("painting", "warn")


def test_an_outputs_address_lives_for_three_days(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = picture
    run = acme.run({})
    house.work()
    [made] = acme.look(run["id"])["output"]["outputs"]

    house.clock.advance(timedelta(days=2, hours=23))
    assert fetch(made["url"]).status == 200
    house.clock.advance(timedelta(hours=2))
    assert fetch(made["url"]).status == 403


@pytest.mark.statement("RF-22")
def test_an_asset_is_named_by_its_id_its_uri_and_its_url_alike(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = digest
    asset = acme.upload()
    names = {"asset_id": asset["id"], "image": f"runflow://assets/{asset['id']}", "image_url": asset["url"]}

    runs = [acme.run({field: name}) for field, name in names.items()]
    house.work()

    assert [acme.look(run["id"])["output"] for run in runs] == [read_of(PNG)] * 3


def test_a_uri_in_an_input_is_read_as_a_fresh_address_while_its_asset_is_there(acme: Runflow) -> None:
    asset_id = acme.upload()["id"]
    named = f"runflow://assets/{asset_id}"

    run = acme.run({"image": named, "nested": [{"also": named, "words": "runflow://other"}]})

    assert fetch(run["input"]["image"]).body == PNG
    assert fetch(run["input"]["nested"][0]["also"]).body == PNG
    assert run["input"]["nested"][0]["words"] == "runflow://other"
    acme.call("DELETE", f"/v1/assets/{asset_id}")
    assert acme.look(run["id"])["input"]["image"] == named


@pytest.mark.statement("RF-23")
def test_a_run_that_names_an_asset_that_is_not_there_is_refused(acme: Runflow, rival: Runflow) -> None:
    deleted = acme.upload()["id"]
    acme.call("DELETE", f"/v1/assets/{deleted}")
    unconfirmed = acme.send()

    for asset_id in (UNKNOWN, deleted, rival.upload()["id"], acme.begin()["asset_id"], unconfirmed):
        uri = f"runflow://assets/{asset_id}"
        for inputs in ({"asset_id": asset_id}, {"image": uri}, {"prompt": "a", "style": [uri]}):
            said = envelope(acme.try_run(inputs), 422, "ASSET_NOT_FOUND")
            assert asset_id in said["message"]
            assert said["errors"][0]["loc"][:2] == ["body", "input"]
    envelope(acme.try_run({"image": "runflow://assets/x"}), 422, "ASSET_NOT_FOUND")
    assert acme.call("GET", "/v1/runs").must(200)["items"] == []
    assert acme.try_confirm(unconfirmed).status == 201
    acme.run({"asset_id": unconfirmed})


def test_an_assets_url_that_has_ended_or_was_changed_names_nothing(acme: Runflow, house: House) -> None:
    url = acme.upload()["url"]
    forged = url.replace("x-penstock-mark=", f"x-penstock-mark={acme.upload()['id']}&a=")

    for wrong in (forged, url[:-1]):
        envelope(acme.try_run({"image_url": wrong}), 422, "ASSET_NOT_FOUND")
    acme.run({"image_url": url})
    house.clock.advance(timedelta(hours=2))
    envelope(acme.try_run({"image_url": url}), 422, "ASSET_NOT_FOUND")


@pytest.mark.statement("RF-27")
def test_a_models_name_has_two_segments_or_more(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = digest
    asset_id = acme.upload()["id"]
    run = acme.run({"asset_id": asset_id}, model="acme/model/2.0/fast/still")
    house.work()

    assert acme.look(run["id"])["model_id"] == "acme/model/2.0/fast/still"
    assert acme.look(run["id"])["status_code"] == "succeeded"
    envelope(acme.try_run({}, model="bare"), 405, "METHOD_NOT_ALLOWED")
    envelope(acme.try_run({}, model="acme/unknown"), 404, "MODEL_NOT_FOUND")


@pytest.mark.statement("RF-28")
def test_errors_are_flat_and_an_unknown_or_foreign_run_is_not_found(acme: Runflow, rival: Runflow) -> None:
    run_id = acme.run({})["id"]

    for name in (run_id, UNKNOWN, "x"):
        envelope(rival.call("GET", f"/v1/runs/{name}"), 404, "RUN_NOT_FOUND")
        envelope(rival.call("GET", f"/v1/runs/{name}/logs"), 404, "RUN_NOT_FOUND")
    envelope(exchange("GET", f"{acme.base}/v1/runs/{run_id}"), 401, "UNAUTHORIZED")


def test_inline_data_is_taken_up_to_a_limit_and_refused_above_it(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = digest
    content = PNG + bytes(900_000)

    run = acme.run({"image": inline(content)})
    house.work()

    assert acme.look(run["id"])["output"] == read_of(content)
    envelope(acme.try_run({"image": inline(PNG + bytes(2**20))}), 413, "BODY_TOO_LARGE")
    assert wrong_fields(acme.try_run({"image": "data:image/png;base64,!"})) == [["body", "input", "image"]]


def test_a_run_that_fails_says_why(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = refuse
    run = acme.run({})
    house.work()

    done = acme.look(run["id"])

    assert (done["status_code"], done["output"]) == ("failed", None)
    assert (done["failure_code"], done["failure_message"]) == ("MODEL_FAILED", "the picture shows nothing")
    assert done["error"] == {"code": "MODEL_FAILED", "message": "the picture shows nothing"}


def test_a_run_that_cannot_be_paid_is_refused(house: House) -> None:
    poor = Runflow(base=f"{house.url}/runflow", key=house.create_key("poor", credits_usd="0.005"))

    envelope(poor.try_run({}), 402, "INSUFFICIENT_CREDIT")


def test_statuses_are_listed(acme: Runflow) -> None:
    words = {one["name"] for one in acme.call("GET", "/v1/runs/statuses").must(200)}

    assert {"queued", "running", "succeeded", "failed", "cancelled"} <= words


def test_members_of_the_wrong_shape_are_named(acme: Runflow) -> None:
    path = "/v1/models/acme/model/runs"

    assert wrong_fields(acme.call("POST", path, {})) == [["body", "input"]]
    for member, value in (("input", []), ("input", None), ("input", "a"), ("metadata", []), ("metadata", "a")):
        said = wrong_fields(acme.call("POST", path, {"input": {}, member: value}))
        assert said == [["body", member]], (member, value)
    assert wrong_fields(acme.try_run({"image": 7})) == [["body", "input", "image"]]
    assert wrong_fields(acme.try_run({}, metadata={"a": "b" * 16 * 2**10})) == [["body", "metadata"]]
    for member, longest in (("callback_url", 2048), ("client_ref", 255)):
        too_long = "https://example.com/".ljust(longest + 1, "a")
        for other in (7, ["a"], too_long):
            said = wrong_fields(acme.call("POST", path, {"input": {}, member: other}))
            assert said == [["body", member]], (member, other)


def test_metadata_of_any_shape_is_told_to_other_apis_as_text(acme: Runflow) -> None:
    acme.run({}, metadata={"order": [7, None], "name": "a"})

    native = exchange(
        "GET", f"{acme.base.removesuffix('runflow')}v1/runs", headers={"Authorization": f"Bearer {acme.key}"}
    )

    assert [run["metadata"] for run in native.must(200)["data"]] == [{"order": "[7, null]", "name": "a"}]


@pytest.mark.statement("RF-34")
def test_a_public_url_is_fetched_also_of_a_file_that_is_too_large_to_upload(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = digest
    large = PNG + bytes(POLICY.max_bytes)
    with remote_server() as remote:
        remote.on("/large.png", serving(large))
        run = acme.run({"image_url": remote.url("/large.png")})
        lost = acme.run({"image_url": [remote.url("/nothing.png")]})
        house.work()

    assert acme.look(run["id"])["output"] == read_of(large)
    failed = acme.look(lost["id"])
    assert (failed["status_code"], failed["failure_code"]) == ("failed", "INPUT_UNAVAILABLE")
    for private in ("https://10.0.0.1/a.png", "ftp://example.com/a.png"):
        assert wrong_fields(acme.try_run({"image_url": private})) == [["body", "input", "image_url"]], private


def test_one_file_may_stand_in_a_list_and_two_may_not(acme: Runflow, house: House) -> None:
    house.models["acme/model"] = digest
    asset_id = acme.upload()["id"]

    runs = [acme.run({"image": [f"runflow://assets/{asset_id}"]}), acme.run({"image": [inline(PNG)]})]
    house.work()

    assert [acme.look(run["id"])["output"] for run in runs] == [read_of(PNG)] * 2
    assert wrong_fields(acme.try_run({"image": [asset_id, asset_id]})) == [["body", "input", "image"]]
    assert wrong_fields(acme.try_run({"image": [7]})) == [["body", "input", "image"]]


def test_every_state_and_fault_has_its_word() -> None:
    assert set(wire.STATUSES) == set(RunState)
    assert set(wire.FAILURES) == {*RunFault, None}


def test_an_input_of_very_many_small_objects_is_refused(acme: Runflow) -> None:
    acme.run({"points": [{"x": 1}] * 4094})

    assert wrong_fields(acme.try_run({"points": [{"x": 1}] * 4095})) == [["body", "input"]]
