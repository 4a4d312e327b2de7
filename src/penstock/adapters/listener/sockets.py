"""The web server's WebSocket protocol with the bounds that it lacks (P9, F10)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.server import ServerProtocol

from penstock.adapters.listener.http import Bounds, plain_answer

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGIReceiveEvent
    from websockets.http11 import Request

PING_SECONDS = 30.0
"""Between two pings on a WebSocket, and how long its answer may take: a busy client is no dead one."""
PONG_SECONDS = 60.0
_SMALL_MESSAGE = 64 * 1024
_MOST_ARRIVING = 128 * 2**20
_TOO_SLOW = 1008
_TRY_AGAIN = 1013


class _Arriving:
    """Bytes of large messages that all WebSockets of a listener hold."""

    def __init__(self) -> None:
        self.bytes = 0


def guarded_socket(bounds: Bounds | None = None) -> type[GuardedSocket]:
    """The protocol for `uvicorn.Config(ws=…)`. A message has to come as fast as a body."""
    chosen = bounds or Bounds()
    counted = _Arriving()

    class Bounded(GuardedSocket):
        """With these bounds, counting together."""

        bounds = chosen
        arriving = counted

    return Bounded


class GuardedSocket(WebSocketsSansIOProtocol):
    """A WebSocket that takes little from strangers, and ends where a message is too slow or there is no room for it.

    It is the `line` in its scope's state (`dialects.base.lines`). Messages are compressed one by one: idle ones then
    cost no window. How much one may become is bounded before it is inflated.
    """

    bounds: ClassVar[Bounds]
    arriving: ClassVar[_Arriving]

    _held = 0
    _read = 0
    _came = 0
    _until = 0.0
    _look: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - its parent's, passed on
        super().__init__(*args, **kwargs)
        extension = ServerPerMessageDeflateFactory(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=12,
            client_max_window_bits=12,
            compress_settings={"memLevel": 5},
        )
        self.conn = ServerProtocol(extensions=[extension], max_size=_SMALL_MESSAGE, logger=self.conn.logger)

    @property
    def receiving(self) -> bool:
        """Whether a message has begun to arrive and is not there as a whole."""
        return self._partial() > 0

    def allow(self, size: int) -> None:
        """Take messages of up to so many bytes from now on."""
        self.conn.max_message_size = size

    def abort(self) -> None:
        """End the connection at once, whatever has not been sent yet."""
        self.transport.abort()

    def handle_connect(self, event: Request) -> None:
        """A handshake."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self.scope["state"]["line"] = self

    def data_received(self, data: bytes) -> None:
        """Read on, and see that what has begun also ends."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(plain_answer(b"400 Bad Request"))
            self.transport.close()
            return
        self._came += len(data)
        self._count()
        if self._partial() and self._look is None and not self.close_sent:
            self._came = 0
            self._until = self.loop.time() + self.bounds.body_seconds
            self._look = self.loop.call_later(self.bounds.body_window, self._look_at_message)

    def send_receive_event_to_app(self) -> None:
        """A message is there. Text that is no UTF-8 is handed on as bytes: the dialect has an answer to that."""
        data = b"".join(self.frames)
        self.frames = [data]
        if self.curr_msg_data_type == "text":
            try:
                data.decode()
            except UnicodeDecodeError:
                self.curr_msg_data_type = "bytes"
        self._read = len(data)
        self._forget_look()
        super().send_receive_event_to_app()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message; the one before has been dealt with."""
        self._read = 0
        self._count()
        return await super().receive()

    def keepalive_timeout(self) -> None:
        """Nobody is there: what has not been sent will never be."""
        super().keepalive_timeout()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._forget_look()
        self.arriving.bytes -= self._held
        self._held = 0
        super().connection_lost(exc)

    def _partial(self) -> int:
        """Bytes of a message that is not there as a whole, as far as it has been read."""
        return len(self.conn.reader.buffer) + (self.conn.current_size or 0)

    def _count(self) -> None:
        if self.disconnected:
            return
        held = self._partial() + self._read
        held = held if held > _SMALL_MESSAGE else 0
        self.arriving.bytes += held - self._held
        self._held = held
        if held and self.arriving.bytes > _MOST_ARRIVING:
            self._end(_TRY_AGAIN, "too many large messages")

    def _look_at_message(self) -> None:
        self._look = None
        if not self._partial():
            return
        came, self._came = self._came, 0
        too_slow = came < self.bounds.body_rate * self.bounds.body_window and not self.read_paused
        if too_slow or self.loop.time() >= self._until:
            self._end(_TOO_SLOW, "too slow")
        else:
            self._look = self.loop.call_later(self.bounds.body_window, self._look_at_message)

    def _forget_look(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _end(self, code: int, reason: str) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.fail(code, reason)
        self.handle_parser_exception()
        self.transport.close()
