"""Kept-alive HTTP/1.1 connections to one origin, shared by threads. Knows nothing of S3 (docs/adr/0006-s3-calls.md)."""

from __future__ import annotations

import ssl
import time
from collections import deque
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection  # noqa: TID251 - to the one origin that the operator named
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

_LONGEST_IDLE_SECONDS = 20.0
_MOST_IDLE = 64
_BLOCK_BYTES = 256 * 1024


class NoAnswerError(Exception):
    """The exchange broke off. `stale`: on a kept connection, which the other side may just have closed."""

    def __init__(self, message: str, *, stale: bool, timed_out: bool) -> None:
        super().__init__(message)
        self.stale = stale
        self.timed_out = timed_out


class Exchange:
    """One answer, its header names in lower case. Leaving it keeps the connection if the body was read to its end."""

    def __init__(
        self, owner: Connections, connection: HTTPConnection, response: HTTPResponse, *, reusable: bool
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._response = response
        self._reusable = reusable
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.getheaders()}

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes of the body. Raises `NoAnswerError` when it breaks off before its announced end."""
        return b"".join(self.blocks(limit))

    def blocks(self, limit: int | None = None) -> Iterator[bytes]:
        """The body in blocks, at most `limit` bytes of it. Raises `NoAnswerError` as `read`."""
        announced = self._response.length
        left = announced if limit is None or (announced is not None and announced < limit) else limit
        while left is None or left > 0:
            try:
                block = self._response.read(_BLOCK_BYTES if left is None else min(left, _BLOCK_BYTES))
            except (OSError, HTTPException) as error:
                raise _no_answer(error, stale=False) from error
            if not block:
                break
            left = None if left is None else left - len(block)
            yield block
        if left and announced is not None:
            message = f"the body broke off, {left} bytes before its end"
            raise NoAnswerError(message, stale=False, timed_out=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand the connection back, or close it."""
        finished = self._reusable and kind is None and (self._response.isclosed() or self._response.length == 0)
        self._response.close()
        self._owner.leave(self._connection, keep=finished)


class Connections:
    """A pool that grows with its users and forgets what has been idle for long. Safe to use from any thread."""

    def __init__(self, origin: str, *, connect_seconds: float, timeout_seconds: float) -> None:
        """`connect_seconds` to be connected, TLS included; then `timeout_seconds` for each read or write."""
        parts = urlsplit(origin)
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._connect_seconds = connect_seconds
        self._timeout = timeout_seconds
        self._idle: deque[tuple[HTTPConnection, float]] = deque()

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes | memoryview] | None = None,
        *,
        answer_seconds: float,
    ) -> Exchange:
        """Send a request; the answer's head, for which `answer_seconds` are waited, is there when this returns.

        `headers` are sent as they are and must hold `host`, and `content-length` when there is a body. Raises
        `NoAnswerError`.
        """
        connection, kept = self._take()
        try:
            if connection.sock is None:
                connection.connect()
            # Of the connection's own: an answer that ends the connection takes it away from there.
            line = connection.sock
            line.settimeout(self._timeout)
            reusable = _transmit(connection, method, target, headers, body)
            line.settimeout(answer_seconds)
            response = connection.getresponse()
            line.settimeout(self._timeout)
        except (OSError, HTTPException) as error:
            connection.close()
            raise _no_answer(error, stale=kept) from error
        except BaseException:
            connection.close()
            raise
        return Exchange(self, connection, response, reusable=reusable)

    def leave(self, connection: HTTPConnection, *, keep: bool) -> None:
        """Take a connection back from an exchange."""
        if not keep or connection.sock is None or len(self._idle) >= _MOST_IDLE:
            connection.close()
            return
        self._idle.append((connection, time.monotonic()))

    def close(self) -> None:
        """Close what is idle. Connections in use are closed by their exchanges; the pool may be used again."""
        with suppress(IndexError):
            while True:
                self._idle.pop()[0].close()

    def _take(self) -> tuple[HTTPConnection, bool]:
        """The connection used last, so that the surplus grows old; a deque needs no lock for that."""
        try:
            connection, since = self._idle.pop()
        except IndexError:
            return self._new(), False
        if time.monotonic() - since <= _LONGEST_IDLE_SECONDS:
            return connection, True
        connection.close()
        self.close()
        return self._new(), False

    def _new(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port, timeout=self._connect_seconds)
        return HTTPSConnection(self._host, self._port, timeout=self._connect_seconds, context=self._tls)


def _transmit(
    connection: HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | Iterable[bytes | memoryview] | None,
) -> bool:
    """Write a request; whether all of it was taken. Who refuses a body closes early; the answer waits to be read."""
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    try:
        connection.endheaders(body)
    except (BrokenPipeError, ConnectionResetError):
        if body is None:
            raise
        return False
    return True


def _no_answer(error: Exception, *, stale: bool) -> NoAnswerError:
    return NoAnswerError(f"{type(error).__name__}: {error}", stale=stale, timed_out=isinstance(error, TimeoutError))
