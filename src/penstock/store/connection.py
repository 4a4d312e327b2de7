"""One client's socket: heads and bytes in, bytes and files out, each with its deadline or its least pace (F10)."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from penstock.store.faults import HEAD_TOO_LARGE, MALFORMED_HTTP, REQUEST_TIMEOUT, DataLost, Disconnected, Refused
from penstock.store.head import TERMINATOR
from penstock.store.reactor import READABLE, WRITABLE, DeadlinePassed, ready
from penstock.store.splicing import ThreadPipe

if TYPE_CHECKING:
    from penstock.store.config import Limits

_RECEIVE_BYTES = 64 * 1024
_BUFFER_BYTES = 256 * 1024
_TURN_BYTES = 16 * 1024 * 1024
"""After so many bytes without a wait a connection lets the others run."""


class _ThreadBuffer(threading.local):
    """One receive buffer per thread. Its content must be used up before the coroutine waits again."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_BUFFER_BYTES))


_buffer = _ThreadBuffer()
_pipe = ThreadPipe()


class _Pace:
    """Least bytes per window: a peer may be slow, but not so slow that it only holds a place."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._window_ends = time.monotonic() + limits.rate_seconds
        self._moved = 0
        self._turn = 0

    def moved(self, count: int) -> None:
        self._moved += count
        self._turn += count

    @property
    def turn_is_over(self) -> bool:
        return self._turn >= _TURN_BYTES

    async def wait(self, interest: int) -> None:
        """Wait for the socket. Raises `Refused` when too little moved in a window."""
        self._turn = 0
        self._judge()  # a peer that drips wakes us before every deadline
        try:
            await ready(interest, self._window_ends)
        except DeadlinePassed:
            self._judge()

    def _judge(self) -> None:
        now = time.monotonic()
        if now >= self._window_ends:
            if self._moved < self._limits.rate_bytes:
                raise Refused(REQUEST_TIMEOUT)
            self._window_ends = now + self._limits.rate_seconds
            self._moved = 0


class Connection:
    """A connected, non-blocking stream socket. Used by one coroutine."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._socket = sock
        self._limits = limits
        self._received = b""
        self.sent = 0
        """Bytes that the socket took, of all answers so far."""
        self._pace = _Pace(limits)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    async def read_head(self) -> bytes | None:
        """The bytes of the next head; None when the client is done, or idle for too long.

        Raises `Refused` for a head that is too large or comes too slowly.
        """
        if not self._received and not await self._await_first_byte():
            return None
        deadline = time.monotonic() + self._limits.head_seconds
        searched = 0
        while (end := self._received.find(TERMINATOR, searched)) < 0:
            if len(self._received) > self._limits.head_bytes:
                raise Refused(HEAD_TOO_LARGE)
            if self._received.startswith((b"\r\n", b"\n", b"\x16\x03")):
                raise Refused(MALFORMED_HTTP)
            searched = max(0, len(self._received) - len(TERMINATOR))
            if not await self._receive_more(deadline):
                raise Disconnected
        if end > self._limits.head_bytes:
            raise Refused(HEAD_TOO_LARGE)
        head, self._received = self._received[: end + 4], self._received[end + 4 :]
        return head

    def begin_transfer(self) -> None:
        """The pace of a body is measured from its own beginning, in either direction."""
        self._pace = _Pace(self._limits)

    def unread(self, data: bytes) -> None:
        """Give back what belongs to the next request."""
        self._received = data + self._received

    async def receive(self, limit: int) -> bytes | memoryview:
        """At least one and at most `limit` bytes; none at all at the end of the stream.

        What is returned is valid until the next wait. Raises `Refused` when the client is too slow.
        """
        if self._received:
            piece, self._received = self._received[:limit], self._received[limit:]
            return piece
        if self._pace.turn_is_over:
            await self._pace.wait(READABLE)
        while True:
            view = _buffer.view
            try:
                count = self._socket.recv_into(view, min(limit, len(view)))
            except BlockingIOError:
                await self._pace.wait(READABLE)
                continue
            except OSError:
                raise Disconnected from None
            self._pace.moved(count)
            return view[:count]

    async def splice(self, fd: int, limit: int) -> int:
        """Move at least one and at most `limit` bytes into a file, unseen; the count, 0 at the end of the stream.

        Raises `Refused` when the client is too slow, and the file's `OSError`.
        """
        if self._received:
            count = os.write(fd, self._received[:limit])
            self._received = self._received[count:]
            return count
        if self._pace.turn_is_over:
            await self._pace.wait(READABLE)
        while True:
            pipe = _pipe.pipe
            try:
                count = pipe.fill(self._socket.fileno(), limit)
            except BlockingIOError:
                await self._pace.wait(READABLE)
                continue
            except OSError:
                raise Disconnected from None
            pipe.empty(fd, count)
            self._pace.moved(count)
            return count

    async def send(self, data: bytes, *, more: bool = False) -> None:
        """Everything in `data`; `more` tells the kernel that a file follows."""
        flags = getattr(socket, "MSG_MORE", 0) if more else 0
        view = memoryview(data)
        while view:
            try:
                count = self._socket.send(view, flags)
                self.sent += count
                self._pace.moved(count)
                view = view[count:]
                if self._pace.turn_is_over:
                    await self._pace.wait(WRITABLE)
            except BlockingIOError:
                await self._pace.wait(WRITABLE)
            except OSError:
                raise Disconnected from None

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """`count` bytes of a file. Raises `DataLost` when they cannot be read: the client must see that (F6)."""
        end = offset + count
        while offset < end:
            try:
                sent = os.sendfile(self._socket.fileno(), fd, offset, min(end - offset, _TURN_BYTES))
            except BlockingIOError:
                await self._pace.wait(WRITABLE)
                continue
            except OSError as error:  # of the file or of the socket: what was announced cannot be sent any more
                raise (DataLost if error.errno == errno.EIO else Disconnected) from None
            if not sent:
                raise DataLost
            offset += sent
            self.sent += sent
            self._pace.moved(sent)
            if self._pace.turn_is_over:
                await self._pace.wait(WRITABLE)

    async def part(self) -> None:
        """End the connection so that the client can still read the answer: half-close, then a short drain."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + self._limits.drain_seconds
        remaining = 4 * 1024 * 1024
        while remaining > 0 and time.monotonic() < deadline:
            try:
                count = self._socket.recv_into(_buffer.view)
            except BlockingIOError:
                await ready(READABLE, deadline)
                continue
            except OSError:
                return
            if not count:
                return
            remaining -= count

    async def _await_first_byte(self) -> bool:
        deadline = time.monotonic() + self._limits.idle_seconds
        try:
            return await self._receive_more(deadline, idle=True)
        except DeadlinePassed:
            return False

    async def _receive_more(self, deadline: float, *, idle: bool = False) -> bool:
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                await self._wait_for_head(deadline, idle=idle)
                continue
            except OSError:
                raise Disconnected from None
            self._received += data
            return bool(data)

    async def _wait_for_head(self, deadline: float, *, idle: bool) -> None:
        try:
            await ready(READABLE, deadline, idle=idle)
        except DeadlinePassed:
            if idle:
                raise
            raise Refused(REQUEST_TIMEOUT) from None
        if not idle and time.monotonic() > deadline:
            raise Refused(REQUEST_TIMEOUT)
