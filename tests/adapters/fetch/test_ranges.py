"""Ranges over a connection that is kept, against a real server: exactly what was asked for, or nothing."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.fetch import GuardedFetcher, Pace
from penstock.domain.egress import parse_rules
from penstock.ports.fetch import Download, SourceError, SourceFailedError, SourceRefusedError
from penstock.telemetry import Log
from tests.support.remote import ADDRESS, Remote, Visit, make_certificate, redirecting, remote_server, serving
from tests.support.repeatable import SteppedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from penstock.domain.egress import Address
    from penstock.ports.fetch import Ranges

DATA = bytes(range(256)) * 1000
SIZE = len(DATA)
LOOPBACK = ipaddress.ip_address(ADDRESS)


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


def at_loopback(_host: str) -> Sequence[Address]:
    return (LOOPBACK,)


def ranges_of(
    url: str,
    *,
    watch: Callable[[], None] = lambda: None,
    resolve: Callable[[str], Sequence[Address]] = at_loopback,
    tls: ssl.SSLContext | None = None,
) -> Ranges:
    client = GuardedFetcher(
        parse_rules("127.0.0.0/8"), clock=SteppedClock(), log=Log("test", None), pace=Pace(), resolve=resolve, tls=tls
    )
    wanted = Download(url=url, max_bytes=1, within=timedelta(minutes=1), watch=watch, etag='"v1"')
    return client.ranges(wanted, size=SIZE)


def failure(ranges: Ranges, start: int = 100, end: int = 200) -> SourceError:
    with ranges, pytest.raises(SourceError) as raised:
        list(ranges.blocks(start, end))
    return raised.value


def test_ranges_come_one_after_another_on_one_connection(remote: Remote) -> None:
    remote.on("/file", serving(DATA))
    before = len(remote.visits)

    with ranges_of(remote.url()) as ranges:
        came = [b"".join(ranges.blocks(*span)) for span in ((0, 70_000), (70_000, 70_001), (70_001, SIZE))]

    assert b"".join(came) == DATA
    visits = remote.visits[before:]
    assert [visit.headers["range"] for visit in visits] == [
        "bytes=0-69999",
        "bytes=70000-70000",
        f"bytes=70001-{SIZE - 1}",
    ]
    assert {visit.headers["if-range"] for visit in visits} == {'"v1"'}
    assert len({id(visit.line) for visit in visits}) == 1


def test_a_connection_that_its_server_closes_after_each_answer_is_made_anew(remote: Remote) -> None:
    def closing(visit: Visit) -> None:
        serving(DATA)(visit)
        visit.stays = False

    remote.on("/file", closing)

    with ranges_of(remote.url()) as ranges:
        came = [b"".join(ranges.blocks(start, start + 1000)) for start in (0, 1000, 2000)]

    assert b"".join(came) == DATA[:3000]


def test_a_redirect_is_followed_once_and_again_when_where_it_led_has_had_enough(remote: Remote) -> None:
    def once_more_refused(visit: Visit) -> None:
        visit.answer("403 Forbidden")

    remote.on("/file", redirecting("/signed"))
    remote.on("/signed", serving(DATA), serving(DATA), once_more_refused, serving(DATA))
    before = len(remote.visits)

    with ranges_of(remote.url()) as ranges:
        came = [b"".join(ranges.blocks(start, start + 1000)) for start in (0, 1000, 2000)]

    assert b"".join(came) == DATA[:3000]
    targets = [visit.target for visit in remote.visits[before:]]
    assert targets == ["/file", "/signed", "/signed", "/signed", "/file", "/signed"]


def test_an_answer_that_is_not_exactly_the_range_is_refused(remote: Remote) -> None:
    def partial(span: str, body: bytes, **more: str) -> Callable[[Visit], None]:
        headers = {"ETag": '"v1"', **more}
        return lambda visit: visit.answer("206 Partial Content", body, Content_Range=span, **headers)

    good, body = f"bytes 100-199/{SIZE}", DATA[100:200]
    wrong: dict[str, Callable[[Visit], None]] = {
        "the whole": serving(DATA, ranges=False),
        "another version's": serving(DATA, etag='"v2"'),
        "another place": partial(f"bytes 0-99/{SIZE}", body),
        "another end": partial(f"bytes 100-200/{SIZE}", DATA[100:201]),
        "of another size": partial(f"bytes 100-199/{SIZE + 1}", body),
        "of unknown size": partial("bytes 100-199/*", body),
        "another version": partial(good, body, ETag='"v2"'),
        "a weak version": partial(good, body, ETag='W/"v1"'),
        "packed": partial(good, body, Content_Encoding="gzip"),
        "longer": partial(good, body + b"x"),
        "several": partial("", body, Content_Type="multipart/byteranges; boundary=x"),
    }
    for name, handler in wrong.items():
        remote.on("/file", handler)

        error = failure(ranges_of(remote.url()))

        assert isinstance(error, SourceRefusedError), name
        assert "does not give that range" in error.reason, name


def test_refusals_and_breaks_mean_what_they_mean_for_a_whole_file(remote: Remote) -> None:
    def chunked(body: bytes) -> Callable[[Visit], None]:
        def handle(visit: Visit) -> None:
            span = f"bytes 100-199/{SIZE}"
            visit.head("206 Partial Content", Transfer_Encoding="chunked", ETag='"v1"', Content_Range=span)
            visit.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

        return handle

    meant: list[tuple[Callable[[Visit], None], type[SourceError], str]] = [
        (lambda visit: visit.answer("416 Range Not Satisfiable"), SourceRefusedError, "answered 416"),
        (lambda visit: visit.answer("403 Forbidden"), SourceRefusedError, "answered 403"),
        (lambda visit: visit.answer("429 Too Many Requests"), SourceFailedError, "answered 429"),
        (serving(DATA, cut=50), SourceFailedError, "broke off"),
        (chunked(DATA[100:199]), SourceFailedError, "another length"),
        (chunked(DATA[100:201]), SourceFailedError, "another length"),
        (Visit.reset, SourceFailedError, ""),
    ]
    for handler, kind, words in meant:
        remote.on("/file", handler)

        error = failure(ranges_of(remote.url()))

        assert type(error) is kind, words
        assert words in error.reason


def test_leaving_a_range_early_closes_its_connection_and_the_next_one_begins_anew(remote: Remote) -> None:
    remote.on("/file", serving(DATA))
    before = len(remote.visits)

    with ranges_of(remote.url()) as ranges:
        blocks = ranges.blocks(1, SIZE)
        next(blocks)
        blocks.close()
        rest = b"".join(ranges.blocks(1, SIZE))

    assert rest == DATA[1:]
    assert len({id(visit.line) for visit in remote.visits[before:]}) == 2


def test_what_the_watch_raises_ends_the_wait(remote: Remote) -> None:
    class UnwantedError(Exception):
        pass

    asked, left = threading.Event(), threading.Event()

    def silent(visit: Visit) -> None:
        asked.set()
        visit.stay_silent()
        left.set()

    def watch() -> None:
        if asked.is_set():
            raise UnwantedError

    remote.on("/file", silent)

    with ranges_of(remote.url(), watch=watch) as ranges, pytest.raises(UnwantedError):
        list(ranges.blocks(0, 100))

    assert left.wait(30)


def test_a_secure_connection_is_kept_as_well(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, names=("files.test",))
    trust = ssl.create_default_context(cafile=str(certificate))
    with remote_server(certificate=certificate) as remote:
        remote.on("/file", serving(DATA))

        with ranges_of(remote.url(host="files.test"), tls=trust) as ranges:
            came = [b"".join(ranges.blocks(start, start + 100_000)) for start in (0, 100_000)]

        assert b"".join(came) == DATA[:200_000]
        assert len({id(visit.line) for visit in remote.visits}) == 1


def test_each_connection_is_guarded(remote: Remote) -> None:
    answers: list[Sequence[Address]] = [(LOOPBACK,), (ipaddress.ip_address("10.0.0.1"),)]

    def closing(visit: Visit) -> None:
        serving(DATA)(visit)
        visit.stays = False

    remote.on("/file", closing)

    with ranges_of(f"http://files.test:{remote.port}/file", resolve=lambda _: answers.pop(0)) as ranges:
        assert b"".join(ranges.blocks(0, 100)) == DATA[:100]
        with pytest.raises(SourceFailedError, match="cannot be reached"):
            list(ranges.blocks(100, 200))
