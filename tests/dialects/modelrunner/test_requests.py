"""Requests: submit, status, result, cancel."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.domain.errors import RunnerFailed
from penstock.ports.runners import FileInput, OutputFile, RunCancelledError
from tests.dialects.modelrunner.client import LIFECYCLE, PNG, envelope, issues, put
from tests.support.exchange import exchange, fetch
from tests.support.remote import remote_server, serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.exchange import Answer
    from tests.support.house import House

ID = re.compile(r"[A-Za-z0-9_-]{21}")


def nothing(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    return {"ok": True}


def digest(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    """What the model read of its picture."""
    file = inputs["image"]
    assert isinstance(file, FileInput)
    return {"sha256": hashlib.sha256(context.fetch(file).read_bytes()).hexdigest(), "type": file.content_type}


def picture(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    path = context.workdir / "made.png"
    path.write_bytes(PNG)
    return {"images": [OutputFile(path=path, name="made.png", content_type="image/png")], "seed": 7}


def broken(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunnerFailed("the picture shows nothing")


@pytest.mark.statement("MR-25")
def test_submit_answers_the_queue_envelope(acme: ModelRunner) -> None:
    answer = acme.call("POST", "/acme/model", {"text": "a"})

    said = answer.must(201)
    assert said["status"] == "IN_QUEUE"
    assert (said["queue_position"], said["logs"]) == (0, [])
    assert ID.fullmatch(said["request_id"])
    url = f"{acme.base}/acme/model/requests/{said['request_id']}"
    assert (said["response_url"], said["status_url"], said["cancel_url"]) == (url, f"{url}/status", f"{url}/cancel")
    assert answer.headers["x-modelrunner-request-id"] == said["request_id"]


@pytest.mark.statement("MR-26")
def test_the_three_urls_work_as_given(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = nothing
    queued = acme.submit()

    assert acme.call("GET", queued["status_url"]).must(200)["status"] == "IN_QUEUE"
    assert acme.call("PUT", acme.submit()["cancel_url"]).status == 200
    house.work()

    assert acme.call("GET", queued["response_url"]).must(200)["status"] == "COMPLETED"


@pytest.mark.statement("MR-27", "MR-30")
def test_the_status_follows_the_request(acme: ModelRunner, house: House) -> None:
    during: dict[str, Answer] = {}

    def watched(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        context.log("half way", level="warning")
        during["status"] = acme.call("GET", first["status_url"] + "?logs=1")
        during["result"] = acme.call("GET", first["response_url"])
        return {}

    house.models["acme/model"] = watched
    first, second = acme.submit(), acme.submit()

    assert acme.call("GET", second["status_url"]).must(200)["queue_position"] == 1
    envelope(acme.call("GET", first["response_url"]), 400)
    house.worker.drain(limit=1)
    running = during["status"].must(200)
    assert running["status"] == "IN_PROGRESS"
    [line] = running["logs"]
    assert (line["message"], line["level"], line["source"]) == ("half way", "WARN", "USER")
    assert line["timestamp"] == "2026-11-21T12:00:00.900Z"
    assert envelope(during["result"], 400)["details"] == {"code": "REQUEST_NOT_COMPLETED"}
    assert acme.call("GET", second["status_url"]).must(200)["queue_position"] == 0
    done = acme.call("GET", first["status_url"] + "?logs=true").must(200)
    assert (done["status"], done["logs"], done["metrics"]) == ("COMPLETED", [line], {"inference_time": 0})


@pytest.mark.statement("MR-27")
@pytest.mark.parametrize(("logs", "shown"), [("0", False), ("false", False), ("1", True), ("true", True)])
def test_logs_are_shown_when_asked_for_and_always_a_list(
    acme: ModelRunner, house: House, logs: str, *, shown: bool
) -> None:
    def talking(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        context.log("seen")
        return {}

    house.models["acme/model"] = talking
    queued = acme.submit()
    house.work()

    status = acme.call("GET", f"{queued['status_url']}?logs={logs}").must(200)

    assert [line["message"] for line in status["logs"]] == (["seen"] if shown else [])


def test_another_value_of_logs_is_refused(acme: ModelRunner) -> None:
    assert issues(acme.call("GET", acme.submit()["status_url"] + "?logs=some")) == {"logs": "invalid_type"}


@pytest.mark.statement("MR-28", "MR-35")
def test_the_result_is_the_same_at_both_addresses(acme: ModelRunner, house: House) -> None:
    def slow(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        house.clock.advance(timedelta(seconds=1, milliseconds=800))
        context.log("one")
        context.log("two")
        return picture(inputs, context)

    house.models["acme/model"] = slow
    queued = acme.submit(body={"text": "a", "more": [1, {"b": None}]})
    house.clock.advance(timedelta(milliseconds=200))
    house.work()

    answer = acme.call("GET", queued["response_url"])
    said = answer.must(200)
    [file] = said["output"]["images"]
    assert said == {
        "id": queued["request_id"],
        "modelEndpoint": "acme/model",
        "status": "COMPLETED",
        "output": {"images": [file], "seed": 7},
        "input": {"text": "a", "more": [1, {"b": None}]},
        "createdAt": "2026-11-21T12:00:00.900Z",
        "updatedAt": "2026-11-21T12:00:02.900Z",
        "inferenceTime": 1800,
        "delayTime": 200,
        "logs": "one\ntwo",
        "error": None,
        "metadata": {},
        "billingStatus": "charged",
        "payloadsPurgedAt": None,
    }
    assert (file["content_type"], file["file_name"], file["file_size"]) == ("image/png", "made.png", len(PNG))
    assert file["url"].startswith(f"{acme.base}/media/")
    assert fetch(file["url"]).body == PNG
    assert answer.headers["x-modelrunner-request-id"] == queued["request_id"]
    assert acme.call("GET", f"/requests/{queued['request_id']}").must(200) == said


@pytest.mark.statement("MR-29")
def test_what_the_server_could_not_carry_out_is_a_failed_status_of_400(acme: ModelRunner, house: House) -> None:
    def crash(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        raise OSError

    house.models["acme/model"] = crash
    queued = acme.submit()
    for _ in range(20):
        house.work()
        house.clock.advance(timedelta(hours=1))

    for url in (queued["status_url"], queued["response_url"]):
        said = envelope(acme.call("GET", url), 400)
        assert said["status"] == "FAILED"
        assert said["request_id"] == queued["request_id"]
        assert said["error"].startswith("the run could not be carried out")
    status = acme.call("GET", queued["status_url"]).json()
    assert {"response_url", "status_url", "cancel_url", "queue_position", "logs"} <= set(status)


def test_a_models_own_failure_is_a_completed_request_without_output(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = broken
    queued = acme.submit()
    house.work()

    status = acme.call("GET", queued["status_url"]).must(200)
    assert (status["status"], status["error"]) == ("COMPLETED", "the picture shows nothing")
    said = envelope(acme.call("GET", queued["response_url"]), 422)
    assert said["details"] == {"code": "INVALID_OUTPUT", "validationErrors": []}
    assert (said["output"], said["billingStatus"], said["error"]) == ({}, "failed", "the picture shows nothing")


@pytest.mark.statement("MR-29", "MR-33")
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_cancelling_answers_the_status_envelope_and_ends_a_queued_request(
    acme: ModelRunner, house: House, method: str
) -> None:
    house.models["acme/model"] = nothing
    queued = acme.submit()

    answer = acme.call(method, queued["cancel_url"])

    said = answer.must(200)
    assert (said["status"], said["request_id"]) == ("CANCELLED", queued["request_id"])
    assert {"response_url", "status_url", "cancel_url", "queue_position", "logs"} <= set(said)
    house.work()
    for url in (queued["status_url"], queued["response_url"]):
        assert envelope(acme.call("GET", url), 400)["status"] == "CANCELLED"


def test_cancelling_a_running_request_ends_it(acme: ModelRunner, house: House) -> None:
    def endless(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        assert acme.call("PUT", queued["cancel_url"]).must(200)["status"] == "IN_PROGRESS"
        while not context.cancelled():
            pass
        raise RunCancelledError

    house.models["acme/model"] = endless
    queued = acme.submit()
    house.work()

    assert envelope(acme.call("GET", queued["status_url"]), 400)["status"] == "CANCELLED"


@pytest.mark.statement("MR-33")
def test_cancelling_a_completed_request_changes_nothing(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = nothing
    queued = acme.submit()
    house.work()

    assert acme.call("PUT", queued["cancel_url"]).must(200)["status"] == "COMPLETED"

    assert acme.call("GET", queued["response_url"]).status == 200


@pytest.mark.statement("MR-31")
def test_metadata_comes_back_with_the_result_and_never_reaches_the_model(acme: ModelRunner, house: House) -> None:
    seen: list[object] = []

    def curious(inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        seen.append(dict(inputs))
        return {}

    house.models["acme/model"] = curious
    metadata = {f"key-{n:02}": "v" for n in range(14)} | {"k" * 64: "v" * 512, "ü": ""}
    queued = acme.submit(body={"text": "a", "metadata": metadata})
    house.work()

    result = acme.call("GET", queued["response_url"]).must(200)

    assert result["metadata"] == metadata
    assert result["input"] == {"text": "a"}
    assert seen == [{"text": "a"}]


@pytest.mark.statement("MR-31")
def test_other_metadata_is_refused(acme: ModelRunner) -> None:
    wrong: list[object] = [
        {str(n): "v" for n in range(17)},
        {"k" * 65: "v"},
        {"": "v"},
        {"k": "v" * 513},
        {"k": 7},
        {"k": None},
        {"k": {"nested": "v"}},
        ["k"],
        "k",
        None,
    ]

    for metadata in wrong:
        found = issues(acme.call("POST", "/acme/model", {"text": "a", "metadata": metadata}))
        assert all(path.startswith("metadata") for path in found), metadata


@pytest.mark.statement("MR-34")
def test_an_unknown_model_is_404(acme: ModelRunner) -> None:
    said = envelope(acme.call("POST", "/acme/unknown", {"text": "a"}), 404)

    assert said["details"] == {"code": "MODEL_NOT_FOUND"}


@pytest.mark.statement("MR-34")
@pytest.mark.statement("MR-40")
def test_a_strangers_request_looks_like_an_unknown_one(acme: ModelRunner, rival: ModelRunner, house: House) -> None:
    house.models["acme/model"] = nothing
    queued = acme.submit()
    unknown = "A" * 20 + "B"

    def seen(request_id: str) -> list[tuple[int, Any]]:
        url = f"/acme/model/requests/{request_id}"
        answers = [
            rival.call("GET", f"/requests/{request_id}"),
            rival.call("GET", url),
            rival.call("GET", f"{url}/status"),
            rival.call("PUT", f"{url}/cancel"),
        ]
        bodies = [envelope(answer, 404) for answer in answers]
        return [(answer.status, {**body, "request_id": ""}) for answer, body in zip(answers, bodies, strict=True)]

    assert seen(queued["request_id"]) == seen(unknown)
    house.work()
    assert seen(queued["request_id"]) == seen(unknown)
    assert acme.call("GET", queued["response_url"]).status == 200


def test_a_request_is_not_found_under_another_model(acme: ModelRunner) -> None:
    queued = acme.submit()

    envelope(acme.call("GET", f"/acme/strict/requests/{queued['request_id']}/status"), 404)


@pytest.mark.parametrize("request_id", ["short", "A" * 22, "A" * 20 + "%2e", "A" * 20 + "~"])
def test_a_malformed_request_id_is_400(acme: ModelRunner, request_id: str) -> None:
    assert issues(acme.call("GET", f"/requests/{request_id}")) == {"request_id": "custom"}


@pytest.mark.statement("MR-39")
def test_bodies_and_types_that_sdks_send_needlessly_are_accepted(acme: ModelRunner) -> None:
    queued = acme.submit()

    got = acme.call("GET", queued["status_url"], Content_Type="application/json")
    cancelled = acme.call("PUT", queued["cancel_url"], Content_Length="0", Content_Type="application/json")

    assert (got.status, cancelled.status) == (200, 200)


@pytest.mark.parametrize(
    ("model", "endpoint"),
    [
        ("acme/model/deeper", "acme/model"),
        ("workflows/acme/flow", "workflows/acme/flow"),
        ("comfy/acme/graph", "comfy/acme/graph"),
    ],
)
def test_namespaces_and_deeper_paths_are_found_as_the_sdks_look_for_them(
    acme: ModelRunner, house: House, model: str, endpoint: str
) -> None:
    house.models[model] = nothing
    queued = acme.submit(model)
    house.work()

    assert queued["response_url"] == f"{acme.base}/{endpoint}/requests/{queued['request_id']}"
    assert acme.call("GET", queued["status_url"]).must(200)["status"] == "COMPLETED"
    assert acme.call("GET", queued["response_url"]).must(200)["modelEndpoint"] == model


@pytest.mark.parametrize("owner", ["storage", "requests", "webhooks", "media", "files", "tokens", "proxy"])
def test_a_reserved_first_segment_is_no_models_owner(acme: ModelRunner, owner: str) -> None:
    said = envelope(acme.call("POST", f"/{owner}/some/model", {"text": "a"}), 404)

    assert said["details"] == {"code": "NOT_FOUND"}


@pytest.mark.statement("MR-43")
@pytest.mark.parametrize("field", ["image", "image_url", "image_path", "init_image"])
def test_a_file_url_is_an_input_straight_after_the_put(acme: ModelRunner, house: House, field: str) -> None:
    house.models["acme/model"] = digest
    content = PNG + bytes(range(256)) * 4000
    begun = acme.initiate("big.octet", "application/octet-stream")
    put(begun["upload_url"], content, "application/octet-stream")

    queued = acme.submit(body={field: begun["file_url"]})
    house.work()

    result = acme.call("GET", queued["response_url"]).must(200)
    assert result["output"] == {"sha256": hashlib.sha256(content).hexdigest(), "type": "image/png"}
    assert result["input"] == {field: begun["file_url"]}


@pytest.mark.parametrize("state", ["no bytes yet", "never issued"])
def test_a_file_url_without_bytes_is_404_and_nothing_is_queued(acme: ModelRunner, state: str) -> None:
    begun = acme.initiate()
    url = begun["file_url"] if state == "no bytes yet" else f"{acme.base}/media/{'0' * 32}-input.png"

    said = envelope(acme.call("POST", "/acme/model", {"image_url": url}), 404)

    assert said["details"] == {"code": "FILE_NOT_FOUND"}
    assert acme.submit()["queue_position"] == 0


def test_a_file_url_of_another_account_can_be_used(acme: ModelRunner, rival: ModelRunner, house: House) -> None:
    house.models["acme/model"] = digest

    queued = rival.submit(body={"image": acme.upload()})
    house.work()

    output = rival.call("GET", queued["response_url"]).must(200)["output"]
    assert output["sha256"] == hashlib.sha256(PNG).hexdigest()


def test_a_file_of_another_server_is_fetched_before_the_request_begins(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = digest
    with remote_server() as remote:
        remote.on("/cat.png", serving(PNG))
        queued = acme.submit(body={"image_path": remote.url("/cat.png")})
        lost = acme.submit(body={"image_path": remote.url("/nothing.png")})
        house.work()

    output = acme.call("GET", queued["response_url"]).must(200)["output"]
    assert output["sha256"] == hashlib.sha256(PNG).hexdigest()
    failed = acme.call("GET", lost["status_url"]).must(400)
    assert failed["status"] == "FAILED"
    assert failed["error"].endswith("answered 404 (Not Found)")


def test_a_url_that_is_never_fetched_is_refused_under_the_name_that_was_used(acme: ModelRunner) -> None:
    answer = acme.call("POST", "/acme/model", {"image_path": "https://10.0.0.1/cat.png"})

    assert issues(answer) == {"image_path": "custom"}
    assert answer.json()["message"].startswith("Validation failed: image_path: ")


def test_a_wrong_input_names_each_field(acme: ModelRunner) -> None:
    assert issues(acme.call("POST", "/acme/strict", {"imago": "x"})) == {
        "image": "invalid_type",
        "imago": "unrecognized_keys",
    }


def test_store_io_has_six_values(acme: ModelRunner) -> None:
    for value in ("0", "1", "true", "false", "TRUE", "FALSE"):
        assert acme.call("POST", "/acme/model", {}, X_Modelrunner_Store_IO=value).status == 201
    for value in ("", "2", "True", "yes", "off"):
        answer = acme.call("POST", "/acme/model", {}, X_Modelrunner_Store_IO=value)
        assert issues(answer) == {"X-Modelrunner-Store-IO": "custom"}


def test_priority_and_hints_change_nothing(acme: ModelRunner) -> None:
    headers = {
        "x-modelrunner-queue-priority": "low",
        "x-modelrunner-hint": "gpu-7",
        "x-modelrunner-runner-hint": "gpu-7",
    }

    assert acme.call("POST", "/acme/model", {}, **headers).status == 201


def test_outputs_live_as_long_as_asked_from_the_end_of_the_request(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = picture
    lifetime = json.dumps({"expiration_duration_seconds": 60})
    mortal = acme.call("POST", "/acme/model", {}, **{LIFECYCLE: lifetime}).must(201)
    lasting = acme.submit()
    house.clock.advance(timedelta(hours=3))
    house.work()
    urls = [acme.call("GET", run["response_url"]).json()["output"]["images"][0]["url"] for run in (mortal, lasting)]

    house.clock.advance(timedelta(seconds=59))
    assert [fetch(url).status for url in urls] == [200, 200]
    house.clock.advance(timedelta(seconds=5))
    assert [fetch(url).status for url in urls] == [404, 200]

    [gone] = acme.call("GET", mortal["response_url"]).must(200)["output"]["images"]
    assert gone == {"url": None}


def test_a_lifetime_of_outputs_outside_the_bounds_is_refused(acme: ModelRunner) -> None:
    answer = acme.call("POST", "/acme/model", {}, **{LIFECYCLE: json.dumps({"expiration_duration_seconds": 59})})

    assert issues(answer) == {LIFECYCLE: "custom"}


def test_an_account_without_balance_gets_402_and_nothing_is_queued(acme: ModelRunner, house: House) -> None:
    poor = replace(acme, key=house.create_key("poor", credits_usd="0.015"))
    assert poor.call("POST", "/acme/model", {}).status == 201

    envelope(poor.call("POST", "/acme/model", {}), 402)

    assert acme.submit()["queue_position"] == 1


@pytest.mark.statement("MR-23")
def test_every_route_needs_a_key(acme: ModelRunner) -> None:
    identifier = "A" * 21
    routes = [
        ("POST", "/storage/upload/initiate"),
        ("POST", "/storage/upload/initiate-multipart"),
        ("GET", "/storage/upload/multipart-url"),
        ("POST", "/storage/upload/complete"),
        ("POST", "/acme/model"),
        ("GET", f"/requests/{identifier}"),
        ("GET", f"/acme/model/requests/{identifier}"),
        ("GET", f"/acme/model/requests/{identifier}/status"),
        ("GET", f"/acme/model/requests/{identifier}/cancel"),
        ("PUT", f"/acme/model/requests/{identifier}/cancel"),
        ("GET", f"/acme/model/requests/{identifier}/status/stream"),
        ("DELETE", f"/acme/model/requests/{identifier}/payloads"),
        ("DELETE", f"/requests/{identifier}/payloads"),
        ("POST", "/acme/model/stream"),
        ("GET", "/requests"),
        ("GET", "/requests/stream"),
        ("GET", "/files"),
        ("DELETE", f"/files/{identifier}"),
        ("GET", "/webhooks/default/secret"),
        ("POST", "/webhooks/default/secret/rotate"),
        ("GET", "/webhooks/deliveries"),
        ("POST", f"/webhooks/deliveries/{identifier}/replay"),
    ]
    wrong = [
        None,
        "",
        "Key",
        "Key ",
        f"Bearer {acme.key}",
        acme.key,
        f"Key {acme.key}x",
        f"Key {acme.key[:-1]}",
        "Key é",
    ]

    for method, path in routes:
        body = b'{"file_name": "a.png", "content_type": "image/png"}' if method == "POST" else None
        for authorization in wrong:
            headers = {} if authorization is None else {"Authorization": authorization}
            answer = exchange(method, acme.base + path, body, headers=headers)
            assert envelope(answer, 401)["details"] == {"code": "UNAUTHENTICATED"}, (method, path)
            assert answer.headers["www-authenticate"] == "Key"


def test_a_key_with_a_colon_works(acme: ModelRunner, house: House) -> None:
    house.accounts.import_key("acme", (), "key-id:key-secret")

    assert replace(acme, key="key-id:key-secret").call("POST", "/acme/model", {}).status == 201


@pytest.mark.statement("MR-24")
def test_every_refusal_wears_the_envelope(acme: ModelRunner) -> None:
    refusals = [
        (acme.call("GET", "/acme/model"), 405),
        (acme.call("DELETE", "/storage/upload/initiate"), 405),
        (acme.call("GET", "/webhooks/default/nothing"), 404),
        (acme.call("GET", "/storage/upload/nothing"), 404),
        (acme.call("GET", "/acme"), 405),
        (acme.call("POST", "/acme/model", b"{"), 400),
        (acme.call("POST", "/acme/model", b'{"text": "' + b"x" * 17 * 2**20 + b'"}'), 413),
        (acme.call("POST", "/acme/model", {"text": "x" * 21}), 400),
        (acme.call("POST", "/", {}), 404),
        (replace(acme, key="nobody").call("POST", "/acme/model", {}), 401),
    ]

    for answer, status in refusals:
        envelope(answer, status)
    assert refusals[0][0].headers["allow"] == "POST"


def test_only_a_models_input_may_be_large(acme: ModelRunner) -> None:
    inline = "data:text/plain;base64," + "YWJj" * 2**17
    acme.call("POST", "/acme/model", {"image_url": inline}).must(201)

    answer = acme.call("POST", "/storage/upload/initiate", {"file_name": inline, "content_type": "image/png"})

    assert answer.status == 413
    assert answer.json()["details"]["code"] == "BODY_TOO_LARGE"
