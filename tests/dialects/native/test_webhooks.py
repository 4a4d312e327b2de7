"""Callbacks of the native API, on a real server: to the run's own receiver and to the account's endpoints."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.native import problem
from tests.support.remote import Remote, Visit, remote_server
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.native import Native
    from tests.support.server import Server

CUT_OUT = "builtin/remove-background"


@pytest.fixture
def receiver() -> Iterator[Remote]:
    with remote_server() as running:
        running.on("/hook", lambda visit: visit.answer("200 OK"))
        running.on("/mine", lambda visit: visit.answer("200 OK"))
        yield running


def verified(visit: Visit, secret: str) -> Any:  # noqa: ANN401 - JSON
    """The body of a delivery that bears the secret's signature (Standard Webhooks)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{visit.headers['webhook-id']}.{visit.headers['webhook-timestamp']}.".encode() + visit.body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert f"v1,{expected}" in visit.headers["webhook-signature"].split(" ")
    return json.loads(visit.body)


def told(receiver: Remote, path: str, count: int) -> list[Visit]:
    """The first so many visits of a path, once they have come."""

    def came() -> list[Visit]:
        return [visit for visit in list(receiver.visits) if visit.target == path]

    wait_until(lambda: len(came()) >= count, f"{count} visits of {path}")
    return came()


def test_a_run_tells_its_receiver_and_the_accounts_endpoints(
    server: Server, alice: Native, receiver: Remote, photo: bytes
) -> None:
    endpoint = alice.post(
        "/webhook-endpoints", {"url": receiver.url("/mine"), "description": "mine", "headers": {"X-Tenant": "7"}}
    ).must(201)
    asset = alice.upload(photo)
    asked = {"model": CUT_OUT, "input": {"image": asset["id"]}, "callback_url": receiver.url("/hook?token=7f3a")}
    run = alice.finished(alice.post("/runs", asked).must(201)["id"])

    (own,) = told(receiver, "/hook?token=7f3a", 1)
    secret = alice.get("/webhook-secret").must(200)["secret"]
    said = verified(own, secret)
    assert (said["event"], said["run"]["id"], said["run"]["output"]) == ("run.succeeded", run["id"], run["output"])
    assert said["id"].removeprefix("delivery_") == own.headers["webhook-id"].replace("-", "")
    both = told(receiver, "/mine", 2)
    events = {verified(visit, endpoint["secret"])["event"]: visit for visit in both}
    assert set(events) == {"run.started", "run.succeeded"}
    assert verified(events["run.started"], endpoint["secret"])["run"]["state"] == "running"
    assert {visit.headers["x-tenant"] for visit in both} == {"7"}

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = alice.get(f"/webhook-deliveries?run_id={run['id']}&state=delivered").must(200)[
            "data"
        ]
        return found

    wait_until(lambda: len(listed()) == 3, "three deliveries")
    (kept,) = [one for one in listed() if one["endpoint_id"] is None]
    full = alice.get(f"/webhook-deliveries/{kept['id']}").must(200)
    assert full["body"].encode() == own.body
    assert [(one["number"], one["status"], one["error"]) for one in full["log"]] == [(1, 200, None)]
    again = alice.post(f"/webhook-deliveries/{kept['id']}/redeliver").must(200)
    assert again["state"] == "pending"
    first, second = told(receiver, "/hook?token=7f3a", 2)
    assert (second.body, second.headers["webhook-id"]) == (first.body, first.headers["webhook-id"])
    logged = server.log.read_text(encoding="utf-8")
    assert kept["id"].removeprefix("delivery_") in logged.replace("-", "")
    assert "token=7f3a" not in logged
    assert secret not in logged
    assert endpoint["secret"] not in logged


def test_an_endpoint_is_made_changed_tested_and_removed(alice: Native, receiver: Remote) -> None:
    made = alice.post(
        "/webhook-endpoints", {"url": "https://hooks.example.com/a", "events": ["run.failed"], "description": "a"}
    ).must(201)
    path = f"/webhook-endpoints/{made['id']}"
    old = made.pop("secret")
    assert alice.get(path).must(200) == made
    assert made in alice.get("/webhook-endpoints").must(200)["data"]

    changed = alice.call("PATCH", path, {"url": receiver.url("/mine"), "events": [], "active": False}).must(200)
    assert changed == {**made, "url": receiver.url("/mine"), "events": [], "active": False}
    new = alice.post(f"{path}/rotate-secret").must(200)["secret"]
    sent = alice.post(f"{path}/test").must(200)
    assert (sent["event"], sent["endpoint_id"], sent["run_id"]) == ("test", made["id"], None)
    (visit,) = told(receiver, "/mine", 1)
    assert verified(visit, old) == verified(visit, new)
    assert verified(visit, new)["id"] == sent["id"]
    alice.delete(path).must(204)
    problem(alice.get(path), 404, "endpoint_not_found")


def test_receivers_that_could_never_be_told_are_refused(alice: Native) -> None:
    for url in ("http://hooks.example.com/a", "https://10.0.0.1/a", "https://u:p@hooks.example.com/a", "nowhere"):
        answer = alice.post("/runs", {"model": CUT_OUT, "input": {}, "callback_url": url})
        assert [error["pointer"] for error in problem(answer, 422, "invalid_field")["errors"]] == ["#/callback_url"]
        answer = alice.post("/webhook-endpoints", {"url": url})
        assert [error["pointer"] for error in problem(answer, 422, "invalid_field")["errors"]] == ["#/url"]
    wrong: list[dict[str, Any]] = [
        {},
        {"url": 7},
        {"url": "https://a.example/", "events": ["run.lost"]},
        {"url": "https://a.example/", "headers": {"Host": "b"}},
        {"url": "https://a.example/", "headers": {"X-A": "b\r\nc"}},
        {"url": "https://a.example/", "secret": "mine"},
    ]
    for body in wrong:
        assert alice.post("/webhook-endpoints", body).status == 422, body


def test_a_rotation_gives_another_secret_for_receivers_of_runs(alice: Native) -> None:
    old = alice.get("/webhook-secret").must(200)["secret"]
    new = alice.post("/webhook-secret/rotate").must(200)["secret"]

    assert new != old
    assert alice.get("/webhook-secret").must(200)["secret"] == new
