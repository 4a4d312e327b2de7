"""Event streams: in order, resumable, and over when there is no more to tell."""

from __future__ import annotations

import http.client
import json
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.native import Native, problem, put
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.exchange import Answer
    from tests.support.house import House

    Ended = tuple[Native, str, list[dict[str, Any]]]

PAINT = "builtin/stylize"
MOST_STREAMS = 3
"""What one account may have open in a house (`tests.support.house`)."""


def _events(answer: Answer) -> list[dict[str, Any]]:
    """The events of a whole stream, whose frames must agree with themselves."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    events = []
    for frame in answer.body.decode().split("\n\n")[:-1]:
        if frame.startswith(":"):
            continue
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        event = json.loads(fields["data"])
        assert set(fields) == {"id", "event", "data"}
        assert set(event) == {"number", "kind", "data", "created_at"}
        assert (fields["id"], fields["event"]) == (str(event["number"]), event["kind"])
        events.append(event)
    return events


@pytest.fixture(scope="module")
def ended(make_account: Callable[..., Native]) -> Ended:
    """A finished run: its owner, the path of its events, and all of them."""
    owner = make_account()
    run = owner.finished(owner.start(PAINT, {"prompt": "ink"})["id"])
    path = f"/runs/{run['id']}/events"
    return owner, path, _events(owner.get(path))


def test_a_run_tells_its_story_from_the_queue_to_its_end(alice: Native) -> None:
    run = alice.start(PAINT, {"prompt": "ink"})

    told = _events(alice.get(f"/runs/{run['id']}/events"))

    kinds = [event["kind"] for event in told]
    assert [event["number"] for event in told] == list(range(1, len(told) + 1))
    assert kinds[:2] == ["run.queued", "run.started"]
    assert kinds[-1] == "run.succeeded"
    assert set(kinds[2:-1]) <= {"run.progress", "run.log"}
    assert told[0]["data"] == {"model": PAINT}
    assert alice.get(f"/runs/{run['id']}").must(200)["state"] == "succeeded"


@pytest.mark.parametrize("way", ["header", "query"])
def test_a_stream_goes_on_after_the_last_known_event(ended: Ended, way: str) -> None:
    owner, path, told = ended

    rest = owner.get(path, headers={"Last-Event-ID": "2"}) if way == "header" else owner.get(f"{path}?after=2")

    assert _events(rest) == told[2:]


def test_the_header_counts_more_than_the_query(ended: Ended) -> None:
    owner, path, told = ended

    rest = owner.get(f"{path}?after=0", headers={"Last-Event-ID": str(told[-2]["number"])})

    assert _events(rest) == told[-1:]


@pytest.mark.parametrize("last", ["", "abc", "-1", "1.5", "²", "9" * 40])
def test_a_last_event_id_that_the_server_did_not_send_counts_for_nothing(ended: Ended, last: str) -> None:
    owner, path, told = ended

    assert _events(owner.get(path, headers={"Last-Event-ID": last})) == told


@pytest.mark.parametrize("beyond", [0, 1, 10**17, 10**40])
def test_after_the_end_there_is_no_more_to_wait_for(ended: Ended, beyond: int) -> None:
    owner, path, told = ended

    answer = owner.get(f"{path}?after={told[-1]['number'] + beyond}")

    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("after", ["x", "1.5", ""])
def test_a_number_that_is_none_is_refused(ended: Ended, after: str) -> None:
    owner, path, _ = ended

    problem(owner.get(f"{path}?after={after}"), 422, "invalid_field")


def test_the_story_of_an_upload_ends_with_its_asset(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo)

    told = _events(alice.get(f"/uploads/{asset['upload_id']}/events"))

    assert [event["kind"] for event in told] == ["upload.stored", "upload.ready"]
    assert {event["data"]["asset_id"] for event in told} == {asset["id"]}
    assert alice.get(f"/uploads/{asset['upload_id']}/events?after=2").status == 204


def test_an_upload_that_was_given_up_has_nothing_more_to_tell(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    alice.delete(f"/uploads/{upload['id']}").must(200)

    assert [event["kind"] for event in _events(alice.get(f"/uploads/{upload['id']}/events"))] == ["upload.aborted"]
    assert alice.get(f"/uploads/{upload['id']}/events?after=1").status == 204


def test_an_event_comes_while_the_stream_is_open(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    parts = urlsplit(alice.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    path = f"/v1/uploads/{upload['id']}/events"
    connection.request("GET", path, headers={"Authorization": f"Bearer {alice.key}"})
    stream = connection.getresponse()
    assert stream.status == 200

    put(upload, photo).must(200)
    alice.post(f"/uploads/{upload['id']}/complete").must(200)

    told = stream.read().decode()
    connection.close()
    assert told.index("event: upload.stored\n") < told.index("event: upload.ready\n")


def test_an_account_that_waits_too_often_at_once_is_told_so_and_nobody_else(house: House) -> None:
    acme = Native(url=house.url, key=house.create_key("acme"))
    zenith = Native(url=house.url, key=house.create_key("zenith"))
    with ExitStack() as stack:
        streams = [stack.enter_context(opened_stream(acme)) for _ in range(MOST_STREAMS)]
        assert {stream.status for stream in streams} == {200}

        refused = acme.get(f"/uploads/{acme.begin(b'a')['id']}/events")
        problem(refused, 429, "rate_limited")
        assert int(refused.headers["retry-after"]) > 0
        run = acme.start("acme/model", {})
        problem(acme.get(f"/runs/{run['id']}?wait=60"), 429, "rate_limited")
        acme.get(f"/runs/{run['id']}").must(200)
        with opened_stream(zenith) as another:
            assert another.status == 200


def test_a_stream_that_its_reader_has_left_makes_room_for_another(house: House) -> None:
    acme = Native(url=house.url, key=house.create_key())
    with ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            stack.enter_context(opened_stream(acme))

    def opens() -> bool:
        with opened_stream(acme) as stream:
            return stream.status == 200

    wait_until(opens, "a place to become free")


@contextmanager
def opened_stream(native: Native) -> Iterator[http.client.HTTPResponse]:
    """The stream of a new upload, which has nothing to tell."""
    parts = urlsplit(native.url)
    path = f"/v1/uploads/{native.begin(b'a')['id']}/events"
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {native.key}"})
        yield connection.getresponse()
