"""One HTTP request over plain `http.client`: nothing is followed, retried or tidied up."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. `headers` finds a header whatever its case."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever the server said
        """The body, which must be JSON."""
        return json.loads(self.body)

    def must(self, status: int) -> Any:  # noqa: ANN401 - whatever the server said
        """The body's JSON (None when empty) of an answer that must have this status."""
        assert self.status == status, (self.status, self.body[:2000])
        return json.loads(self.body) if self.body else None


def exchange(method: str, url: str, body: bytes | None = None, *, headers: Mapping[str, str] | None = None) -> Answer:
    """One request on a connection of its own. A Content-Length in `headers` is sent as it stands."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_SECONDS)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(status=answer.status, headers=answer.headers, body=answer.read())
    finally:
        connection.close()


def fetch(url: str, *, method: str = "GET") -> Answer:
    """What is at a URL, after at most one redirect, as a browser would get it."""
    answer = exchange(method, url)
    return exchange(method, answer.headers["location"]) if answer.status == 307 else answer
