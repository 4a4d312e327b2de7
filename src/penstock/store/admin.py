"""The admin listener: metrics, on an address of their own that is loopback unless the operator says otherwise (S30).

A thread of its own answers, so that metrics can be read while every other thread waits for a dying disk.
"""

from __future__ import annotations

import contextlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.telemetry import Meters

_PATH = "/metrics"
_IDLE_SECONDS = 10
_LOOK_FOR_THE_END_SECONDS = 0.2


@contextlib.contextmanager
def serving_metrics(listener: socket.socket, meters: Meters, directory: Path) -> Iterator[None]:
    """Answer `GET /metrics` on a listening socket, which several processes may share. It stays the caller's."""
    server = _Server(listener, lambda accept: meters.render(accept, measured(directory)))
    thread = threading.Thread(
        target=server.serve_forever, args=(_LOOK_FOR_THE_END_SECONDS,), name="metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def measured(directory: Path) -> dict[str, float]:
    """What is looked up when it is asked for: free space, open uploads."""
    found: dict[str, float] = {}
    with contextlib.suppress(OSError):
        disk = os.statvfs(directory)
        found["penstock_store_free_bytes"] = disk.f_bavail * disk.f_frsize
    with contextlib.suppress(OSError), os.scandir(directory / "uploads") as uploads:
        found["penstock_store_uploads"] = sum("." not in upload.name for upload in uploads)
    return found


class _Server(ThreadingHTTPServer):
    """The library's server on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, render: Callable[[str], tuple[bytes, str]]) -> None:
        address = listener.getsockname()
        super().__init__(address[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.render = render

    def server_close(self) -> None:
        """Leave the socket to whoever opened it."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IDLE_SECONDS
    protocol_version = "HTTP/1.1"
    server_version = "penstock"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != _PATH:
            self._answer(404, b"metrics are at /metrics\n", "text/plain")
            return
        self._answer(200, *self.server.render(self.headers.get("accept", "")))

    do_HEAD = do_GET  # noqa: N815 - the library looks for this name

    def log_message(self, *_: object) -> None:
        """Being asked for metrics is no event."""

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
