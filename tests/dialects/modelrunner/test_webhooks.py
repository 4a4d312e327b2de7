"""Webhooks: asked for with the request, signed by Standard Webhooks, retried after the product's schedule, replayed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.domain.errors import RunnerFailed
from tests.dialects.modelrunner.client import envelope, issues
from tests.support.remote import Remote, remote_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.house import House
    from tests.support.remote import Visit

DAY = timedelta(hours=24)


@pytest.fixture
def receiver() -> Iterator[Remote]:
    with remote_server() as running:
        running.on("/hook", lambda visit: visit.answer("200 OK"))
        yield running


def verify(visit: Visit, secret: str) -> Any:  # noqa: ANN401 - JSON
    """The guide's manual check; the payload."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{visit.headers['webhook-id']}.{visit.headers['webhook-timestamp']}.".encode() + visit.body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert f"v1,{expected}" in visit.headers["webhook-signature"].split(" ")
    return json.loads(visit.body)


@pytest.mark.statement("MR-32")
def test_a_webhook_is_echoed_and_an_unusable_one_refuses_the_request(acme: ModelRunner, receiver: Remote) -> None:
    hook = receiver.url("/hook")

    assert acme.submit(body={"webhook": hook})["webhook"] == hook
    said = acme.submit(body={"webhook": hook, "webhook_events_filter": ["start", "completed"]})
    assert (said["webhook"], said["webhook_events_filter"]) == (hook, ["start", "completed"])
    assert "webhook" not in acme.submit()

    refused: list[tuple[dict[str, object], str]] = [
        ({"webhook_events_filter": ["completed"]}, "webhook_events_filter"),
        ({"webhook": hook, "webhook_events_filter": ["output"]}, "webhook_events_filter"),
        ({"webhook": hook, "webhook_events_filter": []}, "webhook_events_filter"),
        ({"webhook": hook, "webhook_events_filter": "completed"}, "webhook_events_filter"),
        ({"webhook": hook, "webhook_events_filter": [1]}, "webhook_events_filter"),
        ({"webhook": "http://hooks.example.com/x"}, "webhook"),
        ({"webhook": "ftp://hooks.example.com/x"}, "webhook"),
        ({"webhook": "https://user:word@hooks.example.com/x"}, "webhook"),
        ({"webhook": "https://10.0.0.1/x"}, "webhook"),
        ({"webhook": "https://hooks.example.com/" + "x" * 2048}, "webhook"),
        ({"webhook": 7}, "webhook"),
    ]
    for body, field in refused:
        assert set(issues(acme.call("POST", "/acme/model", body))) == {field}, body


@pytest.mark.statement("MR-36")
def test_a_delivery_is_the_signed_result_and_is_retried_under_its_id(
    house: House, acme: ModelRunner, receiver: Remote
) -> None:
    house.models["acme/model"] = lambda _inputs, _context: {"text": "done"}
    receiver.on("/hook", lambda visit: visit.answer("500 No"), lambda visit: visit.answer("204 Thanks"))
    asked = {"text": "hi", "metadata": {"job": "7"}, "webhook": receiver.url("/hook?token=t")}
    request_id = acme.submit(body=asked)["request_id"]

    house.work()
    assert len(receiver.visits) == 1
    house.clock.advance(timedelta(seconds=4))
    house.work()
    assert len(receiver.visits) == 1
    house.clock.advance(timedelta(seconds=2))
    house.work()

    first, second = receiver.visits
    secret = acme.call("GET", "/webhooks/default/secret").must(200)["key"]
    result = acme.call("GET", f"/requests/{request_id}").must(200)
    assert verify(first, secret) == {"event": "completed", **result}
    assert result["billingStatus"] == "charged"
    assert (second.method, second.target, second.body) == ("POST", "/hook?token=t", first.body)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert second.headers["content-type"] == "application/json"
    verify(second, secret)
    house.clock.advance(DAY)
    house.work()
    assert len(receiver.visits) == 2


def test_both_events_and_failures_are_told(house: House, acme: ModelRunner, receiver: Remote) -> None:
    def fail(_inputs: object, _context: object) -> None:
        raise RunnerFailed("no face found")

    house.models["acme/model"] = fail
    asked = {"webhook": receiver.url("/hook"), "webhook_events_filter": ["start", "completed"]}
    acme.submit(body=asked)
    cancelled = acme.submit(body=asked)
    acme.call("PUT", cancelled["cancel_url"]).must(200)

    house.work()

    told = [json.loads(visit.body) for visit in receiver.visits]
    seen = sorted((t["event"], t["status"], t["billingStatus"], t["error"] or "") for t in told)
    assert seen == [
        ("completed", "CANCELLED", "failed", "the request was cancelled"),
        ("completed", "COMPLETED", "failed", "no face found"),
        ("start", "IN_PROGRESS", "pending", ""),
    ]


