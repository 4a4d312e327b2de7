"""Many kept connections from one process: each sends its next prepared request as soon as the last one is answered."""

from __future__ import annotations

import re
import select
import socket
import struct
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BUFFER_BYTES = 256 * 1024
_SILENCE_SECONDS = 60
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")
_END = b"\r\n\r\n"


def prepare(origin: str, method: str, targets: Sequence[str], *, length: int | None) -> list[bytes]:
    """Heads of requests, as they go out."""
    host = urlsplit(origin).netloc
    framing = "" if length is None else f"Content-Length: {length}\r\n"
    return [f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n".encode() for target in targets]


class _Lane:
    """One connection. Its socket blocks: a small request always fits, and reading waits for epoll."""

    __slots__ = ("missing", "socket", "start")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _SILENCE_SECONDS, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.start = b""
        self.missing = 0


class Swarm:
    """`connections` connections to one origin, opened before anything is measured."""

    def __init__(self, origin: str, connections: int) -> None:
        parts = urlsplit(origin)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._view = memoryview(bytearray(_BUFFER_BYTES))
        self._lanes = [_Lane(self._address) for _ in range(connections)]

    def run(self, heads: Sequence[bytes], *, body: bytes = b"", answer_bytes: int | None = None) -> None:
        """All requests. Raises RuntimeError for an answer without success or of another length."""
        pending = iter(heads)
        epoll = select.epoll()
        try:
            lanes = {}
            for lane, head in zip(self._lanes, pending, strict=False):
                epoll.register(lane.socket, select.EPOLLIN)
                lanes[lane.socket.fileno()] = lane
                _send(lane, head, body)
            self._drive(epoll, lanes, pending, body=body, answer_bytes=answer_bytes)
        finally:
            epoll.close()

    def each(self, head: bytes, *, answer_bytes: int) -> None:
        """The same request over each connection, one after the other."""
        for lane in self._lanes:
            _send(lane, head, b"")
            while not self._receive(lane, answer_bytes):
                pass

    def close(self) -> None:
        for lane in self._lanes:
            lane.socket.close()

    def _drive(
        self,
        epoll: select.epoll,
        lanes: dict[int, _Lane],
        pending: Iterator[bytes],
        *,
        body: bytes,
        answer_bytes: int | None,
    ) -> None:
        outstanding = len(lanes)
        while outstanding:
            events = epoll.poll(_SILENCE_SECONDS)
            if not events:
                raise RuntimeError("the server has been silent for a minute")
            for fd, _ in events:
                lane = lanes[fd]
                if not self._receive(lane, answer_bytes):
                    continue
                head = next(pending, None)
                if head is None:
                    epoll.unregister(fd)
                    outstanding -= 1
                else:
                    _send(lane, head, body)

    def _receive(self, lane: _Lane, answer_bytes: int | None) -> bool:
        """Whether the answer is whole."""
        count = lane.socket.recv_into(self._view)
        if not count:
            raise ConnectionError("the server closed the connection")
        if lane.missing:
            lane.missing -= count
            return not lane.missing
        data = lane.start + self._view[:count]
        end = data.find(_END)
        if end < 0:
            lane.start = data
            return False
        lane.start = b""
        lane.missing = _body_bytes(data[: end + 2], answer_bytes) - (len(data) - end - len(_END))
        if lane.missing < 0:
            raise RuntimeError("more came than one answer")
        return not lane.missing


def _body_bytes(head: bytes, expected: int | None) -> int:
    if head[9:10] != b"2":
        raise RuntimeError(f"answered {head[:200]!r}")
    found = _LENGTH.search(head.lower())
    length = int(found.group(1)) if found else 0
    if expected is not None and length != expected:
        raise RuntimeError(f"answered {length} bytes, not {expected}")
    return length


def _send(lane: _Lane, head: bytes, body: bytes) -> None:
    sent = lane.socket.sendmsg([head, body])
    if sent < len(head) + len(body):
        lane.socket.sendall((head + body)[sent:])
