"""WebSockets on the API's listener: what strangers may send, how fast, how much at once, and handshakes (P9, F10)."""

from __future__ import annotations

import asyncio
import base64
import queue
import random
import re
import socket
import struct
import threading
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from penstock.adapters.listener import Bounds, arrivals, guarded_protocol, guarded_socket
from tests.support.prompt_server import PromptServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive, Scope, Send
    from websockets.sync.client import ClientConnection

LONG = 60.0
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
HANDSHAKE = (
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
BOMB = bytes(20_000_000)


class Echo:
    """Says of each message its kind and size; HTTP is answered by its method.

    `allow N OWNER` widens the line, `say N` wants N bytes.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.held = threading.Event()
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.go = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, send)
            return
        self.seen.append(scope["path"])
        await receive()
        scope["state"]["line"].say_last(lambda code, seen: f"{code} {seen[:20]}/{seen[-20:]}")
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await self._echo(message, scope, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        self.seen.append(scope["method"])
        if scope["path"] == "/held":
            self.held.set()
            await asyncio.to_thread(self.go.wait, LONG)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def _echo(self, message: Any, scope: Scope, send: Send) -> None:  # noqa: ANN401 - an ASGI message
        text = message.get("text")
        if text is not None and text.startswith("say "):
            try:
                await send({"type": "websocket.send", "text": "a" * int(text[4:])})
            except OSError:
                self.told.put("lost")
                raise
            self.told.put("sent")
            return
        if text is not None and text.startswith("allow "):
            _, size, owner = text.split(" ")
            scope["state"]["line"].allow(int(size), owner=owner)
        kind, size = ("bytes", len(message["bytes"])) if text is None else ("text", len(text))
        await send({"type": "websocket.send", "text": f"{kind} {size}"})


@contextmanager
def listening(
    bounds: Bounds | None = None,
    **options: Any,  # noqa: ANN401 - of the web server
) -> Iterator[tuple[Echo, tuple[str, int]]]:
    app = Echo()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=guarded_protocol(bounds),
            ws=guarded_socket(bounds),
            lifespan="off",
            log_config=None,
            **options,
        )
        server = PromptServer(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield app, sock.getsockname()
        finally:
            app.go.set()
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Echo, tuple[str, int]]]:
    with listening() as opened:
        yield opened


@contextmanager
def client(address: tuple[str, int], **options: Any) -> Iterator[ClientConnection]:  # noqa: ANN401 - of the library
    with connect(f"ws://{address[0]}:{address[1]}/a", open_timeout=LONG, close_timeout=1, **options) as wire:
        yield wire


def ask(wire: ClientConnection, message: str | bytes, **options: Any) -> str:  # noqa: ANN401 - of the library
    wire.send(message, **options)
    return str(wire.recv(timeout=LONG))


def end_of(wire: ClientConnection, act: Callable[[], object]) -> int:
    """The code by which the server ends the connection after an act."""
    return last_of(wire, act)[0]


def last_of(wire: ClientConnection, act: Callable[[], object]) -> tuple[int, str]:
    """The same, and what was said before."""
    words = ""
    try:
        act()
        words = str(wire.recv(timeout=LONG))
        wire.recv(timeout=LONG)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0, words
    return 0, words


def said(connection: socket.socket) -> bytes:
    connection.settimeout(LONG)
    answer = b""
    while data := connection.recv(65_536):
        answer += data
    return answer


def statuses(address: tuple[str, int], raw: bytes) -> list[bytes]:
    with socket.create_connection(address) as connection:
        connection.sendall(raw)
        return STATUS.findall(said(connection))


def test_messages_are_handed_on_compressed_or_not(shared: tuple[Echo, tuple[str, int]]) -> None:
    _, address = shared
    for options in ({}, {"compression": None}):
        with client(address, **options) as wire:
            assert [ask(wire, "é" * 1000), ask(wire, b"abc")] == ["text 1000", "bytes 3"]
            wire.send(["a", "b"])
            assert wire.recv(timeout=LONG) == "text 2"


def test_text_that_is_no_utf_8_is_handed_on_as_bytes(shared: tuple[Echo, tuple[str, int]]) -> None:
    with client(shared[1]) as wire:
        assert ask(wire, b"a\xff", text=True) == "bytes 2"
        assert ask(wire, "more") == "text 4"


def test_a_stranger_may_send_little_until_the_line_is_widened(shared: tuple[Echo, tuple[str, int]]) -> None:
    with client(shared[1]) as wire:
        assert end_of(wire, lambda: wire.send("a" * 70_000)) == 1009
    with client(shared[1]) as wire:
        ask(wire, "allow 1000000 acme")
        assert ask(wire, "a" * 70_000) == "text 70000"


def test_a_message_that_drips_is_given_up() -> None:
    with listening(Bounds(body_window=0.2, body_rate=1000)) as (_, address), client(address) as wire:
        frame = Frame(Opcode.TEXT, b"a" * 10_000).serialize(mask=True)

        assert end_of(wire, lambda: wire.socket.sendall(frame[:100])) == 1008


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_what_is_too_large_is_told_by_its_beginning_and_the_next_message_is_taken(
    shared: tuple[Echo, tuple[str, int]], compression: str | None
) -> None:
    noise = "".join(chr(33 + byte % 90) for byte in random.Random(1).randbytes(3_000_000))  # noqa: S311 - to be incompressible
    with client(shared[1], compression=compression) as wire:
        ask(wire, "allow 1000000 acme")
        wire.send("this is the message " + noise + "this is the end")
        told = str(wire.recv(timeout=LONG))
        assert [ask(wire, "next"), ask(wire, "a" * 999_999)] == ["text 4", "text 999999"]

    assert told.startswith("1009 this is the message ")
    assert told.endswith("this is the end") == (compression is None)


def test_what_becomes_too_large_is_not_inflated_and_the_next_message_is_taken(
    shared: tuple[Echo, tuple[str, int]],
) -> None:
    letters = base64.b64encode(random.Random(2).randbytes(2_000_000))  # noqa: S311 - as a picture comes
    with client(shared[1]) as wire:
        ask(wire, f"allow {len(letters) - 1} acme")

        assert len(zlib.compress(letters)) < 0.8 * len(letters)
        assert ask(wire, b"this is the message " + letters).startswith("1009 this is the message ")
        assert ask(wire, "next") == "text 4"


def test_what_is_sent_to_be_inflated_in_vain_is_the_end(shared: tuple[Echo, tuple[str, int]]) -> None:
    with client(shared[1]) as wire:
        ask(wire, "allow 1000000 acme")

        assert len(zlib.compress(BOMB)) < 50_000
        code, words = last_of(wire, lambda: wire.send(b"this is the message " + BOMB))

    assert code == 1009
    assert words.startswith("1009 this is the message ")


def test_what_is_too_large_to_be_passed_over_or_comes_in_pieces_is_the_end(
    shared: tuple[Echo, tuple[str, int]],
) -> None:
    with client(shared[1], compression=None) as wire:
        ask(wire, "allow 1000000 acme")
        frame = Frame(Opcode.TEXT, b"this is the message").serialize(mask=True)
        mask, held = frame[2:6], frame[6:]
        huge = b"\x81\xff" + (2**40).to_bytes(8, "big") + mask + held
        assert last_of(wire, lambda: wire.socket.sendall(huge)) == (
            1009,
            "1009 this is the message/this is the message",
        )
    with client(shared[1], compression=None) as wire:
        ask(wire, "allow 1000000 acme")
        assert end_of(wire, lambda: wire.send(["a" * 600_000, "a" * 600_000])) == 1009


def test_what_was_sent_has_left_the_server(shared: tuple[Echo, tuple[str, int]]) -> None:
    """So that whoever counts what is on its way knows when it is no more, and keeps what nobody will read."""
    app, address = shared
    with client(address, compression=None, max_size=None) as wire:
        wire.send("say 30000000")
        assert len(wire.recv(timeout=LONG)) == 30_000_000
        assert app.told.get(timeout=LONG) == "sent"
    with socket.create_connection(address) as connection:
        connection.sendall(HANDSHAKE + b"\r\n")
        assert STATUS.match(connection.recv(65_536))
        connection.sendall(Frame(Opcode.TEXT, b"say 30000000").serialize(mask=True))
        assert connection.recv(1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert app.told.get(timeout=LONG) == "lost"


def test_an_owner_has_a_share_of_the_room_and_it_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_OF_ONE", 150_000)
    half = Frame(Opcode.TEXT, b"a" * 200_000).serialize(mask=True)[:100_000]
    with listening() as (_, address):
        with client(address) as one, client(address) as two, client(address) as other:
            ask(one, "allow 1000000 acme")
            ask(two, "allow 1000000 acme")
            ask(other, "allow 1000000 rival")
            one.socket.sendall(half)
            told = last_of(two, lambda: two.socket.sendall(half + half))
            beside = ask(other, "a" * 140_000)
        with client(address) as three:
            ask(three, "allow 1000000 acme")
            after = ask(three, "a" * 140_000)

    assert told == (1013, f"1013 {'a' * 20}/{'a' * 20}")
    assert (beside, after) == ("text 140000", "text 140000")


def test_where_all_room_is_taken_the_one_who_holds_the_most_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_ARRIVING", 250_000)
    half = Frame(Opcode.TEXT, b"a" * 400_000).serialize(mask=True)[:190_000]
    with listening() as (_, address), client(address) as rich, client(address) as poor:
        ask(rich, "allow 1000000 rich")
        ask(poor, "allow 1000000 poor")
        rich.socket.sendall(half)
        code = end_of(rich, lambda: poor.socket.sendall(Frame(Opcode.TEXT, b"a" * 90_000).serialize(mask=True)))
        taken = poor.recv(timeout=LONG)

    assert (code, taken) == (1013, "text 90000")


def test_a_client_that_answers_no_ping_is_dropped() -> None:
    with (
        listening(ws_ping_interval=0.1, ws_ping_timeout=0.2) as (_, address),
        socket.create_connection(address) as connection,
    ):
        connection.sendall(HANDSHAKE + b"\r\n")

        assert said(connection).startswith(b"HTTP/1.1 101 ")  # and then comes the end


def test_a_handshake_that_is_none_is_refused(shared: tuple[Echo, tuple[str, int]]) -> None:
    app, address = shared
    before = len(app.seen)
    wrong = {
        "another version": HANDSHAKE.replace(b"13", b"12") + b"\r\n",
        "a key that is none": HANDSHAKE.replace(b"dGhl", b"####") + b"\r\n",
        "a line beyond the library's": HANDSHAKE + b"X-A: " + b"a" * 9000 + b"\r\n\r\n",
        "two hosts": HANDSHAKE + b"Host: b\r\n\r\n",
    }

    assert {what: statuses(address, raw)[0][:1] for what, raw in wrong.items()} == dict.fromkeys(wrong, b"4")
    assert app.seen[before:] == []


def test_a_handshake_by_another_method_is_a_request_like_others() -> None:
    with listening() as (app, address):
        assert statuses(address, HANDSHAKE.replace(b"GET", b"POST") + b"\r\n") == [b"200"]
        assert app.seen == ["POST"]


def test_a_handshake_behind_an_answer_that_is_still_to_come_is_not_made() -> None:
    with listening() as (app, address), socket.create_connection(address) as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n" + HANDSHAKE + b"\r\n")
        assert app.held.wait(LONG)
        app.go.set()

        assert STATUS.findall(said(connection)) == [b"200"]
        assert app.seen == ["GET"]


def test_a_handshake_may_follow_an_answer_on_the_same_connection() -> None:
    with listening() as (app, address), socket.create_connection(address) as connection:
        connection.settimeout(LONG)
        connection.sendall(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        first = b""
        while not first.endswith(b"ok"):
            first += connection.recv(65_536)
        connection.sendall(HANDSHAKE + b"\r\n")
        second = connection.recv(65_536)

    assert [STATUS.match(answer)[1] for answer in (first, second)] == [b"200", b"101"]  # type: ignore[index]  # None fails as well
    assert app.seen == ["GET", "/a"]
