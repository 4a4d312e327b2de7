"""Connections: to an address that was checked and to no other, and read against the clock."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from httpcore2 import NetworkBackend, NetworkStream

from penstock.ports.fetch import SourceFailedError, SourceRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from penstock.domain.egress import Address, EgressRules, WebAddress
    from penstock.telemetry import Log

    Resolve = Callable[[str], Sequence[Address]]
    Connect = Callable[[Address, int, float], socket.socket]

_TICK = 1.0
"""Seconds between two looks whether anybody still wants what does not come."""
_MOST_TRIED = 4
_HEAD_BYTES = 64 * 1024
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_BODY_BYTES = 256 * 1024
"""Read at once of a body: of gigabytes, each read costs more than what it copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long to wait, in seconds: to `connect` and for TLS, for the `head` of an answer, and while nothing comes.

    Over each `window` of waiting, `least_rate` bytes per second must come (S5).
    """

    connect: float = 10.0
    head: float = 30.0
    stall: float = 30.0
    window: float = 30.0
    least_rate: int = 1024


def connect_to(address: Address, port: int, seconds: float) -> socket.socket:
    """A TCP connection to an address. Raises `OSError`."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004 - of the protocol's two
    line = socket.socket(family, socket.SOCK_STREAM)
    try:
        line.settimeout(seconds)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.connect((str(address), port))
    except BaseException:
        line.close()
        raise
    return line


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Decides whether a place is connected to, and does it (S2)."""

    rules: EgressRules
    resolve: Resolve
    connect: Connect
    log: Log

    def open(self, place: WebAddress, *, seconds: float) -> socket.socket:
        """A connection to one of the place's addresses, all of which are allowed. Raises as `Fetcher.get`."""
        if self.rules.refuses_at_sight(place):
            raise SourceRefusedError(f"{place.authority} is not fetched from: its address or port is not allowed")
        addresses = (place.address,) if place.address is not None else tuple(self.resolve(place.host))
        if not self.rules.permit(place, addresses):
            self.log("fetch.blocked", host=place.host, why="address" if addresses else "name")
            raise _unreachable(place)
        return self._first_of(addresses[:_MOST_TRIED], place, seconds=seconds)

    def _first_of(self, addresses: Sequence[Address], place: WebAddress, *, seconds: float) -> socket.socket:
        deadline = time.monotonic() + seconds
        for number, address in enumerate(addresses):
            left = (deadline - time.monotonic()) / (len(addresses) - number)
            if left <= 0:
                break
            try:
                line = self.connect(address, place.port, left)
            except OSError:
                continue
            return self._checked(line, address, place)
        raise SourceFailedError(f"{place.authority} does not take connections", code="source_unreachable")

    def _checked(self, line: socket.socket, address: Address, place: WebAddress) -> socket.socket:
        """The connection, if its other end is where it was meant to be."""
        try:
            host, port = line.getpeername()[:2]
            peer = ipaddress.ip_address(host)
        except (OSError, ValueError):
            peer, port = None, 0
        if peer != address or port != place.port:
            line.close()
            self.log("fetch.blocked", host=place.host, why="peer")
            raise _unreachable(place)
        return line


def _unreachable(place: WebAddress) -> SourceFailedError:
    """One answer for a forbidden address and an unknown name: nobody learns here which inner names there are."""
    return SourceFailedError(f"{place.host} cannot be reached", code="source_unreachable")


class GuardedBackend(NetworkBackend):
    """What `httpcore2` opens connections with: to the one place of this exchange, its name resolved here and once."""

    def __init__(
        self, guard: Guard, place: WebAddress, pace: Pace, *, deadline: float, watch: Callable[[], None]
    ) -> None:
        self._guard = guard
        self._place = place
        self._pace = pace
        self._deadline = deadline
        self._watch = watch
        self.line: Line | None = None

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the place was read before, and its parts count
        port: int,  # noqa: ARG002 - likewise
        timeout: float | None = None,  # noqa: ARG002 - the pace says how long
        local_address: str | None = None,  # noqa: ARG002 - never given
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - never given
    ) -> NetworkStream:
        """Connect to the place of this exchange."""
        self._watch()
        seconds = min(self._pace.connect, max(0.0, self._deadline - time.monotonic()))
        line = self._guard.open(self._place, seconds=seconds)
        self.line = Line(line, self._place, self._pace, deadline=self._deadline, watch=self._watch)
        return self.line


