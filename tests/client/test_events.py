from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.client import ConnectionFailedError, NotFoundError
from tests.client.scripted_server import Answer, event, problem, stream

if TYPE_CHECKING:
    from penstock.client import Penstock
    from tests.client.scripted_server import ScriptedServer

PATH = "/v1/runs/run_1/events"
QUEUED = event(1, "run.queued")
STARTED = event(2, "run.started", attempt=1)
DONE = event(3, "run.succeeded")


def test_events_come_in_order_up_to_the_end(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PATH, stream(b": keep-alive\n\n", QUEUED, STARTED, DONE))

    told = list(client.events("run_1"))

    assert [(one.number, one.kind) for one in told] == [(1, "run.queued"), (2, "run.started"), (3, "run.succeeded")]
    assert told[1].data == {"attempt": 1}
    assert server.seen[0].headers["accept"] == "text/event-stream"
    assert "last-event-id" not in server.seen[0].headers


@pytest.mark.parametrize("cut", [stream(QUEUED, STARTED, hangs_up="halfway"), stream(QUEUED, STARTED)])
def test_a_stream_that_breaks_is_taken_up_after_the_last_event(
    client: Penstock, server: ScriptedServer, cut: Answer
) -> None:
    server.answer("GET", PATH, cut, stream(DONE))

    told = list(client.events("run_1"))

    assert [one.number for one in told] == [1, 2, 3]
    assert server.seen[1].headers["last-event-id"] == "2"


def test_an_event_that_comes_again_is_told_once(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PATH, stream(QUEUED, hangs_up="halfway"), stream(QUEUED, STARTED, STARTED, DONE))

    assert [one.number for one in client.events("run_1")] == [1, 2, 3]


def test_an_event_torn_in_the_middle_is_told_once_whole(client: Penstock, server: ScriptedServer) -> None:
    torn = stream(QUEUED, STARTED[:-20], hangs_up="halfway")
    server.answer("GET", PATH, torn, stream(STARTED, DONE))

    assert [one.number for one in client.events("run_1")] == [1, 2, 3]


def test_events_can_begin_after_a_known_one(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PATH, stream(DONE))

    assert [one.number for one in client.events("run_1", after=2)] == [3]
    assert server.seen[0].headers["last-event-id"] == "2"


def test_a_run_without_further_events_is_an_empty_stream(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PATH, Answer(status=204))

    assert list(client.events("run_1", after=3)) == []


def test_a_busy_server_is_asked_again(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PATH, problem(503, "unavailable"), stream(DONE))

    assert [one.number for one in client.events("run_1")] == [3]


def test_a_run_that_does_not_exist_is_not_asked_for_twice(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PATH, problem(404, "run_not_found"))

    with pytest.raises(NotFoundError):
        list(client.events("run_1"))

    assert len(server.seen) == 1


def test_a_stream_that_always_breaks_ends_in_an_error(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PATH, stream(QUEUED, hangs_up="halfway"))

    with pytest.raises(ConnectionFailedError):
        list(client.events("run_1"))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>", headers={"Content-Type": "text/html"}),
        stream(b"data: not json\n\n"),
    ],
)
def test_what_is_no_event_stream_is_an_error(client: Penstock, server: ScriptedServer, answer: Answer) -> None:
    server.answer("GET", PATH, answer)

    with pytest.raises(ConnectionFailedError):
        list(client.events("run_1"))


def test_a_server_that_has_no_more_events_ends_the_stream(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PATH, Answer(status=204))

    assert list(client.events("run_1", after=3)) == []
    assert len(server.seen) == 1
