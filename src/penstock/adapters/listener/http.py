"""The web server's HTTP protocol with the bounds and the strictness that it lacks (P9, F10, S31)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=%:\[\]-]*")
"""RFC 3986 §3.2.2 and a port; without the comma, by which some join several into one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a request may take, in bytes and seconds.

    A body has to come at `body_rate` bytes per second, counted over each `body_window`, and within `body_seconds` as a
    whole. One that is not read to its end because it was answered before may go on for `linger_seconds`.
    """

    head_bytes: int = 64 * 1024
    head_seconds: float = 15.0
    body_rate: int = 1024
    body_window: float = 30.0
    body_seconds: float = 300.0
    linger_seconds: float = 5.0


def guarded_protocol(bounds: Bounds | None = None) -> type[GuardedProtocol]:
    """The protocol for `uvicorn.Config(http=…)`."""
    chosen = bounds or Bounds()

    class Bounded(GuardedProtocol):
        """With these bounds."""

        bounds = chosen

    return Bounded


class _MisframedError(Exception):
    """Raised into the parser, which stops reading there."""


class GuardedProtocol(HttpToolsProtocol):
    """Ends a request that is too large (431), too slow (408) or can be read in two ways (400), and its connection.

    The parser itself refuses what is broken; here is what it leaves to its user. Earlier requests on the connection are
    answered first.
    """

    bounds: ClassVar[Bounds]

    _in_head = True
    _in_body = False
    _deaf = False
    _begun_now = False
    _head_bytes = 0
    _body_bytes = 0
    _framing_bytes = 0
    _body_until = 0.0
    _head_deadline: asyncio.TimerHandle | None = None
    _body_look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its parent does
        """A head is expected from now on."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._forget_head_deadline()
        self._forget_body()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count, and hand on."""
        if self._deaf:
            return
        self._begun_now = False
        self._framing_bytes += len(data)
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._in_head and not self._begun_now else 0
        self._body_bytes += len(data)
        if max(self._head_bytes, self._framing_bytes if self._in_body else 0) > self.bounds.head_bytes:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._in_body and self._body_look is None:
            self._expect_body()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head = self._begun_now = True
        if self._head_deadline is None:
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head. Trailers, which nobody has looked at, are no part of it (RFC 9110 §6.5.1)."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is there: look at it once, before anybody acts on it."""
        self._in_head = False
        self._forget_head_deadline()
        if not is_framed(self.headers, self.parser.get_http_version()):
            raise _MisframedError
        super().on_headers_complete()
        self._in_body = True
        self._framing_bytes = 0
        if self._upgrades():
            self._in_body = False
        elif self.parser.should_upgrade():  # to what we do not speak; what follows is then nobody's to read
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of a body; what comes between two, or after the last, has a bound."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A body has ended."""
        self._in_body = False
        self._forget_body()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered. Where that was before the end of the body, the rest is not taken for ever."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete:
            self.loop.call_later(self.bounds.linger_seconds, self._close_unread, self.cycle)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, unless earlier answers are still to come on it."""
        before: RequestResponseCycle | None = self.cycle
        if self.pipeline or (before is not None and not before.response_complete):
            self._refuse(b"400 Bad Request")
            return
        self._forget_head_deadline()
        self._forget_body()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not for the client
        """What the parser, or we, could not read."""
        self._refuse(b"400 Bad Request")

    def _should_upgrade(self) -> bool:
        """A handshake is a GET (RFC 6455 §4.1)."""
        return super()._should_upgrade() and self.parser.get_method() == b"GET"

    def _upgrades(self) -> bool:
        return self.parser.should_upgrade() and self._should_upgrade()

    def _expect_head(self) -> None:
        self._head_deadline = self.loop.call_later(self.bounds.head_seconds, self._refuse, b"408 Request Timeout")

    def _forget_head_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _expect_body(self) -> None:
        self._body_bytes = 0
        self._body_until = self.loop.time() + self.bounds.body_seconds
        self._body_look = self.loop.call_later(self._window(), self._look_at_body)

    def _look_at_body(self) -> None:
        came, self._body_bytes = self._body_bytes, 0
        held_back = self.flow.read_paused  # by us, for want of room
        too_slow = came < self.bounds.body_rate * self.bounds.body_window and not held_back
        if too_slow or self.loop.time() >= self._body_until:
            self._refuse(b"408 Request Timeout")
        else:
            self._body_look = self.loop.call_later(self._window(), self._look_at_body)

    def _window(self) -> float:
        return max(0.0, min(self.bounds.body_window, self._body_until - self.loop.time()))

    def _forget_body(self) -> None:
        if self._body_look is not None:
            self._body_look.cancel()
            self._body_look = None

    def _close_unread(self, cycle: RequestResponseCycle) -> None:
        if self._in_body and self.cycle is cycle and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: bytes) -> None:
        """Answer, unless that would fall into another answer, and close; earlier requests come first."""
        if self.transport.is_closing():
            return
        before: RequestResponseCycle | None = self.cycle  # None before the first request
        if not self._in_body and before is not None and not before.response_complete:
            self._deaf = True
            self._forget_head_deadline()
            before.keep_alive = False
            return
        if not self._in_body or not (self.pipeline or self.cycle.response_started):
            self.transport.write(plain_answer(status))
        self.transport.close()


def is_framed(headers: Iterable[tuple[bytes, bytes]], version: str) -> bool:
    """Whether everybody on the way reads the same request here, as far as the parser leaves that to us (S31).

    HTTP/1 alone; one plain Host (RFC 9112 §3.2); no transfer coding but `chunked`, and none in HTTP/1.0 (§6.1, §7).
    """
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                return False
        elif name == b"transfer-encoding" and (value.strip().lower() != b"chunked" or version != "1.1"):
            return False
    return (version == "1.1" and hosts == 1) or (version == "1.0" and hosts <= 1)


def plain_answer(status: bytes) -> bytes:
    """A whole answer that closes the connection (RFC 9457 §4.2.1); `status` is the number and the reason."""
    number, _, title = status.partition(b" ")
    body = b'{"type":"about:blank","title":"%s","status":%s}' % (title, number)
    head = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body
