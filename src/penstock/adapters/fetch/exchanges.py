"""One connection to one place, and what is asked and answered on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import httpcore2

from penstock.adapters.fetch.lines import GuardedBackend
from penstock.ports.fetch import SourceFailedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from penstock.adapters.fetch.lines import Guard, Line, Pace
    from penstock.domain.egress import WebAddress


@dataclass(frozen=True, slots=True)
class Message:
    """What is asked, but for where."""

    method: str
    headers: Mapping[str, str]
    body: bytes | None = None


class Connection:
    """One connection, made with the first question. The name in it, in SNI and in the certificate is the URL's."""

    def __init__(
        self,
        guard: Guard,
        place: WebAddress,
        pace: Pace,
        *,
        tls: ssl.SSLContext,
        deadline: float,
        watch: Callable[[], None],
    ) -> None:
        self.place = place
        self._backend = GuardedBackend(guard, place, pace, deadline=deadline, watch=watch)
        self._url = httpcore2.URL(
            scheme=place.scheme.encode(), host=place.host.encode(), port=place.port, target=place.target.encode()
        )
        self._connection = httpcore2.HTTPConnection(self._url.origin, ssl_context=tls, network_backend=self._backend)

    @property
    def is_free(self) -> bool:
        """Whether it can be asked again: the last answer was read to its end, and neither side wanted to close."""
        return self._connection.is_available()

    def ask(self, message: Message) -> Exchange:
        """One request. Raises as `Fetcher.get`, and is closed then."""
        request = httpcore2.Request(
            message.method,
            self._url,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in message.headers.items()]
            + [(b"Host", self.place.authority.encode())],
            content=message.body,
        )
        try:
            response = self._connection.handle_request(request)
        except (httpcore2.ProtocolError, httpcore2.NetworkError) as error:
            self.close()
            raise SourceFailedError(f"{self.place.authority} did not answer as HTTP servers do") from error
        except BaseException:
            self.close()
            raise
        line = self._backend.line
        if line is not None:
            line.head_is_read()
        return Exchange(self, response, line)

    def close(self) -> None:
        """Close it; may be repeated."""
        self._connection.close()


class Exchange:
    """An answer on its connection, with header names in lower case. Leave it (`with`) to close the connection."""

    def __init__(self, connection: Connection, response: httpcore2.Response, line: Line | None) -> None:
        self.place = connection.place
        self.connection = connection
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
        }
        self._response = response
        self._line = line

    def blocks(self) -> Iterator[bytes]:
        """The body. Raises `SourceFailedError` when it breaks off."""
        try:
            yield from self._response.iter_stream()
        except (httpcore2.ProtocolError, httpcore2.NetworkError) as error:
            raise SourceFailedError(f"{self.place.authority} broke off before the end of the file") from error

    def last_blocks(self) -> Iterator[bytes]:
        """The body, past HTTP's parser where its size is known: nothing can be asked on this connection any more.

        Raises as `blocks`.
        """
        length = length_of(self.headers)
        return self.blocks() if self._line is None or length is None else self._line.body(length)

    def is_read(self) -> None:
        """The body was read to its end: the connection may be asked again, if the server agrees."""
        self._response.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def length_of(headers: Mapping[str, str]) -> int | None:
    """The announced length of a body in bytes."""
    length = None if "transfer-encoding" in headers else headers.get("content-length")
    return int(length) if length is not None else None
