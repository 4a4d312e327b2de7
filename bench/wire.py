"""The cheapest client that speaks HTTP/1.1 on a kept connection: it shares the machine with what it measures."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit


class Wire:
    """One connection to one origin."""

    def __init__(self, origin: str) -> None:
        parts = urlsplit(origin)
        self._host = parts.netloc
        self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(
        self, method: str, target: str, *, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes]:
        """One exchange; the status and the body."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items() if name.lower() != "content-length"]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return self._answer()

    def json(self, method: str, target: str, *, key: str, body: object | None = None) -> Any:  # noqa: ANN401 - JSON
        """One JSON exchange with an API key. Raises on anything but a 2xx."""
        sent = b"" if body is None else json.dumps(body).encode()
        status, received = self.send(method, target, headers={"Authorization": f"Bearer {key}"}, body=sent)
        if status // 100 != 2:  # noqa: PLR2004 - success
            raise RuntimeError(f"{method} {target.partition('?')[0]}: {status} {received[:200]!r}")
        return json.loads(received)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _answer(self) -> tuple[int, bytes]:
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(self._buffer) < length:
            self._fill()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return int(head[9:12]), body

    def _fill(self) -> None:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError("the server closed the connection")
        self._buffer += received