class Line(NetworkStream):
    """One connection. Every wait on it has an end; what its other side is up to becomes a `SourceError`."""

    def __init__(
        self, line: socket.socket, place: WebAddress, pace: Pace, *, deadline: float, watch: Callable[[], None]
    ) -> None:
        self._line = line
        self._place = place
        self._pace = pace
        self._deadline = deadline
        self._watch = watch
        self._head_deadline: float | None = None
        self._received = 0
        self._in_window = 0
        self._waited = 0.0
        self._ahead = self._end_of_line = b""

    def head_is_read(self) -> None:
        """From now on it is the body that comes."""
        self._head_deadline = None
        self._received = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the pace says how long
        """What comes next; nothing at the end. Of a head, no further than to its end: its body may be had by `body`."""
        if self._head_deadline is None:
            return self._next(_BODY_BYTES)
        most = min(max_bytes, _HEAD_BYTES - self._received)
        if most <= 0:
            raise SourceRefusedError(f"{self._place.authority} answers with more than {_HEAD_BYTES} bytes of headers")
        data = self._next(most)
        self._received += len(data)
        return self._up_to_empty_line(data)

    def body(self, size: int) -> Iterator[bytes]:
        """A body of a known size as it comes. HTTP's parser would copy each byte of it three times and change none."""
        while size:
            data = self._next(min(_BODY_BYTES, size))
            if not data:
                raise SourceFailedError(f"{self._place.authority} broke off before the end of the file")
            size -= len(data)
            yield data

    def _next(self, most: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:most], self._ahead[most:]
            return data
        began = time.monotonic()
        data = self._receive(most, began)
        self._keep_pace(len(data), time.monotonic() - began)
        return data

    def _up_to_empty_line(self, data: bytes) -> bytes:
        """As far as what `h11` takes for the end of a head, which may stand on the border of two reads."""
        found = _EMPTY_LINE.search(self._end_of_line + data)
        if found is None:
            self._end_of_line = (self._end_of_line + data)[-2:]
            return data
        end = found.end() - len(self._end_of_line)
        self._ahead = data[end:] + self._ahead
        self._received -= len(data) - end
        self._end_of_line = b""
        return data[:end]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the pace says how long
        """Send the request; the time and the bound for the answer's head begin."""
        self._received, self._end_of_line = 0, b""
        self._head_deadline = time.monotonic() + self._pace.head
        try:
            self._line.settimeout(self._patience())
            self._line.sendall(buffer)
        except OSError as error:
            raise self._broke_off() from error

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the pace says how long
    ) -> NetworkStream:
        """TLS with a certificate for the name that was asked for, whatever address it had.

        An end of the connection without TLS's own end is an error, or a body without a length could be cut unseen.
        """
        try:
            self._line.settimeout(self._patience())
            self._line = ssl_context.wrap_socket(
                self._line, server_hostname=server_hostname, suppress_ragged_eofs=False
            )
        except ssl.SSLCertVerificationError as error:
            self.close()
            message = f"the certificate of {self._place.authority} is not trusted: {error.verify_message}"
            raise SourceRefusedError(message) from error
        except OSError as error:
            self.close()
            message = f"no secure connection with {self._place.authority} came about"
            raise SourceFailedError(message, code="source_unreachable") from error
        return self

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def _receive(self, max_bytes: int, began: float) -> bytes:
        ends = min(self._deadline, began + self._pace.stall, self._head_deadline or self._deadline)
        while True:
            self._watch()
            left = ends - time.monotonic()
            if left <= 0:
                raise SourceFailedError(f"{self._place.authority} takes too long")
            self._line.settimeout(min(left, _TICK))
            try:
                return self._line.recv(max_bytes)
            except TimeoutError:
                continue
            except OSError as error:
                raise self._broke_off() from error

    def _patience(self) -> float:
        """Seconds to wait for the other side to take something: never none, which would mean not to wait at all."""
        return min(self._pace.connect, max(0.001, self._deadline - time.monotonic()))

    def _keep_pace(self, count: int, seconds: float) -> None:
        """Time counts only while it is the other side that we wait for."""
        self._in_window += count
        self._waited += seconds
        if self._waited < self._pace.window:
            return
        if self._in_window < self._waited * self._pace.least_rate:
            raise SourceFailedError(f"{self._place.authority} sends less than {self._pace.least_rate} bytes a second")
        self._in_window, self._waited = 0, 0.0

    def _broke_off(self) -> SourceFailedError:
        return SourceFailedError(f"{self._place.authority} broke the connection off")
