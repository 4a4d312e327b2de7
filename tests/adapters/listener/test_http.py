"""The API's listener with raw sockets: one reading of each request (S31), and an end in bytes and time (F10)."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import uvicorn

from penstock.adapters.listener import Bounds, guarded_protocol
from tests.support.prompt_server import PromptServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

LONG = 30.0
HEAD = b"POST /first HTTP/1.1\r\nHost: a\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Listener:
    """Answers each request with what its path says, after its body or, below `/early`, before it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.headers: dict[bytes, bytes] = {}
        self.client_left = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.seen.append(scope["path"])
        more = scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.client_left.set()
                return
            more = message.get("more_body", False)
        self.headers = dict(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def listening(bounds: Bounds | None = None) -> Iterator[tuple[Listener, tuple[str, int]]]:
    app = Listener()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(
            app, loop="asyncio", http=guarded_protocol(bounds), ws="none", lifespan="off", log_config=None
        )
        server = PromptServer(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield app, sock.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Listener, tuple[str, int]]]:
    with listening() as opened:
        yield opened


def said(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection, which must come."""
    connection.settimeout(LONG)
    answer = b""
    try:
        while data := connection.recv(65_536):
            answer += data
    except ConnectionResetError:
        pass
    return answer


def exchange(address: tuple[str, int], raw: bytes) -> tuple[list[int], bytes]:
    """The statuses that raw bytes get, and all that was said up to the end of the connection."""
    with socket.create_connection(address) as connection:
        connection.sendall(raw)
        answer = said(connection)
    return [int(status) for status in STATUS.findall(answer)], answer


AMBIGUOUS = {
    "length and chunked": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "gzip, chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, gzip": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "nearly chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "no coding": HEAD + b"Transfer-Encoding:\r\n\r\n",
    "chunked in 1.0": b"POST /first HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "one length twice": HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": HEAD + b"Content-Length: 0, 0\r\n\r\n",
    "a signed length": HEAD + b"Content-Length: +0\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length of 80 bits": HEAD + b"Content-Length: 999999999999999999999999\r\n\r\n",
    "no host": b"GET /first HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /first HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "a list of hosts": b"GET /first HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "a host with a path": b"GET /first HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a folded line": HEAD + b"X-A: b\r\n c\r\n\r\n",
    "a line folded by a tab": HEAD + b"X-A: b\r\n\tc\r\n\r\n",
    "a blank before the colon": HEAD + b"Content-Length : 0\r\n\r\n",
    "bare line feeds": b"GET /first HTTP/1.1\nHost: a\n\n",
    "a bare carriage return": HEAD + b"X-A: b\rX-B: c\r\n\r\n",
    "a NUL": HEAD + b"X-A: b\0c\r\n\r\n",
    "no colon": HEAD + b"X-A\r\n\r\n",
    "a chunk size that is none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk size with a prefix": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "a chunk longer than said": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "HTTP/0.9": b"GET /first\r\n\r\n",
    "HTTP/1.2": b"GET /first HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET /first HTTP/2.0\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_two_could_read_differently_is_refused_and_nothing_after_it_is_read(
    shared: tuple[Listener, tuple[str, int]], raw: bytes
) -> None:
    app, address = shared

    statuses, answer = exchange(address, raw + SECOND)

    assert statuses == [400]
    assert b"\r\nConnection: close\r\n" in answer
    assert b"application/problem+json" in answer
    assert "/second" not in app.seen


PLAIN = {
    "HTTP/1.1": b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n",
    "a port": b"GET /first HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
    "an empty line before it": b"\r\nGET /first HTTP/1.1\r\nHost: a\r\n\r\n",
    "a body by length": HEAD + b"Content-Length: 3\r\n\r\nabc",
    "a body in chunks": HEAD + b"Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("raw", PLAIN.values(), ids=PLAIN)
def test_what_can_be_read_in_one_way_is_answered_and_so_is_what_follows(raw: bytes) -> None:
    with listening() as (app, address):
        statuses, _ = exchange(address, raw + SECOND)

        assert statuses == [200, 200]
        assert app.seen == ["/first", "/second"]


def test_a_trailer_does_not_become_part_of_the_head() -> None:
    with listening() as (app, address):
        trailer = b"Authorization: Bearer sk_mine\r\nHost: b\r\n"
        sent = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + trailer + b"\r\n"
        statuses, _ = exchange(address, sent)

        assert statuses == [200]
        assert app.headers == {b"host": b"a", b"connection": b"close", b"transfer-encoding": b"chunked"}


@pytest.mark.parametrize("begin", [b"0\r\nX-A: ", b"1;"])
def test_what_stands_between_the_bytes_of_a_body_has_a_bound(begin: bytes) -> None:
    with listening() as (app, address), socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + begin)
        with suppress(OSError):
            for _ in range(10_000):
                connection.sendall(b"a" * 1024)

        assert STATUS.findall(said(connection)) in ([b"431"], [])  # a reset may overtake the answer
        assert app.client_left.wait(LONG)


def test_http_1_0_needs_no_host_and_closes() -> None:
    with listening() as (app, address):
        assert exchange(address, b"GET /first HTTP/1.0\r\n\r\n" + SECOND)[0] == [200]
        assert app.seen == ["/first"]


@pytest.mark.parametrize("body", [b"\r\n", b"Content-Length: 3\r\n\r\nabc"])
def test_an_upgrade_is_not_made_and_what_follows_is_read_by_nobody(body: bytes) -> None:
    with listening() as (app, address):
        statuses, answer = exchange(address, HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + body + SECOND)

        assert statuses == [200]
        assert b"connection: close" in answer
        assert app.seen == ["/first"]


def test_the_request_before_a_broken_one_is_answered_first() -> None:
    with listening() as (app, address), socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 3\r\n\r\nabc" + b"GET /second HTTP/1.1\r\n\r\n" + SECOND)
        answer = said(connection)

        assert STATUS.findall(answer) == [b"200"]
        assert answer.endswith(b"ok")
        assert app.seen == ["/first"]


@pytest.mark.parametrize("way", [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nf4240\r\n"])
def test_a_body_that_drips_is_given_up(way: bytes) -> None:
    with (
        listening(Bounds(body_window=0.2, body_rate=1000)) as (app, address),
        socket.create_connection(address) as connection,
    ):
        connection.sendall(HEAD + way + b"x" * 150)

        assert STATUS.findall(said(connection)) == [b"408"]
        assert app.client_left.wait(LONG)


def test_a_body_that_keeps_the_pace_has_an_end_all_the_same() -> None:
    with (
        listening(Bounds(body_window=0.05, body_rate=1, body_seconds=0.5)) as (app, address),
        socket.create_connection(address) as connection,
    ):
        stop = threading.Event()

        def send() -> None:
            try:
                while not stop.is_set():
                    connection.sendall(b"x" * 100)
            except OSError:
                pass

        connection.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        sender = threading.Thread(target=send)
        sender.start()
        try:
            assert STATUS.findall(said(connection)) in ([b"408"], [])  # a reset may overtake the answer
        finally:
            stop.set()
            connection.close()
            sender.join()
        assert app.client_left.wait(LONG)


def test_a_body_that_was_answered_before_its_end_is_not_taken_for_ever() -> None:
    with (
        listening(Bounds(linger_seconds=0.2)) as (app, address),
        socket.create_connection(address) as connection,
    ):
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")

        assert STATUS.findall(said(connection)) == [b"200"]
        assert app.seen == ["/early"]


def test_a_body_that_was_answered_before_its_end_may_end_and_another_request_follow() -> None:
    with listening(Bounds(linger_seconds=LONG)) as (app, address), socket.create_connection(address) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        connection.settimeout(LONG)
        first = connection.recv(1000)
        connection.sendall(b"bc" + SECOND)

        assert STATUS.findall(first + said(connection)) == [b"200", b"200"]
        assert app.seen == ["/early", "/second"]


def test_a_head_without_end_is_refused_after_a_bounded_time() -> None:
    with listening(Bounds(head_seconds=0.2)) as (_, address), socket.create_connection(address) as connection:
        connection.sendall(b"GET /first HTTP/1.1\r\nHost: a\r\n")

        assert STATUS.findall(said(connection)) == [b"408"]