def test_a_large_input_is_left_out(house: House, acme: ModelRunner, receiver: Remote) -> None:
    house.models["acme/model"] = lambda _inputs, _context: {}
    acme.submit(body={"webhook": receiver.url("/hook"), "padding": "x" * 70_000})

    house.work()

    assert list(json.loads(receiver.visits[0].body)["input"]) == ["_elided"]


def test_ten_attempts_on_the_schedule_then_the_delivery_has_failed_and_can_be_replayed(
    house: House, acme: ModelRunner, rival: ModelRunner, receiver: Remote
) -> None:
    house.models["acme/model"] = lambda _inputs, _context: {}
    receiver.on("/hook", lambda visit: visit.answer("302 Found", Location=receiver.url("/elsewhere")))
    request_id = acme.submit(body={"webhook": receiver.url("/hook")})["request_id"]
    house.work()
    seconds = [5, 30, 120, 300, 600, 1200, 1800, 2700, 3600]
    for count, pause in enumerate(seconds, start=1):
        assert len(receiver.visits) == count
        house.clock.advance(timedelta(seconds=pause * 1.1 + 1))
        house.work()
    house.clock.advance(DAY)
    house.work()
    assert [visit.target for visit in receiver.visits] == ["/hook"] * 10

    (told,) = acme.call("GET", f"/webhooks/deliveries?requestId={request_id}&status=failed").must(200)["deliveries"]

    assert (told["attempts"], told["lastResponseStatus"], told["lastError"]) == (10, 302, None)
    assert acme.call("GET", "/webhooks/deliveries?status=delivered").must(200) == {"deliveries": []}
    assert acme.call("GET", "/webhooks/deliveries?event=start").must(200) == {"deliveries": []}
    assert rival.call("GET", "/webhooks/deliveries").must(200) == {"deliveries": []}
    envelope(rival.call("POST", f"/webhooks/deliveries/{told['id']}/replay"), 404)
    envelope(acme.call("POST", "/webhooks/deliveries/nothing/replay"), 404)
    assert set(issues(acme.call("GET", "/webhooks/deliveries?status=lost"))) == {"status"}
    assert set(issues(acme.call("GET", "/webhooks/deliveries?limit=0"))) == {"limit"}

    receiver.on("/hook", lambda visit: visit.answer("200 OK"))
    assert acme.call("POST", f"/webhooks/deliveries/{told['id']}/replay").must(200)["status"] == "pending"
    for word in ("pending", "delivering"):
        assert len(acme.call("GET", f"/webhooks/deliveries?status={word}").must(200)["deliveries"]) == 1
    house.work()

    assert receiver.visits[10].body == receiver.visits[0].body
    assert receiver.visits[10].headers["webhook-id"] == receiver.visits[0].headers["webhook-id"]
    assert acme.call("GET", "/webhooks/deliveries").must(200)["deliveries"][0]["status"] == "delivered"


def test_gone_ends_a_delivery_at_once(house: House, acme: ModelRunner, receiver: Remote) -> None:
    house.models["acme/model"] = lambda _inputs, _context: {}
    receiver.on("/hook", lambda visit: visit.answer("410 Gone"))
    acme.submit(body={"webhook": receiver.url("/hook")})
    house.work()
    house.clock.advance(DAY)
    house.work()

    assert len(receiver.visits) == 1
    assert acme.call("GET", "/webhooks/deliveries").must(200)["deliveries"][0]["status"] == "failed"


def test_after_a_rotation_both_secrets_sign_for_a_day(house: House, acme: ModelRunner, receiver: Remote) -> None:
    house.models["acme/model"] = lambda _inputs, _context: {}
    old = acme.call("GET", "/webhooks/default/secret").must(200)["key"]
    new = acme.call("POST", "/webhooks/default/secret/rotate").must(200)["key"]
    assert new != old
    assert acme.call("GET", "/webhooks/default/secret").must(200)["key"] == new

    acme.submit(body={"webhook": receiver.url("/hook")})
    house.work()
    house.clock.advance(DAY)
    acme.submit(body={"webhook": receiver.url("/hook")})
    house.work()

    during, after = receiver.visits
    verify(during, old)
    verify(during, new)
    assert len(after.headers["webhook-signature"].split(" ")) == 1
    verify(after, new)
