"""The cheapest client that speaks HTTP/1.1 on a kept connection.

A load generator shares the machine with what it measures: bodies go out with `sendfile` and come in to be thrown away.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

_DISCARD_BYTES = 1024 * 1024


class Digest(Protocol):
    """What hashlib gives."""

    def update(self, data: memoryview, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case. `length` is that of the body, which `discard` does not keep."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes of an open file."""

    fd: int
    offset: int
    count: int


class Wire:
    """One connection to one origin. A peer that is silent for `seconds` ends it with an `OSError`."""

    def __init__(self, origin: str, *, seconds: int = 120) -> None:
        parts = urlsplit(origin)
        self._host = parts.netloc
        self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=30)
        # A timeout of Python's own would make the socket non-blocking and every call two.
        self._socket.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", seconds, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(self, method: str, target: str, *, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """One exchange with a body in memory."""
        self._socket.sendall(self._head(method, target, headers, len(body)) + body)
        return self._answer()

    def send_files(
        self, method: str, target: str, slices: Iterable[Slice], *, headers: dict[str, str] | None = None
    ) -> Answer:
        """One exchange with a body from files. A server may answer, and close, before it has taken everything."""
        pieces = list(slices)
        self._socket.sendall(self._head(method, target, headers, sum(piece.count for piece in pieces)))
        try:
            for piece in pieces:
                self._send_slice(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # its answer tells why, if there is one
        return self._answer()

    def discard(self, target: str, *, digest: Digest | None = None) -> Answer:
        """GET and throw away what comes, but for the digest that is asked for."""
        self._socket.sendall(self._head("GET", target, None, None))
        status, headers = self._answer_head()
        length = missing = int(headers.get("content-length", 0))
        view = memoryview(bytearray(_DISCARD_BYTES))
        first = min(len(self._buffer), missing)
        view[:first] = self._buffer[:first]
        self._buffer = self._buffer[first:]
        count = first
        while True:
            if digest is not None:
                digest.update(view[:count])
            missing -= count
            if not missing:
                return Answer(status, headers, b"", length)
            count = self._socket.recv_into(view, min(missing, _DISCARD_BYTES))
            if not count:
                raise ConnectionError("the server closed the connection")

    def json(self, method: str, target: str, *, key: str, body: object | None = None) -> dict[str, object]:
        """One JSON exchange with an API key. Raises on anything but a 2xx with an object."""
        sent = b"" if body is None else json.dumps(body).encode()
        answer = self.send(method, target, headers={"Authorization": f"Bearer {key}"}, body=sent)
        if answer.status // 100 != 2:  # noqa: PLR2004 - success
            raise RuntimeError(f"{method} {target.partition('?')[0]}: {answer.status} {answer.body[:200]!r}")
        received = json.loads(answer.body)
        assert isinstance(received, dict)
        return received

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _head(self, method: str, target: str, headers: dict[str, str] | None, length: int | None) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}"]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items() if name.lower() != "content-length"]
        return "\r\n".join([*lines, "", ""]).encode()

    def _send_slice(self, piece: Slice) -> None:
        offset, end = piece.offset, piece.offset + piece.count
        while offset < end:
            sent = os.sendfile(self._socket.fileno(), piece.fd, offset, end - offset)
            if not sent:
                raise RuntimeError("the file is shorter than it should be")
            offset += sent

    def _answer(self) -> Answer:
        status, headers = self._answer_head()
        length = int(headers.get("content-length", 0))
        while len(self._buffer) < length:
            self._fill()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answer(status, headers, body, length)

    def _answer_head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in lines]
        return int(first[9:12]), {name.lower(): value.strip() for name, _, value in pairs}

    def _fill(self) -> None:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError("the server closed the connection")
        self._buffer += received
