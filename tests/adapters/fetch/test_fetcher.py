"""The guarded fetcher against a real server that behaves, misbehaves and attacks (S1–S6, F29)."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.fetch import GuardedFetcher, Pace
from penstock.domain.egress import EgressRules, parse_rules
from penstock.domain.foreign import FetchManner
from penstock.ports.fetch import Download, SourceError, SourceFailedError, SourceRefusedError
from penstock.telemetry import Log
from tests.support.remote import ADDRESS, Remote, Visit, make_certificate, redirecting, remote_server, serving
from tests.support.repeatable import SteppedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from penstock.domain.egress import Address

DATA = bytes(range(256)) * 1000
LOOPBACK = ipaddress.ip_address(ADDRESS)
PUBLIC = ipaddress.ip_address("93.184.215.14")
QUICK = Pace(stall=0.2, head=0.4, connect=5.0)
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), names=("files.test",))


def at_loopback(_host: str) -> Sequence[Address]:
    return (LOOPBACK,)


def fetcher(
    allowed: str = "127.0.0.0/8", *, pace: Pace | None = None, resolve: Callable[[str], Sequence[Address]] = at_loopback
) -> GuardedFetcher:
    return GuardedFetcher(parse_rules(allowed), clock=SteppedClock(), log=Log("test", None), pace=pace, resolve=resolve)


def download(
    url: str,
    *,
    start: int = 0,
    etag: str | None = None,
    max_bytes: int = 10**9,
    within: timedelta = MINUTE,
    watch: Callable[[], None] = lambda: None,
    manner: FetchManner | None = None,
) -> Download:
    return Download(
        url=url,
        start=start,
        etag=etag,
        max_bytes=max_bytes,
        within=within,
        watch=watch,
        manner=manner or FetchManner(),
    )


def body(client: GuardedFetcher, wanted: Download) -> bytes:
    with client.get(wanted) as answer:
        return b"".join(answer.blocks())


def failure(client: GuardedFetcher, wanted: Download) -> SourceError:
    with pytest.raises(SourceError) as raised:
        body(client, wanted)
    return raised.value


def test_a_file_comes_with_its_size_and_its_version(remote: Remote) -> None:
    remote.on("/file", serving(DATA))

    with fetcher().get(download(remote.url("/file?signature=1"))) as answer:
        assert (answer.start, answer.size, answer.etag) == (0, len(DATA), '"v1"')
        assert b"".join(answer.blocks()) == DATA

    visit = remote.visits[-1]
    assert visit.target == "/file?signature=1"
    assert visit.headers == {
        "host": f"{ADDRESS}:{remote.port}",
        "user-agent": "penstock",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
    }


def test_a_body_in_chunks_has_no_size_and_ends_where_it_says(remote: Remote) -> None:
    def chunked(visit: Visit) -> None:
        visit.head("200 OK", Transfer_Encoding="chunked", ETag='W/"weak"')
        visit.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    remote.on("/file", chunked)

    with fetcher().get(download(remote.url())) as answer:
        assert (answer.size, answer.etag) == (None, None)
        assert b"".join(answer.blocks()) == b"abcde"


def test_a_body_without_a_length_ends_with_the_connection(remote: Remote) -> None:
    def until_close(visit: Visit) -> None:
        visit.head("200 OK")
        visit.send(DATA)

    remote.on("/file", until_close)

    assert body(fetcher(), download(remote.url())) == DATA


def test_the_rest_of_a_version_comes_when_the_server_still_has_it(remote: Remote) -> None:
    remote.on("/file", serving(DATA))

    with fetcher().get(download(remote.url(), start=1000, etag='"v1"')) as answer:
        assert (answer.start, answer.size, answer.etag) == (1000, len(DATA), '"v1"')
        assert b"".join(answer.blocks()) == DATA[1000:]


def test_another_version_comes_whole_from_its_beginning(remote: Remote) -> None:
    remote.on("/file", serving(DATA, etag='"v2"'))

    with fetcher().get(download(remote.url(), start=1000, etag='"v1"')) as answer:
        assert (answer.start, answer.etag) == (0, '"v2"')
        assert b"".join(answer.blocks()) == DATA


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Range": f"bytes 999-{len(DATA) - 1}/{len(DATA)}", "ETag": '"v1"'},
        {"Content_Range": f"bytes 1000-{len(DATA) - 2}/{len(DATA)}", "ETag": '"v1"'},
        {"Content_Range": f"bytes 1000-{len(DATA) - 1}/*", "ETag": '"v1"'},
        {"Content_Range": f"bytes 1000-{len(DATA) - 1}/{len(DATA)}", "ETag": '"v2"'},
        {"Content_Range": f"bytes 1000-{len(DATA) - 1}/{len(DATA)}", "ETag": 'W/"v1"'},
        {"Content_Range": f"bytes 1000-{len(DATA) - 1}/{len(DATA)}"},
        {"ETag": '"v1"', "Content_Type": "multipart/byteranges; boundary=x"},
    ],
)
def test_a_part_that_does_not_continue_what_is_there_is_replaced_by_the_whole(
    remote: Remote, headers: dict[str, str]
) -> None:
    def partial(visit: Visit) -> None:
        visit.answer("206 Partial Content", DATA[1000:], **headers)

    remote.on("/file", partial, serving(DATA))

    with fetcher().get(download(remote.url(), start=1000, etag='"v1"')) as answer:
        assert answer.start == 0
        assert b"".join(answer.blocks()) == DATA


def test_a_range_past_the_end_is_replaced_by_the_whole(remote: Remote) -> None:
    remote.on("/file", lambda visit: visit.answer("416 Range Not Satisfiable"), serving(b"short"))

    with fetcher().get(download(remote.url(), start=1000, etag='"v1"')) as answer:
        assert (answer.start, b"".join(answer.blocks())) == (0, b"short")


def test_redirects_are_followed_five_times(remote: Remote) -> None:
    for hop in range(5):
        remote.on(f"/{hop}", redirecting(f"/{hop + 1}"))
    remote.on("/5", serving(DATA))

    assert body(fetcher(), download(remote.url("/0"))) == DATA


def test_the_sixth_redirect_is_refused(remote: Remote) -> None:
    remote.on("/loop", redirecting("/loop", "307 Temporary Redirect"))
    before = len(remote.visits)

    error = failure(fetcher(), download(remote.url("/loop")))

    assert isinstance(error, SourceRefusedError)
    assert len(remote.visits) - before == 6
    assert "redirects more than 5 times" in error.reason


def test_a_range_is_asked_for_behind_a_redirect_too(remote: Remote) -> None:
    remote.on("/there", redirecting(remote.url("/file", host="other.test")))
    remote.on("/file", serving(DATA))

    with fetcher().get(download(remote.url("/there"), start=1000, etag='"v1"')) as answer:
        assert answer.start == 1000
    assert remote.visits[-1].headers["host"] == f"other.test:{remote.port}"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://user@127.0.0.1/",
        "ftp://127.0.0.1/",
        "//127.0.0.1:22/",
        "http://[::1]/",
    ],
)
def test_a_redirect_to_a_forbidden_place_is_refused_without_a_connection(location: str) -> None:
    with remote_server() as entrance:
        entrance.on("/there", redirecting(location))
        client = fetcher(f"{ADDRESS}:{entrance.port}")

        error = failure(client, download(entrance.url("/there")))

    assert isinstance(error, SourceRefusedError)
    assert len(entrance.visits) == 1


def test_a_redirect_to_a_name_with_a_forbidden_address_is_not_followed(remote: Remote) -> None:
    remote.on("/there", redirecting("http://inner.test/"))
    client = fetcher(f"{ADDRESS}:{remote.port}")

    assert failure(client, download(remote.url("/there"))).reason == "inner.test cannot be reached"


def test_a_place_that_is_not_public_is_refused_unless_it_is_allowed(remote: Remote) -> None:
    remote.on("/file", serving(DATA))
    before = len(remote.visits)

    assert isinstance(failure(fetcher(""), download(remote.url())), SourceRefusedError)
    assert len(remote.visits) == before
    assert body(fetcher(f"{ADDRESS}:{remote.port}"), download(remote.url())) == DATA


def test_a_forbidden_name_and_an_unknown_one_fail_alike() -> None:
    answers = {"inner.test": [LOOPBACK], "both.test": [PUBLIC, LOOPBACK], "unknown.test": []}
    errors = [
        failure(fetcher("", resolve=answers.__getitem__), download(f"http://{host}/"))
        for host in ("inner.test", "both.test", "unknown.test")
    ]

    assert [(type(error), error.code) for error in errors] == [(SourceFailedError, "source_unreachable")] * 3
    assert [error.reason.partition(" ")[2] for error in errors] == ["cannot be reached"] * 3


def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to(remote: Remote) -> None:
    """A name server that answers a public address first and an inner one the next time (DNS rebinding)."""
    remote.on("/file", serving(DATA))
    asked: list[str] = []
    connected: list[Address] = []

    def rebinding(host: str) -> Sequence[Address]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else [LOOPBACK]

    def connect(address: Address, _port: int, _seconds: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    client = GuardedFetcher(
        EgressRules(), clock=SteppedClock(), log=Log("test", None), resolve=rebinding, connect=connect
    )

    first, second = (failure(client, download("http://rebinding.test/")) for _ in range(2))

    assert connected == [PUBLIC]
    assert asked == ["rebinding.test"] * 2
    assert first.reason == "rebinding.test does not take connections"
    assert second.reason == "rebinding.test cannot be reached"


def test_a_connection_that_ends_elsewhere_than_meant_is_not_used(remote: Remote) -> None:
    def astray(_address: Address, _port: int, seconds: float) -> socket.socket:
        return socket.create_connection((ADDRESS, remote.port), seconds)

    client = GuardedFetcher(
        EgressRules(),
        clock=SteppedClock(),
        log=Log("test", None),
        resolve=lambda _host: [PUBLIC],
        connect=astray,
    )
    before = len(remote.visits)

    assert failure(client, download("http://a.test/")).reason == "a.test cannot be reached"
    assert len(remote.visits) == before


def test_the_next_address_is_tried_when_one_takes_no_connection(remote: Remote) -> None:
    remote.on("/file", serving(DATA))
    closed = ipaddress.ip_address("127.0.0.2")

    client = fetcher(resolve=lambda _host: [closed, LOOPBACK])

    assert body(client, download(remote.url(host="a.test"))) == DATA


def test_proxies_of_the_environment_are_not_used(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.on("/file", serving(DATA))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert body(fetcher(), download(remote.url())) == DATA


@pytest.mark.parametrize(
    ("status", "passes"),
    [
        *(("404 Not Found", False), ("403 Forbidden", False), ("410 Gone", False), ("401 Unauthorized", False)),
        *(("204 No Content", False), ("206 Partial Content", False), ("304 Not Modified", False)),
        *(("300 Multiple Choices", False), ("302 Found", False), ("416 Range Not Satisfiable", False)),
        *(("500 Internal Server Error", True), ("503 Service Unavailable", True), ("429 Too Many Requests", True)),
        *(("408 Request Timeout", True), ("599 Whatever", True)),
    ],
)
def test_an_answer_without_the_file_is_told_by_its_status(remote: Remote, status: str, passes: bool) -> None:
    remote.on("/file", lambda visit: visit.answer(status))

    error = failure(fetcher(), download(remote.url("/file?secret=1")))

    assert isinstance(error, SourceFailedError) is passes
    assert f"{ADDRESS}:{remote.port} answered {status[:3]}" in error.reason
    assert "secret" not in error.reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("Sat, 21 Nov 2026 12:01:00 GMT", 59.876544), ("soon", None), ("-5", None), ("9" * 30, None)],
)
def test_a_server_may_say_when_to_come_back(remote: Remote, text: str, seconds: float | None) -> None:
    remote.on("/file", lambda visit: visit.answer("503 Service Unavailable", Retry_After=text))

    error = failure(fetcher(), download(remote.url()))

    assert isinstance(error, SourceFailedError)
    assert error.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_a_compressed_body_is_refused(remote: Remote) -> None:
    remote.on("/file", serving(DATA, Content_Encoding="gzip"))

    assert "compressed" in failure(fetcher(), download(remote.url())).reason


def test_a_file_announced_as_too_large_is_refused_before_its_body(remote: Remote) -> None:
    remote.on("/file", serving(DATA))

    with pytest.raises(SourceRefusedError) as raised:
        fetcher().get(download(remote.url(), max_bytes=len(DATA) - 1))

    assert raised.value.code == "file_too_large"


def test_a_file_that_grows_too_large_is_cut_off(remote: Remote) -> None:
    def endless(visit: Visit) -> None:
        visit.head("200 OK")
        while not visit.gone.is_set():
            visit.send(DATA)

    remote.on("/file", endless)
    received = 0

    def read_all() -> None:
        nonlocal received
        with fetcher().get(download(remote.url(), max_bytes=10**6)) as answer:
            for block in answer.blocks():
                received += len(block)

    with pytest.raises(SourceRefusedError) as raised:
        read_all()

    assert raised.value.code == "file_too_large"
    assert received <= 10**6


def test_what_is_there_already_counts_towards_the_limit(remote: Remote) -> None:
    remote.on("/file", serving(DATA))

    error = failure(fetcher(), download(remote.url(), start=1000, etag='"v1"', max_bytes=len(DATA) - 1))

    assert error.code == "file_too_large"


def misbehaving() -> dict[str, Callable[[Visit], None]]:
    def chunked_without_end(visit: Visit) -> None:
        visit.head("200 OK", Transfer_Encoding="chunked")
        visit.send(b"3\r\nabc\r\n")

    def short(visit: Visit) -> None:
        visit.head("200 OK", Content_Length="100")
        visit.send(b"short")

    def reset_in_body(visit: Visit) -> None:
        visit.head("200 OK", Content_Length="100")
        visit.send(b"short")
        visit.reset()

    def two_lengths(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")

    def two_framings(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: gzip, chunked\r\n\r\nabcd")

    return {
        "short": short,
        "chunks without an end": chunked_without_end,
        "reset in the body": reset_in_body,
        "reset before the head": Visit.reset,
        "no answer": lambda visit: visit.send(b""),
        "half a head": lambda visit: visit.send(b"HTTP/1.1 200 OK\r\nContent-Le"),
        "not HTTP": lambda visit: visit.send(b"220 mail.test ESMTP\r\n"),
        "two lengths": two_lengths,
        "two framings": two_framings,
        "negative length": lambda visit: visit.head("200 OK", Content_Length="-1"),
        "upgrade": lambda visit: visit.head("101 Switching Protocols", Upgrade="x", Connection="upgrade"),
    }


@pytest.mark.parametrize("kind", sorted(misbehaving()))
def test_a_broken_answer_is_a_failure_and_never_a_file(remote: Remote, kind: str) -> None:
    remote.on("/file", misbehaving()[kind])

    error = failure(fetcher(pace=QUICK), download(remote.url()))

    assert ADDRESS in error.reason


def test_headers_without_an_end_are_refused(remote: Remote) -> None:
    def headers(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\n")
        while not visit.gone.is_set():
            visit.send(b"X-Filler: " + b"x" * 1000 + b"\r\n")

    remote.on("/file", headers)

    assert "headers" in failure(fetcher(), download(remote.url())).reason


def test_informational_answers_without_an_end_are_refused(remote: Remote) -> None:
    def hints(visit: Visit) -> None:
        while not visit.gone.is_set():
            visit.head("103 Early Hints", Link="</style.css>; rel=preload")

    remote.on("/file", hints)

    assert "headers" in failure(fetcher(), download(remote.url())).reason


def silent_head(visit: Visit) -> None:
    visit.stay_silent()


def silent_body(visit: Visit) -> None:
    visit.head("200 OK", Content_Length="100")
    visit.send(b"x")
    visit.stay_silent()


def drip(visit: Visit) -> None:
    visit.head("200 OK", Content_Length="1000000")
    while not visit.gone.wait(0.01):
        visit.send(b"x")


def drip_head(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    while not visit.gone.wait(0.01):
        visit.send(b"x")


@pytest.mark.parametrize(
    ("handler", "pace", "within"),
    [
        (silent_head, QUICK, MINUTE),
        (silent_body, QUICK, MINUTE),
        (drip_head, QUICK, MINUTE),
        (drip, Pace(window=0.3), MINUTE),
        (drip, Pace(), timedelta(seconds=0.3)),
        (silent_body, Pace(), timedelta(seconds=0.3)),
    ],
)
def test_a_server_that_takes_for_ever_is_given_up(
    own_remote: Remote, handler: Callable[[Visit], None], pace: Pace, within: timedelta
) -> None:
    own_remote.on("/file", handler)

    assert isinstance(failure(fetcher(pace=pace), download(own_remote.url(), within=within)), SourceFailedError)


def test_a_slow_reader_is_not_taken_for_a_slow_server(remote: Remote) -> None:
    """The time between two reads is ours: nothing is held against the server for it, to whom so long is not given."""
    remote.on("/file", serving(DATA * 4))
    never = threading.Event()

    with fetcher(pace=Pace(window=1.0, least_rate=10**9)).get(download(remote.url())) as answer:
        blocks = answer.blocks()
        next(blocks)
        never.wait(1.1)
        assert len(b"".join(blocks)) > 0


def test_whoever_waits_is_asked_whether_to_go_on(own_remote: Remote) -> None:
    class GivenUpError(Exception):
        pass

    own_remote.on("/file", silent_body)
    looks = 0

    def watch() -> None:
        nonlocal looks
        looks += 1
        if looks > 4:
            raise GivenUpError

    with pytest.raises(GivenUpError):
        body(fetcher(), download(own_remote.url(), watch=watch))


def test_leaving_an_answer_closes_the_connection(remote: Remote) -> None:
    left = threading.Event()

    def long(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(10**12))
        try:
            while not visit.gone.is_set():
                visit.send(DATA)
        finally:
            left.set()

    remote.on("/file", long)

    with fetcher().get(download(remote.url(), max_bytes=10**13)) as answer:
        next(answer.blocks())

    assert left.wait(30)


def test_many_threads_fetch_at_once(remote: Remote) -> None:
    remote.on("/file", serving(DATA * 4))
    client = fetcher()

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: hashlib.sha256(body(client, download(remote.url()))).digest(), range(24)))

    assert set(got) == {hashlib.sha256(DATA * 4).digest()}


def trusting(certificate: Path) -> GuardedFetcher:
    return GuardedFetcher(
        parse_rules("127.0.0.0/8"),
        clock=SteppedClock(),
        log=Log("test", None),
        tls=ssl.create_default_context(cafile=str(certificate)),
        resolve=at_loopback,
    )


def test_a_certificate_counts_for_the_name_in_the_url(certificate: Path) -> None:
    with remote_server(certificate=certificate) as secure:
        secure.on("/file", serving(DATA))
        client = trusting(certificate)

        assert body(client, download(secure.url(host="files.test"))) == DATA
        assert secure.visits[-1].headers["host"] == f"files.test:{secure.port}"
        for host in ("other.test", ADDRESS):
            error = failure(client, download(secure.url(host=host)))
            assert isinstance(error, SourceRefusedError)
            assert "certificate" in error.reason


def test_a_certificate_of_nobody_known_is_refused(certificate: Path) -> None:
    with remote_server(certificate=certificate) as secure:
        secure.on("/file", serving(DATA))

        error = failure(fetcher(), download(secure.url(host="files.test")))

    assert "certificate" in error.reason
    assert not secure.visits


def test_a_secure_body_without_a_length_that_is_cut_off_is_a_failure(certificate: Path) -> None:
    def cut(visit: Visit) -> None:
        visit.head("200 OK")
        visit.send(b"half")
        socket.socket.close(visit.line)  # no end of TLS before the end of TCP

    with remote_server(certificate=certificate) as secure:
        secure.on("/file", cut)

        assert "broke" in failure(trusting(certificate), download(secure.url(host="files.test"))).reason


def test_a_redirect_from_https_to_http_is_refused(remote: Remote, certificate: Path) -> None:
    remote.on("/file", serving(DATA))
    with remote_server(certificate=certificate) as secure:
        secure.on("/there", redirecting(remote.url()))

        error = failure(trusting(certificate), download(secure.url("/there", host="files.test")))

    assert isinstance(error, SourceRefusedError)
    assert "https to http" in error.reason


def test_plain_text_on_a_secure_port_is_a_failure(remote: Remote) -> None:
    remote.on("/file", serving(DATA))

    error = failure(fetcher(pace=Pace(connect=0.5)), download(remote.url().replace("http:", "https:")))

    assert error.code == "source_unreachable"


# --- in whose manner

CAREFUL = FetchManner(
    user_agent="Product API/1", most_redirects=0, asks_first=True, told_kinds=("image",), needs_size=True
)


def test_a_careful_product_asks_first_and_by_its_own_name(remote: Remote) -> None:
    remote.on("/careful", serving(DATA, Content_Type="image/png; charset=binary"))

    assert body(fetcher(), download(remote.url("/careful"), manner=CAREFUL)) == DATA

    assert [visit.method for visit in remote.visits[-2:]] == ["HEAD", "GET"]
    assert {visit.headers["user-agent"] for visit in remote.visits[-2:]} == {"Product API/1"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (redirecting("/elsewhere"), "redirects elsewhere"),
        (redirecting("http://10.0.0.1/", "308 Permanent Redirect"), "redirects elsewhere"),
        (lambda visit: visit.answer("405 Method Not Allowed"), "answered 405"),
        (serving(DATA), "does not say that it is image"),
        (serving(DATA, Content_Type="application/octet-stream"), "does not say that it is image"),
        (serving(DATA, Content_Type="video/mp4"), "does not say that it is image"),
        (lambda visit: visit.head("200 OK", Content_Type="image/png", Connection="close"), "how large"),
        (serving(DATA, Content_Type="image/png"), "more than the 1000 bytes"),
    ],
    ids=["redirect", "redirect away", "no HEAD", "no type", "any type", "other type", "no size", "too large"],
)
def test_what_a_careful_product_does_not_take_is_told_by_the_first_answer(
    remote: Remote, answer: Callable[[Visit], None], reason: str
) -> None:
    remote.on("/careful", answer)
    before = len(remote.visits)

    error = failure(fetcher(), download(remote.url("/careful"), manner=CAREFUL, max_bytes=1000))

    assert isinstance(error, SourceRefusedError)
    assert reason in error.reason
    assert [visit.method for visit in remote.visits[before:]] == ["HEAD"]


def test_an_answer_that_changes_its_mind_is_refused_as_well(remote: Remote) -> None:
    remote.on("/careful", serving(DATA, Content_Type="image/png"), serving(DATA, Content_Type="text/html"))

    error = failure(fetcher(), download(remote.url("/careful"), manner=CAREFUL))

    assert "does not say that it is image" in error.reason
    assert [visit.method for visit in remote.visits[-2:]] == ["HEAD", "GET"]


def test_a_transfer_that_goes_on_asks_first_for_the_whole(remote: Remote) -> None:
    remote.on("/careful", serving(DATA, Content_Type="image/png"))

    with fetcher().get(download(remote.url("/careful"), start=100, etag='"v1"', manner=CAREFUL)) as answer:
        assert (answer.start, b"".join(answer.blocks())) == (100, DATA[100:])

    asked, got = remote.visits[-2:]
    assert (asked.headers.get("range"), got.headers.get("range")) == (None, "bytes=100-")
