"""`ports.fetch.Fetcher` and `Poster` over HTTP/1.1: redirects by hand, each hop checked from the start, strictly."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import httpcore2

from penstock.adapters.fetch.exchanges import Connection, Message, length_of
from penstock.adapters.fetch.lines import Guard, Pace, connect_to
from penstock.adapters.fetch.ranges import CONTENT_RANGE, PARTIAL, HttpRanges, is_plain, strong
from penstock.adapters.fetch.resolving import SystemResolver
from penstock.domain.egress import UrlRefusedError, parse_url, redirected
from penstock.domain.media_types import kind_of, says_nothing
from penstock.ports.fetch import Reply, SourceError, SourceFailedError, SourceRefusedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from penstock.adapters.fetch.exchanges import Exchange
    from penstock.adapters.fetch.lines import Connect, Resolve
    from penstock.domain.egress import EgressRules, WebAddress
    from penstock.ports.clock import Clock
    from penstock.ports.fetch import Download, Posting
    from penstock.telemetry import Log

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
"""Refusals that are meant for now, not for good (RFC 9110 §15.5.9, RFC 8470, RFC 6585)."""
_SECONDS = re.compile(r"[0-9]{1,9}")
_PHRASES = {status.value: f" ({status.phrase})" for status in HTTPStatus}
_OK, _NO_SUCH_RANGE, _SERVER_ERROR = 200, 416, 500


class GuardedFetcher:
    """The one outbound client. Its edges (`resolve`, `connect`) and its trust (`tls`) can be given to it."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        rules: EgressRules,
        *,
        clock: Clock,
        log: Log,
        pace: Pace | None = None,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        connect: Connect = connect_to,
    ) -> None:
        self._guard = Guard(rules=rules, resolve=resolve or SystemResolver(), connect=connect, log=log)
        self._clock = clock
        self._pace = pace or Pace()
        self._tls = tls or httpcore2.default_ssl_context()

    def get(self, download: Download) -> HttpAnswer:
        """Begin to get a file. Raises as the port says."""
        deadline = time.monotonic() + download.within.total_seconds()
        place = _place(download.url)
        if download.manner.asks_first:
            exchange = self._follow(place, Message("HEAD", _usual_headers(download)), download, deadline=deadline)
            with exchange:
                self._require_good(exchange, download, told=(_OK,))
            place = exchange.place
        exchange = self._follow(place, Message("GET", _headers(download)), download, deadline=deadline)
        try:
            return self._answered(exchange, download)
        except BaseException:
            exchange.close()
            raise

    def post(self, posting: Posting) -> Reply:
        """Tell once. Raises as the port says."""
        deadline = time.monotonic() + posting.within.total_seconds()
        message = Message("POST", _posted_headers(posting), posting.body)
        exchange = self._ask(_place(posting.url), message, deadline=deadline, watch=posting.watch)
        with exchange:
            return Reply(status=exchange.status, body=_beginning(exchange, posting.max_reply))

    def ranges(self, download: Download, *, size: int) -> HttpRanges:
        """A connection for ranges of the version `download.etag`."""
        deadline = time.monotonic() + download.within.total_seconds()
        headers = {name: value for name, value in _usual_headers(download).items() if name != "Connection"}
        return HttpRanges(
            lambda message: self._follow(_place(download.url), message, download, deadline=deadline),
            self._refusal,
            headers,
            etag=download.etag or "",
            size=size,
        )

    def _follow(self, place: WebAddress, message: Message, download: Download, *, deadline: float) -> Exchange:
        """The first answer that is no redirect."""
        most = download.manner.most_redirects
        for turn in range(most + 1):
            exchange = self._ask(place, message, deadline=deadline, watch=download.watch)
            location = exchange.headers.get("location")
            if exchange.status not in _REDIRECTS or location is None:
                return exchange
            exchange.close()
            if turn == most:
                break
            place = _led(place, location)
        raise SourceRefusedError(f"{place.authority} redirects " + (f"more than {most} times" if most else "elsewhere"))

    def _ask(self, place: WebAddress, message: Message, *, deadline: float, watch: Callable[[], None]) -> Exchange:
        """One request on a connection of its own."""
        connection = Connection(self._guard, place, self._pace, tls=self._tls, deadline=deadline, watch=watch)
        return connection.ask(message)

    def _answered(self, exchange: Exchange, download: Download) -> HttpAnswer:
        """What a final answer means. A range that cannot be used becomes the whole file."""
        status, headers = exchange.status, exchange.headers
        ranged = download.start > 0
        if ranged and (status == _NO_SUCH_RANGE or (status == PARTIAL and not _continues(headers, download))):
            exchange.close()
            return self.get(replace(download, start=0, etag=None))
        self._require_good(exchange, download, told=(_OK, PARTIAL) if ranged else (_OK,))
        start = download.start if status == PARTIAL else 0
        length = length_of(headers)
        size = start + length if length is not None else None
        if size is not None and size > download.max_bytes:
            raise _too_large(exchange.place, download)
        return HttpAnswer(exchange, download, start=start, size=size)

    def _require_good(self, exchange: Exchange, download: Download, *, told: tuple[int, ...]) -> None:
        """Raises `SourceRefusedError` or `SourceFailedError` for an answer that is not the file that is wanted."""
        headers, manner, place = exchange.headers, download.manner, exchange.place
        if exchange.status not in told:
            raise self._refusal(exchange)
        if not is_plain(headers):
            raise SourceRefusedError(f"{place.authority} sends the file compressed, which was not asked for")
        told_type = headers.get("content-type", "")
        if manner.told_kinds and (says_nothing(told_type) or kind_of(told_type).value not in manner.told_kinds):
            kinds = " or ".join(manner.told_kinds)
            raise SourceRefusedError(f"{place.authority} does not say that it is {kinds}", code="file_type_refused")
        length = length_of(headers)
        if manner.needs_size and length is None:
            raise SourceRefusedError(f"{place.authority} does not say how large the file is")
        if length is not None and length > download.max_bytes:
            raise _too_large(place, download)

    def _refusal(self, exchange: Exchange) -> SourceRefusedError | SourceFailedError:
        status = exchange.status
        message = f"{exchange.place.authority} answered {status}{_PHRASES.get(status, '')}"
        if status in _PASSING or status >= _SERVER_ERROR:
            return SourceFailedError(message, retry_after=self._retry_after(exchange.headers))
        return SourceRefusedError(message)

    def _retry_after(self, headers: Mapping[str, str]) -> timedelta | None:
        """Seconds or a date (RFC 9110 §10.2.3)."""
        text = headers.get("retry-after", "").strip()
        if _SECONDS.fullmatch(text):
            return timedelta(seconds=int(text))
        with suppress(ValueError, TypeError):
            return max(timedelta(0), parsedate_to_datetime(text) - self._clock.now())
        return None


