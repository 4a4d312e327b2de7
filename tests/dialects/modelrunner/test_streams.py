"""Server-sent events: one request's status, a model's output, all requests of an account."""

from __future__ import annotations

import http.client
import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from penstock.ports.runners import RunImpossibleError
from tests.dialects.modelrunner.client import envelope
from tests.dialects.modelrunner.test_requests import broken, nothing, picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.house import House

Event = tuple[str | None, Any]


@contextmanager
def following(
    modelrunner: ModelRunner, path: str, method: str = "GET", body: object = None
) -> Iterator[tuple[http.client.HTTPResponse, Iterator[Event]]]:
    """An open stream: the head of its answer, and its events (name and data) as they come."""
    parts = urlsplit(path if path.startswith("http") else modelrunner.base + path)
    assert parts.hostname is not None
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)) as connection:
        content = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Key {modelrunner.key}", "Accept": "text/event-stream"}
        connection.request(method, f"{parts.path}?{parts.query}", content, headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield answer, _events(answer)


def _events(answer: http.client.HTTPResponse) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in answer:
        text = line.decode().rstrip("\n")
        if text and not text.startswith(":"):
            name, _, value = text.partition(": ")
            fields[name] = value
        elif not text and fields:
            yield fields.get("event"), json.loads(fields["data"])
            fields = {}


def talking(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    context.log("one")
    context.progress(0.5)
    context.log("two")
    return {}


def impossible(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunImpossibleError("no memory")


def test_the_status_is_told_as_it_changes_each_line_of_the_log_once(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = talking
    queued = acme.submit()

    with following(acme, f"{queued['status_url']}/stream?logs=1") as (answer, events):
        first = next(events)
        house.work()
        told = [first, *events]

    assert answer.headers["x-modelrunner-request-id"] == queued["request_id"]
    assert {name for name, _ in told} == {None}
    seen = [(said["status"], [line["message"] for line in said["logs"]]) for _, said in told]
    assert seen == [
        ("IN_QUEUE", []),
        ("IN_PROGRESS", []),
        ("IN_PROGRESS", ["one"]),
        ("IN_PROGRESS", ["two"]),
        ("COMPLETED", []),
    ]
    assert told[-1][1] == acme.call("GET", queued["status_url"]).must(200)


def test_without_logs_the_status_alone_is_told(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = talking
    queued = acme.submit()

    with following(acme, f"{queued['status_url']}/stream") as (_, events):
        house.work()
        assert [said["status"] for _, said in events] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


def test_a_finished_request_is_told_at_once_and_whole(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = talking
    queued = acme.submit()
    house.work()

    with following(acme, f"{queued['status_url']}/stream?logs=true") as (_, events):
        [(_, said)] = events

    assert (said["status"], [line["message"] for line in said["logs"]]) == ("COMPLETED", ["one", "two"])


@pytest.mark.parametrize("end", ["cancelled", "impossible"])
def test_the_last_event_says_that_a_request_came_to_nothing(acme: ModelRunner, house: House, end: str) -> None:
    house.models["acme/model"] = impossible
    queued = acme.submit()

    with following(acme, f"{queued['status_url']}/stream") as (_, events):
        if end == "cancelled":
            acme.call("PUT", queued["cancel_url"]).must(200)
        house.work()
        *_, (_, said) = events

    word = {"cancelled": "CANCELLED", "impossible": "FAILED"}[end]
    assert (said["status"], said["statusCode"]) == (word, 400)
    assert said["error"]


def test_a_stream_of_a_strangers_request_is_not_found(acme: ModelRunner, rival: ModelRunner) -> None:
    queued = acme.submit()
    path = f"requests/{queued['request_id']}/status/stream"

    envelope(rival.call("GET", f"/acme/model/{path}"), 404)
    envelope(acme.call("GET", f"/acme/strict/{path}"), 404)
    assert acme.call("GET", f"/acme/model/{path}", Authorization="Key nobody").status == 401


def test_streaming_a_model_answers_its_output_when_it_is_there(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = picture

    with following(acme, "/acme/model/stream", "POST", {"text": "a", "metadata": {"job": "7"}}) as (answer, events):
        house.work()
        [(_, said)] = events

    result = acme.call("GET", f"/requests/{answer.headers['x-modelrunner-request-id']}").must(200)
    assert said == result["output"]
    assert result["metadata"] == {"job": "7"}


def test_streaming_a_model_that_fails_answers_the_error(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = broken

    with following(acme, "/acme/model/stream", "POST", {}) as (_, events):
        house.work()
        [(_, said)] = events

    assert (said["statusCode"], said["error"]) == (422, "the picture shows nothing")
    envelope(acme.call("POST", "/acme/model/stream", {"text": "x" * 21}), 400)
    envelope(acme.call("POST", "/acme/unknown/stream", {}), 404)


def test_all_requests_of_an_account_are_followed_in_one_stream(
    acme: ModelRunner, rival: ModelRunner, house: House
) -> None:
    house.models["acme/model"] = nothing
    done = acme.submit()
    house.work()
    waiting = [acme.submit()["request_id"] for _ in range(2)]

    with following(acme, "/requests/stream") as (_, events):
        name, snapshot = next(events)
        assert name == "snapshot"
        assert [said["request_id"] for said in snapshot["requests"]] == waiting[::-1]
        assert {said["status"] for said in snapshot["requests"]} == {"IN_QUEUE"}

        rival.submit()
        later = acme.submit()["request_id"]
        update = next(events)
        assert (update[0], update[1]["request_id"], update[1]["status"]) == ("update", later, "IN_QUEUE")

        house.work()
        ended: dict[str, Any] = {}
        while len(ended) < 3:
            _, said = next(events)
            if said["status"] == "COMPLETED":
                ended[said["request_id"]] = said

    assert set(ended) == {*waiting, later}
    assert done["request_id"] not in ended
