"""Telling other people's servers: any answer counts, nothing is followed, nothing is waited for for ever (F33)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.fetch import GuardedFetcher, Pace
from penstock.domain.egress import parse_rules
from penstock.ports.fetch import Posting, Reply, SourceError, SourceFailedError, SourceRefusedError
from penstock.ports.jobs import AttemptInterruptedError
from penstock.telemetry import Log
from tests.support.remote import Remote, Visit, redirecting, remote_server
from tests.support.repeatable import SteppedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BODY = b'{"run": "r"}' * 30_000
"""More than one segment holds."""
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@pytest.fixture
def own_remote() -> Iterator[Remote]:
    """For whoever leaves before the answer: the server may notice the visit when another test has begun."""
    with remote_server() as running:
        yield running


def post(
    url: str,
    *,
    allowed: str = "127.0.0.0/8",
    within: timedelta = MINUTE,
    headers: Mapping[str, str] | None = None,
    watch: Callable[[], None] = lambda: None,
) -> Reply:
    poster = GuardedFetcher(parse_rules(allowed), clock=SteppedClock(), log=Log("test", None), pace=Pace(connect=5.0))
    return poster.post(Posting(url=url, body=BODY, headers=headers or {}, within=within, max_reply=1000, watch=watch))


def test_the_body_arrives_whole_with_its_headers_and_the_urls_query(remote: Remote) -> None:
    remote.on("/hook", lambda visit: visit.answer("202 Accepted", b"thanks"))

    reply = post(remote.url("/hook?token=a%20b&c=d"), headers={"X-Signature": "s", "content-type": "text/x"})

    visit = remote.visits[-1]
    assert reply == Reply(status=202, body=b"thanks")
    assert (visit.method, visit.target, visit.body) == ("POST", "/hook?token=a%20b&c=d", BODY)
    assert (visit.headers["x-signature"], visit.headers["content-type"]) == ("s", "text/x")
    assert visit.headers["host"] == f"127.0.0.1:{remote.port}"
    assert "authorization" not in visit.headers


@pytest.mark.parametrize("status", [204, 400, 410, 429, 500])
def test_any_status_is_an_answer(remote: Remote, status: int) -> None:
    remote.on("/status", lambda visit: visit.answer(f"{status} Word"))

    assert post(remote.url("/status")).status == status


def test_a_redirect_is_an_answer_and_is_not_followed(remote: Remote) -> None:
    remote.on("/moved", redirecting("/elsewhere", "307 Temporary Redirect"))

    assert post(remote.url("/moved")).status == 307
    assert remote.visits[-1].target == "/moved"


def test_of_an_endless_reply_only_the_beginning_is_read(remote: Remote) -> None:
    def endless(visit: Visit) -> None:
        visit.head("200 OK", Transfer_Encoding="chunked")
        while not visit.gone.is_set():
            visit.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")

    remote.on("/endless", endless)

    assert post(remote.url("/endless")) == Reply(status=200, body=b"x" * 1000)


def test_a_status_counts_though_the_body_breaks_off(remote: Remote) -> None:
    def break_off(visit: Visit) -> None:
        visit.head("200 OK", Content_Length="100")
        visit.send(b"part")

    remote.on("/broken", break_off)

    assert post(remote.url("/broken")).status == 200


def test_a_receiver_that_does_not_answer_in_time_fails(own_remote: Remote) -> None:
    own_remote.on("/silent", lambda visit: visit.stay_silent())

    with pytest.raises(SourceFailedError):
        post(own_remote.url("/silent"), within=timedelta(seconds=0.3))


@pytest.mark.parametrize("kind", ["reset", "nonsense", "nothing"])
def test_what_is_no_answer_is_a_failure(remote: Remote, kind: str) -> None:
    handlers: dict[str, Callable[[Visit], None]] = {
        "reset": Visit.reset,
        "nonsense": lambda visit: visit.send(b"HELLO\r\n\r\n"),
        "nothing": lambda _visit: None,
    }
    remote.on("/odd", handlers[kind])

    with pytest.raises(SourceError):
        post(remote.url("/odd"))


def test_a_private_place_is_not_connected_to(remote: Remote) -> None:
    private = remote.url("/private")

    with pytest.raises(SourceRefusedError):
        post(private, allowed="")
    with pytest.raises(SourceFailedError):
        post("http://localhost/private", allowed="")
    with pytest.raises(SourceRefusedError):
        post(private.replace("127.0.0.1", "user:word@127.0.0.1"))
    assert "/private" not in [visit.target for visit in remote.visits]


def test_who_waits_is_asked_whether_to_go_on(remote: Remote) -> None:
    remote.on("/silent", lambda visit: visit.stay_silent())
    asked: list[int] = []

    def stop() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise AttemptInterruptedError

    with pytest.raises(AttemptInterruptedError):
        post(remote.url("/silent"), watch=stop)
