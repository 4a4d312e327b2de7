"""Callbacks: one POST when a run has ended, signed once there is a secret, tried again and sent again as it was."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.dialects.runflow.callbacks import EVENTS, MOST_ATTEMPTS, PLAN
from penstock.domain.errors import RunnerFailed
from penstock.domain.runs import FINISHED
from tests.dialects.runflow.client import UNKNOWN, Runflow, envelope, wrong_fields
from tests.dialects.runflow.test_runs import picture
from tests.support.exchange import fetch
from tests.support.remote import Remote, remote_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.house import House


@pytest.fixture
def receiver() -> Iterator[Remote]:
    with remote_server() as running:
        running.on("/hook", lambda visit: visit.answer("200 OK"))
        yield running


def refuse(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunnerFailed("the picture shows nothing")


@pytest.mark.statement("RF-24")
def test_a_run_that_has_ended_is_told_once(acme: Runflow, house: House, receiver: Remote) -> None:
    house.models["acme/model"] = picture
    run = acme.run({}, callback_url=receiver.url("/hook?token=t"), metadata={"order": 7})
    assert run["callback_url"] == receiver.url("/hook?token=t")
    house.clock.advance(timedelta(seconds=1, milliseconds=840))
    house.work()
    [visit] = receiver.visits
    told = json.loads(visit.body)
    [made] = told["output"]["outputs"]
    assert fetch(made["url"]).status == 200
    house.clock.advance(timedelta(hours=5))
    house.work()

    assert len(receiver.visits) == 1
    assert (visit.method, visit.target, visit.headers["content-type"]) == ("POST", "/hook?token=t", "application/json")
    assert visit.headers["runflow-request-id"]
    assert "runflow-signature" not in visit.headers
    done = acme.look(run["id"])
    assert {**told, "output": None} == {
        "event": "run.completed",
        "run_id": run["id"],
        "status": "succeeded",
        "output": None,
        "duration_ms": 1840,
        "created_at": done["created_at"].replace("Z", told["created_at"][19:]),
        "completed_at": done["completed_at"].replace("Z", told["completed_at"][19:]),
        "metadata": {"order": 7},
    }
    assert told["created_at"].endswith("+00:00")
    assert (told["output"]["seed"], made["type"]) == (7, "image")


def test_failures_and_cancelled_runs_are_told_in_words_of_their_own(
    acme: Runflow, house: House, receiver: Remote
) -> None:
    house.models["acme/model"] = refuse
    acme.run({}, callback_url=receiver.url("/hook"))
    house.work()
    cancelled = acme.run({}, callback_url=receiver.url("/hook"))
    native = Runflow(base=acme.base.removesuffix("/runflow"), key=acme.key)
    native.call("POST", f"/v1/runs/run_{cancelled['id'].replace('-', '')}/cancel").must(200)
    house.work()

    failed, gone = (json.loads(visit.body) for visit in receiver.visits)

    assert (failed["event"], failed["status"]) == ("run.failed", "failed")
    assert failed["output"] == {"error": {"code": "MODEL_FAILED", "message": "the picture shows nothing"}}
    assert (gone["event"], gone["status"], gone["output"], gone["metadata"]) == (
        "run.cancelled",
        "cancelled",
        None,
        None,
    )
    assert set(EVENTS) == FINISHED


@pytest.mark.statement("RF-25")
def test_the_signature_verifies_over_the_raw_body_with_the_newest_secret(
    acme: Runflow, house: House, receiver: Remote
) -> None:
    first = acme.call("POST", "/v1/callback-secrets", {"label": "first"}).must(201)
    second = acme.call("POST", "/v1/callback-secrets").must(201)
    acme.run({}, callback_url=receiver.url("/hook"))
    house.work()

    [visit] = receiver.visits
    secret = second["plain_secret"]
    expected = hmac.new(secret.encode(), visit.body, hashlib.sha256).hexdigest()
    assert visit.headers["runflow-signature"] == expected
    assert secret.startswith("whsec_")
    assert (first["label"], first["is_current"]) == ("first", True)
    listed = acme.call("GET", "/v1/callback-secrets").must(200)["items"]
    assert [(one["id"], one["is_current"]) for one in listed] == [(second["id"], True), (first["id"], False)]
    assert not any("plain_secret" in one for one in listed)
    assert secret.startswith(listed[0]["key_prefix"])
    assert wrong_fields(acme.call("POST", "/v1/callback-secrets", {"label": "a" * 256})) == [["body", "label"]]


@pytest.mark.statement("RF-26")
def test_a_failing_receiver_is_tried_again_with_the_same_bytes_and_the_history_tells_it(
    acme: Runflow, rival: Runflow, house: House, receiver: Remote
) -> None:
    receiver.on("/hook", lambda visit: visit.answer("500 No", b"down"))
    run = acme.run({}, callback_url=receiver.url("/hook"))
    path = f"/v1/runs/{run['id']}/callback"
    assert acme.call("GET", path).must(200)["items"] == []
    house.work()
    for count, pause in enumerate(PLAN.delays, start=1):
        assert len(receiver.visits) == count
        [item] = acme.call("GET", path).must(200)["items"]
        assert item["next_attempt_at"] is not None
        house.clock.advance(pause * 1.1 + timedelta(seconds=1))
        house.work()
    house.clock.advance(timedelta(days=1))
    house.work()

    assert len(receiver.visits) == MOST_ATTEMPTS
    assert len({visit.body for visit in receiver.visits}) == 1
    [item] = acme.call("GET", path).must(200)["items"]
    assert item["payload"] == json.loads(receiver.visits[0].body)
    assert (item["run_id"], item["callback_url"]) == (run["id"], receiver.url("/hook"))
    assert (item["attempt_count"], item["max_attempts"], item["next_attempt_at"]) == (
        MOST_ATTEMPTS,
        MOST_ATTEMPTS,
        None,
    )
    assert [attempt["attempt_number"] for attempt in item["attempts"]] == [*range(1, MOST_ATTEMPTS + 1)]
    assert {(attempt["status_code"], attempt["response_body"]) for attempt in item["attempts"]} == {(500, "down")}
    envelope(rival.call("GET", path), 404, "RUN_NOT_FOUND")
    envelope(rival.call("POST", f"{path}-redeliveries"), 404, "RUN_NOT_FOUND")

    receiver.on("/hook", lambda visit: visit.answer("200 OK"))
    assert acme.call("POST", f"{path}-redeliveries").must(202)["id"] == item["id"]
    house.work()
    assert len(receiver.visits) == MOST_ATTEMPTS + 1
    assert receiver.visits[-1].body == receiver.visits[0].body
    assert acme.call("GET", path).must(200)["items"][0]["attempts"][-1]["status_code"] == 200


def test_a_receiver_that_will_never_be_posted_to_refuses_the_run(acme: Runflow) -> None:
    for wrong in ("https://10.0.0.1/hook", "ftp://example.com/hook", "https://a:b@example.com/", "words", ""):
        assert wrong_fields(acme.try_run({}, callback_url=wrong)) == [["body", "callback_url"]], wrong
    assert acme.run({}, callback_url=None)["callback_url"] is None


def test_a_run_without_a_callback_has_none_to_send_again(acme: Runflow, house: House) -> None:
    run = acme.run({})
    house.work()

    assert acme.call("GET", f"/v1/runs/{run['id']}/callback").must(200)["items"] == []
    envelope(acme.call("POST", f"/v1/runs/{run['id']}/callback-redeliveries"), 404, "NOT_FOUND")
    envelope(acme.call("GET", f"/v1/runs/{UNKNOWN}/callback"), 404, "RUN_NOT_FOUND")


def test_only_a_key_for_webhooks_says_what_signs_and_sends_again(acme: Runflow, house: House, receiver: Remote) -> None:
    runner = Runflow(base=acme.base, key=house.create_key("runner", scopes=("runs:read", "runs:write")))
    run = runner.run({}, callback_url=receiver.url("/hook"))
    house.work()

    envelope(runner.call("POST", "/v1/callback-secrets", {}), 403, "PERMISSION_DENIED")
    envelope(runner.call("POST", f"/v1/runs/{run['id']}/callback-redeliveries"), 403, "PERMISSION_DENIED")

    assert runner.call("GET", "/v1/callback-secrets").must(200)["items"] == []
    assert len(receiver.visits) == 1
