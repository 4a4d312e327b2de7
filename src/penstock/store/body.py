"""A request's body as pieces, whatever its framing; `100 Continue` is sent when the first piece is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.store.chunked import ChunkedDecoder
from penstock.store.faults import INCOMPLETE_BODY, Refused

if TYPE_CHECKING:
    from penstock.store.connection import Connection
    from penstock.store.head import Head

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CHUNK_STEP = 256 * 1024


class Body:
    """What follows a head. Reading it is what invites the client to send it, so authorise first."""

    def __init__(self, connection: Connection, head: Head) -> None:
        self._connection = connection
        self._remaining = head.length
        self._decoder = ChunkedDecoder() if head.length is None else None
        self._pieces: list[bytes] = []
        self._invitation_due = head.expects_continue and head.length != 0
        self.length = head.length
        self.received = 0

    @property
    def finished(self) -> bool:
        """Whether the next byte on the connection belongs to another request."""
        if self._decoder is not None:
            return self._decoder.done and not self._pieces
        return self._remaining == 0

    async def receive(self) -> bytes | memoryview:
        """The next piece, valid until the next call; empty at the end of the body.

        Raises `Refused`: `IncompleteBody` when the client stops early (F7), `RequestTimeout` when it is too slow.
        """
        if self.finished:
            return b""
        await self._invite()
        piece = await self._next()
        self.received += len(piece)
        return piece

    @property
    def movable(self) -> int:
        """How many bytes stand as they are on the wire, one after the other."""
        return self._remaining or 0

    async def move(self, fd: int) -> int:
        """Move some of what is `movable` into a file without a look at it; how many bytes that was.

        Raises as `receive` does, and the file's `OSError`.
        """
        await self._invite()
        count = await self._connection.splice(fd, self.movable)
        if not count:
            raise Refused(INCOMPLETE_BODY)
        self._remaining = self.movable - count
        self.received += count
        return count

    async def skip(self, limit: int) -> bool:
        """Read the rest away if it is short and on its way. Whether the connection can serve another request."""
        if self.finished:
            return True
        if self._remaining is None or self._remaining > limit or self._invitation_due:
            return False
        while await self.receive():
            pass
        return True

    async def _invite(self) -> None:
        if self._invitation_due:
            self._invitation_due = False
            await self._connection.send(_CONTINUE)
        if not self.received:
            self._connection.begin_transfer()

    async def _next(self) -> bytes | memoryview:
        if self._decoder is None:
            piece = await self._connection.receive(self._remaining or 0)
            if not piece:
                raise Refused(INCOMPLETE_BODY)
            self._remaining = (self._remaining or 0) - len(piece)
            return piece
        while not self._pieces and not self._decoder.done:
            data = await self._connection.receive(_CHUNK_STEP)
            if not data:
                raise Refused(INCOMPLETE_BODY)
            self._pieces = self._decoder.feed(bytes(data))
            if self._decoder.done:
                self._connection.unread(self._decoder.leftover)
        return self._pieces.pop(0) if self._pieces else b""
