"""The web server's WebSocket protocol with the bounds that it lacks (P9, F10)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from penstock.adapters.listener.arrivals import Arrivals
from penstock.adapters.listener.frames import Spoken
from penstock.adapters.listener.http import Bounds, plain_answer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
    from websockets.http11 import Request

PING_SECONDS = 30.0
"""Between two pings on a WebSocket, and how long its answer may take: a busy client is no dead one."""
PONG_SECONDS = 60.0
_SMALL_MESSAGE = 64 * 1024
_TOO_SLOW = 1008
_TRY_AGAIN = 1013


def guarded_socket(bounds: Bounds | None = None) -> type[GuardedSocket]:
    """The protocol for `uvicorn.Config(ws=…)`. A message has to come as fast as a body."""
    chosen = bounds or Bounds()
    counted: Arrivals[GuardedSocket] = Arrivals()

    class Bounded(GuardedSocket):
        """With these bounds, counting together."""

        bounds = chosen
        arrivals = counted

    return Bounded


class GuardedSocket(WebSocketsSansIOProtocol):
    """A WebSocket that takes little from strangers, and ends where a message is too slow or there is no room for it.

    A message that is too large is refused and passed over, but for strangers.

    It is the `line` in its scope's state (`dialects.base.lines`). How much a message may become is bounded before it is
    inflated. What the listener itself ends goes on to be read for a while and thrown away: clients that still send
    would lose what was said to them last.
    """

    bounds: ClassVar[Bounds]
    arrivals: ClassVar[Arrivals[GuardedSocket]]

    conn: Spoken
    owner = ""
    _read = 0
    _came = 0
    _until = 0.0
    _look: asyncio.TimerHandle | None = None
    _failed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - its parent's, passed on
        super().__init__(*args, **kwargs)
        self.conn = Spoken(max_size=_SMALL_MESSAGE, logger=self.conn.logger)

    @property
    def receiving(self) -> bool:
        """Whether a message has begun to arrive and is not there as a whole."""
        return self.unread > 0

    @property
    def unread(self) -> int:
        """Bytes of a message that is not there as a whole, as far as it has been read."""
        return len(self.conn.reader.buffer) + (self.conn.current_size or 0) + self.conn.skipping

    def allow(self, size: int, *, owner: str) -> None:
        """Take messages of up to so many bytes from now on; they count as the owner's."""
        self.owner = owner
        self.conn.max_message_size = size
        self.conn.skips = True

    def say_last(self, words: Callable[[int, str], str]) -> None:
        """What is sent of a message that is not taken: of its code, its beginning, and its end if that came."""
        self.conn.words = words

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
        if not self.close_sent:
            self.transport.write(b"".join(self.conn.data_to_send()))  # of a message that was passed over
        self._came += len(data)
        self._count()
        if not self.unread:
            self._forget_look()
        elif self._look is None and not self.close_sent:
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

    async def send(self, message: ASGISendEvent) -> None:
        """Send, and wait until it has been taken. Raises `OSError` when nobody is there any more."""
        try:
            await super().send(message)
        except RuntimeError:  # said where the end was sent already, of which the app has not heard yet
            if not self._failed:
                raise
            raise ClientDisconnected from None
        if not self.writable.is_set():
            await self.writable.wait()
            if self.disconnected:
                raise ClientDisconnected

    def keepalive_timeout(self) -> None:
        """Nobody is there: what has not been sent will never be."""
        super().keepalive_timeout()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._forget_look()
        self.arrivals.hold(self, 0)
        super().connection_lost(exc)

    def handle_parser_exception(self) -> None:
        """The end is said; what the client still sends is not looked at."""
        if self.close_sent:
            return
        self.close_sent = self._failed = True
        said = self.conn.close_sent
        code, reason = (said.code, said.reason) if said is not None else (_TOO_SLOW, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.arrivals.hold(self, 0)
        self.close_timer = self.loop.call_later(self.bounds.linger_seconds, self.transport.close)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _count(self) -> None:
        if self.disconnected or self.close_sent:
            return
        held = self.unread + self._read
        too_much = self.arrivals.hold(self, held if held > _SMALL_MESSAGE else 0)
        if too_much is not None:
            too_much.give_way()

    def give_way(self) -> None:
        """End it, for want of room."""
        self._end(_TRY_AGAIN, "too many large messages")

    def _look_at_message(self) -> None:
        self._look = None
        if not self.unread:
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
