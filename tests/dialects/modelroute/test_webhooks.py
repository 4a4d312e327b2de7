"""Webhooks: endpoints that hear of every execution, and an execution's own `webhook_url`."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.domain.errors import RunnerFailed
from penstock.ports.runners import OutputFile
from tests.dialects.modelroute.client import PNG, ModelRoute, envelope, stamp, wrong_fields
from tests.support.pages import blocks
from tests.support.remote import Remote, remote_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.house import House
    from tests.support.remote import Visit

ENDPOINTS = "/v1/webhooks/endpoints"
UNKNOWN = "wh_0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11"
WORST = 1.1  # a delay may be a tenth longer


@pytest.fixture
def receiver() -> Iterator[Remote]:
    with remote_server() as running:
        running.on("/hook", lambda visit: visit.answer("200 OK"))
        yield running


def picture(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    path = context.workdir / "made.png"
    path.write_bytes(PNG)
    return {"image": OutputFile(path=path, name="made.png", content_type="image/png")}


def broken(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunnerFailed("the picture shows nothing")


def is_genuine() -> Callable[[str, Mapping[str, str], bytes], bool]:
    """The check as our page has it."""
    [code] = [block.code for block in blocks("dialects/modelroute.md") if "def is_genuine" in block.code]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own page's example
    found: Callable[[str, Mapping[str, str], bytes], bool] = names["is_genuine"]
    return found


def add(api: ModelRoute, url: str, **wanted: object) -> Any:  # noqa: ANN401 - JSON
    return api.call("POST", ENDPOINTS, {"url": url, **wanted}).must(201)


def verified(visit: Visit, secret: str) -> Any:  # noqa: ANN401 - JSON
    """The payload of a delivery whose signature verifies as webhooks/overview has it."""
    signed = f"{visit.headers['x-signature-timestamp']}.".encode() + visit.body
    assert visit.headers["x-signature"] == hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert is_genuine()(secret, visit.headers, visit.body)
    return json.loads(visit.body)


@pytest.mark.statement("MO-28")
def test_an_endpoint_hears_signed_of_the_start_and_the_end(house: House, acme: ModelRoute, receiver: Remote) -> None:
    endpoint = add(acme, receiver.url("/hook"), headers={"X-Tenant": "7", "X-Signature": "forged"})
    house.models["acme/model"] = picture
    now = house.clock.now()
    execution_id = acme.execute({})["id"]
    house.work()

    told = {event["event_type"]: event for event in (verified(visit, endpoint["secret"]) for visit in receiver.visits)}
    done = told["execution.completed"]
    execution = acme.execution(execution_id)
    assert set(told) == {"execution.started", "execution.completed"}
    assert re.fullmatch(r"evt_\S+", done["id"])
    assert done["id"] != told["execution.started"]["id"]
    assert done["organization_id"].startswith("org_")
    assert {name: done[name] for name in ("type", "timestamp", "version", "execution_id")} == {
        "type": "execution.completed",
        "timestamp": stamp(now),
        "version": "1.0",
        "execution_id": execution_id,
    }
    assert done["data"] == {
        "id": execution_id,
        "status": "COMPLETED",
        "model": "acme/model",
        "cost": "40.040",
        "latency_ms": done["data"]["latency_ms"],
        "result": execution["result"],
        "created_at": execution["created_at"],
        "completed_at": execution["completed_at"],
    }
    assert told["execution.started"]["data"] == {
        "id": execution_id,
        "status": "PROCESSING",
        "model": "acme/model",
        "created_at": execution["created_at"],
    }
    visit = receiver.visits[0]
    assert (visit.method, visit.headers["user-agent"], visit.headers["x-tenant"]) == (
        "POST",
        "ModelRoute-Webhooks/1.0",
        "7",
    )
    assert visit.headers["content-type"] == "application/json"


@pytest.mark.statement("MO-28", part="webhook_url")
def test_the_url_of_an_execution_is_told_its_end_and_tried_five_times_more(
    house: House, acme: ModelRoute, receiver: Remote
) -> None:
    receiver.on("/hook", lambda visit: visit.answer("500 No"))
    assert not is_genuine()("whsec_x", {"x-signature-timestamp": "1", "x-signature": "0" * 64}, b"{}")
    body = {"model": "acme/model", "input": {}, "webhook_url": receiver.url("/hook?token=t")}
    execution_id = acme.call("POST", "/v1/executions", body).must(202)["id"]
    house.work()

    for attempts, minutes in enumerate((2, 4, 8, 16, 30), 1):
        house.clock.advance(timedelta(minutes=minutes) - timedelta(seconds=1))
        house.work()
        assert len(receiver.visits) == attempts
        house.clock.advance(timedelta(minutes=minutes) * (WORST - 1) + timedelta(seconds=1))
        house.work()
        assert len(receiver.visits) == attempts + 1
    house.clock.advance(timedelta(hours=24))
    house.work()

    assert len(receiver.visits) == 6
    assert len({visit.body for visit in receiver.visits}) == 1
    secret = acme.call("GET", "/v1/webhooks/secret").must(200)["secret"]
    assert {verified(visit, secret)["execution_id"] for visit in receiver.visits} == {execution_id}
    assert verified(receiver.visits[0], secret)["event_type"] == "execution.completed"
    assert receiver.visits[0].target == "/hook?token=t"
    assert len({visit.headers["x-signature-timestamp"] for visit in receiver.visits}) == 6


def test_an_endpoint_hears_what_it_asked_for_and_nobody_elses(
    house: House, acme: ModelRoute, rival: ModelRoute, receiver: Remote
) -> None:
    add(acme, receiver.url("/hook"), events=["execution.failed", "execution.cancelled", "execution.failed"])
    house.models["acme/model"] = broken
    failed, cancelled = acme.execute({})["id"], acme.execute({})["id"]
    acme.call("POST", f"/v1/executions/{cancelled}/cancel").must(200)
    rival.execute({})
    house.work()

    told = [json.loads(visit.body) for visit in receiver.visits]

    assert {(event["event_type"], event["execution_id"], event["data"]["status"]) for event in told} == {
        ("execution.failed", failed, "FAILED"),
        ("execution.cancelled", cancelled, "CANCELLED"),
    }
    [error] = [event["data"]["error"] for event in told if event["execution_id"] == failed]
    assert error == {"code": "GENERATION_FAILED", "message": "the picture shows nothing"}


def test_ten_failures_in_a_row_turn_an_endpoint_off_until_it_is_turned_on(
    house: House, acme: ModelRoute, receiver: Remote
) -> None:
    receiver.on("/hook", *[lambda visit: visit.answer("500 No")] * 11, lambda visit: visit.answer("200 OK"))
    endpoint = add(acme, receiver.url("/hook"), events=["execution.completed"])
    place = f"{ENDPOINTS}/{endpoint['id']}"

    for _ in range(2):
        acme.execute({})
    for _ in range(6):
        house.work()
        house.clock.advance(timedelta(minutes=40))
    [off] = acme.call("GET", ENDPOINTS).must(200)["endpoints"]
    assert (off["is_active"], off["failure_count"], off["last_success"]) == (False, 10, None)
    assert len(receiver.visits) == 10

    on = acme.call("PATCH", place, {"is_active": True}).must(200)
    assert (on["is_active"], on["failure_count"]) == (True, 0)
    acme.call("POST", f"{place}/test").must(200)
    house.work()
    house.clock.advance(timedelta(minutes=3))
    house.work()
    [known] = acme.call("GET", ENDPOINTS).must(200)["endpoints"]
    assert (known["is_active"], known["failure_count"]) == (True, 0)
    assert known["last_success"] is not None


def test_an_endpoint_is_shown_with_its_secret_once_and_changed_and_removed(
    house: House, acme: ModelRoute, receiver: Remote
) -> None:
    url = receiver.url("/hook")
    made = add(acme, url, description="ours", events=["execution.completed"])
    secret = made.pop("secret")
    place = f"{ENDPOINTS}/{made['id']}"

    assert re.fullmatch(r"wh_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["id"])
    assert secret.startswith("whsec_")
    assert made == {
        "id": made["id"],
        "url": url,
        "description": "ours",
        "events": ["execution.completed"],
        "headers": {},
        "is_active": True,
        "created_at": stamp(house.clock.now()),
        "failure_count": 0,
        "last_success": None,
    }
    assert acme.call("GET", ENDPOINTS).must(200) == {"endpoints": [made]}
    changed = acme.call("PATCH", place, {"events": [], "headers": {"X-A": "b"}, "is_active": False}).must(200)
    assert changed == {**made, "events": [], "headers": {"X-A": "b"}, "is_active": False}
    sent = acme.call("POST", f"{place}/test").must(200)
    house.work()
    assert verified(receiver.visits[0], secret) | {"timestamp": "", "organization_id": ""} == {
        "id": sent["event_id"],
        "event_type": "webhook.test",
        "type": "webhook.test",
        "timestamp": "",
        "version": "1.0",
        "organization_id": "",
        "data": {"endpoint_id": made["id"]},
    }
    assert sent["event_type"] == "webhook.test"
    assert acme.call("DELETE", place).must(204) is None
    assert acme.call("GET", ENDPOINTS).must(200) == {"endpoints": []}
    envelope(acme.call("DELETE", place), 404, "NOT_FOUND")


def test_an_unknown_endpoint_and_anothers_look_alike(acme: ModelRoute, rival: ModelRoute, receiver: Remote) -> None:
    theirs = add(rival, receiver.url("/hook"))["id"]

    for endpoint_id in (UNKNOWN, "wh_x", "nothing", theirs):
        place = f"{ENDPOINTS}/{endpoint_id}"
        answers = [acme.call("PATCH", place, {}), acme.call("DELETE", place), acme.call("POST", f"{place}/test")]
        for answer in answers:
            said = envelope(answer, 404, "NOT_FOUND")
            assert endpoint_id not in said["message"]
    assert acme.call("GET", ENDPOINTS).must(200) == {"endpoints": []}
    assert len(rival.call("GET", ENDPOINTS).must(200)["endpoints"]) == 1


def test_what_cannot_be_told_anybody_is_refused_by_its_field(acme: ModelRoute, receiver: Remote) -> None:
    good = receiver.url("/hook")
    forbidden = ("http://hooks.example.com/x", "https://10.0.0.1/x", "ftp://hooks.example.com/x", "hook", "")
    cases: list[tuple[dict[str, object], dict[str, str]]] = [
        ({}, {"url": "REQUIRED"}),
        ({"url": 7}, {"url": "INVALID_TYPE"}),
        ({"url": good, "events": ["execution.expired"]}, {"events.0": "INVALID_VALUE"}),
        ({"url": good, "events": "execution.failed"}, {"events": "INVALID_TYPE"}),
        ({"url": good, "headers": {"Host": "elsewhere"}}, {"headers.Host": "INVALID_VALUE"}),
        ({"url": good, "headers": {"X-A": "b\r\nX-C: d"}}, {"headers.X-A": "INVALID_VALUE"}),
        ({"url": good, "description": "x" * 1001}, {"description": "OUT_OF_RANGE"}),
    ]

    told = [wrong_fields(acme.call("POST", ENDPOINTS, body)) for body, _ in cases]

    assert told == [wrong for _, wrong in cases]
    for url in forbidden:
        assert wrong_fields(acme.call("POST", ENDPOINTS, {"url": url})) == {"url": "INVALID_VALUE"}
        body = {"model": "acme/model", "input": {}, "webhook_url": url}
        assert wrong_fields(acme.call("POST", "/v1/executions", body)) == {"webhook_url": "INVALID_VALUE"}
    assert acme.native("GET", "/runs").must(200)["data"] == []


def test_a_key_for_executions_alone_has_no_webhooks(house: House, acme: ModelRoute) -> None:
    scopes = ("files:read", "files:write", "runs:read", "runs:write")
    limited = ModelRoute(base=acme.base, key=house.create_key("executions", scopes=scopes))

    limited.execute({"image": limited.upload()})
    for method, path in (
        ("POST", ENDPOINTS),
        ("GET", ENDPOINTS),
        ("PATCH", f"{ENDPOINTS}/{UNKNOWN}"),
        ("DELETE", f"{ENDPOINTS}/{UNKNOWN}"),
        ("POST", f"{ENDPOINTS}/{UNKNOWN}/test"),
        ("GET", "/v1/webhooks/secret"),
    ):
        body = {"url": "https://hooks.example.com/x"} if method in {"POST", "PATCH"} else None
        envelope(limited.call(method, path, body), 403, "FORBIDDEN")
