"""One container's HTTP API (Cog, docs/http.md): predictions are made with PUT, ended with a cancel, never asked for.

The container is the operator's own, named in the catalog, and may be anywhere; what it answers is still bounded.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection  # noqa: TID251 - to a place that the operator named
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CONNECT_SECONDS = 10.0
_ASIDE_SECONDS = 5.0
"""For short questions beside a prediction."""
_LOOK_SECONDS = 0.1
_SCHEMA_BYTES = 4 << 20


class NotReachedError(Exception):
    """No connection, or no container behind that address."""


class BrokeOffError(Exception):
    """The connection ended before the answer did; what became of the prediction is not known."""


class StoppedError(Exception):
    """`stop` said so; the prediction was told to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A status, and the body's JSON; None when it is none."""

    status: int
    body: object


class Container:
    """A Cog server at `address` (`http://host:port`, optionally with a path). Raises `ValueError` for another shape."""

    def __init__(self, address: str, *, max_bytes: int) -> None:
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            msg = f"not the address of a container: {address}"
            raise ValueError(msg)
        self._https = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._max_bytes = max_bytes

    def predict(self, prediction_id: str, request: Mapping[str, object], stop: Callable[[], bool]) -> Reply:
        """Make a prediction and wait for its end, for as long as `stop` allows.

        The connection stays open meanwhile: a container whose caller is gone ends the prediction by itself.
        Raises `NotReachedError`, `BrokeOffError`, `StoppedError`.
        """
        call = _Call(self._connection(_CONNECT_SECONDS), self._max_bytes)
        body = json.dumps(request).encode()
        target = f"{self._path}/predictions/{prediction_id}"
        worker = threading.Thread(target=call.make, args=("PUT", target, body), name="prediction", daemon=True)
        worker.start()
        while not call.done.wait(_LOOK_SECONDS):
            if stop():
                self.cancel(prediction_id)
                call.break_off()
                raise StoppedError
        return call.result()

    def cancel(self, prediction_id: str) -> None:
        """Ask for a prediction's end. Whether it was still going does not matter."""
        with suppress(NotReachedError, BrokeOffError):
            self._aside("POST", f"/predictions/{prediction_id}/cancel", max_bytes=_SCHEMA_BYTES)

    def health(self) -> str:
        """What the container says of itself (`READY`, `BUSY`, `STARTING`, `SETUP_FAILED` …); empty when it does not."""
        try:
            status = _inside(self._aside("GET", "/health-check", max_bytes=_SCHEMA_BYTES).body, "status")
        except (NotReachedError, BrokeOffError):
            return ""
        return status if isinstance(status, str) else ""

    def makes_files(self) -> bool:
        """Whether the model's output has URLs of files in it, by its OpenAPI schema; a container without one: yes."""
        try:
            schema = self._aside("GET", "/openapi.json", max_bytes=_SCHEMA_BYTES).body
        except (NotReachedError, BrokeOffError):
            return True
        output = _inside(schema, "components", "schemas", "Output")
        return output is None or '"format": "uri"' in json.dumps(output)

    def _aside(self, method: str, path: str, *, max_bytes: int) -> Reply:
        call = _Call(self._connection(_ASIDE_SECONDS), max_bytes)
        call.make(method, self._path + path, b"", seconds=_ASIDE_SECONDS)
        return call.result()

    def _connection(self, seconds: float) -> HTTPConnection:
        kind = HTTPSConnection if self._https else HTTPConnection
        return kind(self._host, self._port, timeout=seconds)


class _Call:
    """One exchange, made in one thread and watched, and perhaps broken off, from another."""

    def __init__(self, connection: HTTPConnection, max_bytes: int) -> None:
        self.done = threading.Event()
        self._connection = connection
        self._max_bytes = max_bytes
        self._reply: Reply | None = None
        self._error: Exception | None = None

    def make(self, method: str, target: str, body: bytes, *, seconds: float | None = None) -> None:
        """Ask and read the answer; `seconds` for each wait, none: as long as it takes."""
        try:
            self._reply = self._asked(method, target, body, seconds)
        except (NotReachedError, BrokeOffError) as error:
            self._error = error
        except (OSError, HTTPException, ValueError) as error:
            self._error = BrokeOffError(type(error).__name__)
        finally:
            self._connection.close()
            self.done.set()

    def result(self) -> Reply:
        """What `make` came to."""
        if self._reply is None:
            raise self._error or BrokeOffError
        return self._reply

    def break_off(self) -> None:
        """End the connection under a thread that waits on it."""
        line = self._connection.sock
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _asked(self, method: str, target: str, body: bytes, seconds: float | None) -> Reply:
        try:
            self._connection.connect()
        except OSError as error:
            raise NotReachedError from error
        if self._connection.sock is not None:
            self._connection.sock.settimeout(seconds)
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {})
        self._connection.request(method, target, body=body or None, headers=headers)
        answer = self._connection.getresponse()
        text = answer.read(self._max_bytes + 1)
        if len(text) > self._max_bytes:
            return Reply(status=answer.status, body=None)
        return Reply(status=answer.status, body=_json(text))


def _json(text: bytes) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return None
    return parsed


def _inside(value: object, *names: str) -> object | None:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
