"""Where containers tell how far a prediction is: a small HTTP server, one secret path per prediction.

What comes here is for the reader alone (log lines, progress). The result is never taken from it, so that a lost or
forged callback does no harm.
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.ports.clock import Entropy

_MOST_BYTES = 4 << 20
_READ_SECONDS = 10.0
_OK, _NOT_FOUND, _BAD, _TOO_LARGE, _NOT_NOW = 200, 404, 400, 413, 503


class CogCallbacks:
    """Listens at `host` and `port` (0: a free one). `public_url` is how containers reach it; empty: the same."""

    def __init__(self, host: str, port: int, entropy: Entropy, *, public_url: str = "") -> None:
        self._entropy = entropy
        self._listeners: dict[str, Callable[[str], None]] = {}
        self._server = ThreadingHTTPServer((host, port), self._handler())
        self._server.daemon_threads = True
        self._url = (public_url or f"http://{host}:{self._server.server_port}").rstrip("/")
        self._thread = threading.Thread(target=self._server.serve_forever, name="cog-callbacks", daemon=True)
        self._thread.start()

    @contextmanager
    def listening(self, tell: Callable[[str], None]) -> Iterator[str]:
        """A URL for one prediction; while the block lasts, `tell` gets its whole log so far, as it comes."""
        secret = self._entropy.random_bytes(24).hex()
        self._listeners[secret] = tell
        try:
            yield f"{self._url}/{secret}"
        finally:
            del self._listeners[secret]

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listeners = self._listeners

        class Handler(BaseHTTPRequestHandler):
            timeout = _READ_SECONDS

            def do_POST(self) -> None:
                self.send_response(self._taken())
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _taken(self) -> int:
                tell = listeners.get(self.path.rpartition("/")[2])  # a proxy may have put something before it
                if tell is None:
                    return _NOT_FOUND
                length = self.headers.get("Content-Length", "")
                if not re.fullmatch(r"[0-9]{1,10}", length):
                    return _BAD
                if int(length) > _MOST_BYTES:
                    return _TOO_LARGE
                logs = _logs(self.rfile.read(int(length)))
                if logs is None:
                    return _BAD
                try:
                    tell(logs)
                except Exception:  # noqa: BLE001 - a word that cannot be passed on now is no reason to fail anything
                    return _NOT_NOW
                return _OK

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
                """Nothing: paths are secrets."""

        return Handler


def _logs(body: bytes) -> str | None:
    try:
        prediction = json.loads(body)
    except ValueError:
        return None
    if not isinstance(prediction, dict):
        return None
    logs = prediction.get("logs")
    return logs if isinstance(logs, str) else ""