class HttpAnswer:
    """`ports.fetch.Answer`."""

    def __init__(self, exchange: Exchange, download: Download, *, start: int, size: int | None) -> None:
        self._exchange = exchange
        self._download = download
        self.start = start
        self.size = size
        self.etag = strong(exchange.headers.get("etag"))

    def blocks(self) -> Iterator[bytes]:
        """The body, counted."""
        left = self._download.max_bytes - self.start
        for block in self._exchange.last_blocks():
            left -= len(block)
            if left < 0:
                raise _too_large(self._exchange.place, self._download)
            yield block

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._exchange.close()


def _usual_headers(download: Download) -> dict[str, str]:
    """Nothing that says who the user is: whatever a redirect leads to gets the same."""
    agent = download.manner.user_agent
    return {"User-Agent": agent, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}


def _headers(download: Download) -> dict[str, str]:
    span = {"Range": f"bytes={download.start}-", "If-Range": download.etag} if download.etag else {}
    return _usual_headers(download) | (span if download.start else {})


def _posted_headers(posting: Posting) -> dict[str, str]:
    """Names are equal in any case; what the caller chose replaces ours, but for the transport's own."""
    chosen = {name.lower() for name in posting.headers}
    usual = {"User-Agent": "penstock", "Accept": "*/*", "Content-Type": "application/json"}
    return {
        **{name: value for name, value in usual.items() if name.lower() not in chosen},
        **posting.headers,
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Length": str(len(posting.body)),
    }


def _beginning(exchange: Exchange, limit: int) -> bytes:
    """As much of an answer's body as comes in time: its status counts, however the body ends."""
    body = bytearray()
    with suppress(SourceError):
        for block in exchange.blocks():
            body += block
            if len(body) >= limit:
                break
    return bytes(body[:limit])


def _place(url: str) -> WebAddress:
    try:
        return parse_url(url)
    except UrlRefusedError as error:
        raise SourceRefusedError(str(error)) from error


def _led(place: WebAddress, location: str) -> WebAddress:
    try:
        return redirected(place, location)
    except UrlRefusedError as error:
        raise SourceRefusedError(f"{place.authority} redirects to where nothing is fetched from: {error}") from error


def _continues(headers: Mapping[str, str], download: Download) -> bool:
    """Whether a 206 is of the version that was begun, and exactly what is missing of it (RFC 9110 §15.3.7)."""
    found = CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None or strong(headers.get("etag")) != download.etag:
        return False
    first, last, total = map(int, found.groups())
    length = headers.get("content-length")
    return first == download.start and last == total - 1 and length in {None, str(total - first)}


def _too_large(place: WebAddress, download: Download) -> SourceRefusedError:
    return SourceRefusedError(
        f"{place.authority} sends more than the {download.max_bytes} bytes that are allowed", code="file_too_large"
    )
