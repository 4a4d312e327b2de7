"""`ports.fetch.Ranges` over a connection that is kept: what is not exactly the range that was asked for is none."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from penstock.adapters.fetch.exchanges import Message
from penstock.ports.fetch import SourceError, SourceFailedError, SourceRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from penstock.adapters.fetch.exchanges import Exchange

CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
PARTIAL = 206
_OK = 200
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]{0,255}"')


class HttpRanges:
    """Asks where the URL led to the last time, on the same connection; where that does not help, the URL once more."""

    def __init__(
        self,
        follow: Callable[[Message], Exchange],
        refusal: Callable[[Exchange], SourceError],
        headers: Mapping[str, str],
        *,
        etag: str,
        size: int,
    ) -> None:
        """`follow` asks the URL, on a connection of its own, and `refusal` says what an answer's bad status means."""
        self._follow = follow
        self._refusal = refusal
        self._headers = headers
        self._etag = etag
        self._size = size
        self._last: Exchange | None = None

    def blocks(self, start: int, end: int) -> Generator[bytes]:
        """The bytes of one range. Raises as the port says; who leaves early leaves the connection closed."""
        try:
            self._last = exchange = self._asked(start, end)
            yield from _exactly(exchange, end - start)
            exchange.is_read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next range begins at the URL again."""
        if self._last is not None:
            self._last.close()
            self._last = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _asked(self, start: int, end: int) -> Exchange:
        span = {"Range": f"bytes={start}-{end - 1}", "If-Range": self._etag}
        message = Message("GET", {**self._headers, **span})
        again = self._asked_again(message, start, end)
        if again is not None:
            return again
        exchange = self._follow(message)
        if self._is_range(exchange, start, end):
            return exchange
        exchange.close()
        if exchange.status in {_OK, PARTIAL}:
            raise SourceRefusedError(f"{exchange.place.authority} does not give that range of the file")
        raise self._refusal(exchange)

    def _asked_again(self, message: Message, start: int, end: int) -> Exchange | None:
        """The answer of the place that gave the last range: it may have had enough of us, or of a signature."""
        last, self._last = self._last, None
        if last is None or not last.connection.is_free:
            return None
        with suppress(SourceFailedError):
            exchange = last.connection.ask(message)
            if self._is_range(exchange, start, end):
                return exchange
        last.close()
        return None

    def _is_range(self, exchange: Exchange, start: int, end: int) -> bool:
        """Whether it is that range of that version, as it is (RFC 9110 §15.3.7)."""
        headers = exchange.headers
        found = CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
        return (
            exchange.status == PARTIAL
            and found is not None
            and tuple(map(int, found.groups())) == (start, end - 1, self._size)
            and strong(headers.get("etag")) == self._etag
            and is_plain(headers)
            and headers.get("content-length") in {None, str(end - start)}
        )


def _exactly(exchange: Exchange, left: int) -> Iterator[bytes]:
    """So many bytes of the body, which has no others."""
    for block in exchange.blocks():
        left -= len(block)
        if left < 0:
            break
        yield block
    if left:
        raise SourceFailedError(f"{exchange.place.authority} sends a range of another length than it said")


def strong(etag: str | None) -> str | None:
    """An ETag that is one, with its quotes; None for a weak one (RFC 9110 §8.8.3)."""
    return etag if etag is not None and _STRONG_ETAG.fullmatch(etag) else None


def is_plain(headers: Mapping[str, str]) -> bool:
    """Whether a body comes as it is."""
    return headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}
