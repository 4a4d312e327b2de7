"""Calls to one bucket of any S3: signed, sent, repeated, and told apart by what their answers mean.

Every call here may be repeated without harm, so a call that got no answer, or was asked to come back (503), is repeated
a few times; a timeout is not, because its caller has waited long enough.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from penstock.adapters.objects.answers import TryAgainError, check
from penstock.adapters.objects.connections import Connections, Exchange, NoAnswerError
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.sigv4 import EMPTY_SHA256, Credentials, Request, Signer, clean_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from penstock.ports.clock import Clock

_Result = TypeVar("_Result")

_PERMISSION = timedelta(minutes=15)
"""A URL is used at once; so long as other calls may be under way to a clock that differs (S3 API)."""
ANSWER_BYTES = 8 * 1024 * 1024
OK, PARTIAL, RANGE_NOT_SATISFIABLE = 200, 206, 416


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds.

    To be connected (`connect`); for the `answer` to a call that moves no bytes, so that a store that accepts and says
    nothing does not cost its caller a minute; for one read or write of any other call (`timeout`); and before each
    repetition. A copy may move bytes after all: it gets a second more per `copy_rate` of them, up to `timeout`.
    """

    connect: float = 3.0
    answer: float = 10.0
    timeout: float = 60.0
    copy_rate: int = 100 * 2**20
    pauses: tuple[float, ...] = (0.1, 0.4, 1.0)

    def for_copy(self, size: int) -> float:
        """How long to wait for the answer to a copy of so many bytes."""
        return min(max(self.timeout, self.answer), self.answer + size / self.copy_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket at an address: `endpoint` is `http(s)://host[:port]`, without a path."""

    endpoint: str
    name: str
    region: str
    credentials: Credentials

    @property
    def origin(self) -> str:
        """The address as clients put it into Host. Raises ValueError when there is more to it."""
        return clean_origin(self.endpoint)

    @property
    def signer(self) -> Signer:
        """What signs for this bucket."""
        return Signer(credentials=self.credentials, region=self.region)


class Calls:
    """Calls to one bucket, path style. Safe to use from any thread."""

    def __init__(self, bucket: Bucket, *, clock: Clock, patience: Patience) -> None:
        self.bucket = bucket.name
        self.patience = patience
        self._origin = bucket.origin
        self._host = self._origin.partition("://")[2]
        self._signer = bucket.signer
        self._clock = clock
        self._connections = Connections(
            self._origin, connect_seconds=patience.connect, timeout_seconds=patience.timeout
        )

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def request(
        self,
        method: str,
        key: str | None,
        *,
        query: tuple[tuple[str, str], ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Request:
        """A request for a key, or for the bucket (None)."""
        path = f"/{self.bucket}" if key is None else f"/{self.bucket}/{key}"
        return Request(method=method, origin=self._origin, path=path, query=query, headers=headers)

    def ask(
        self,
        request: Request,
        *,
        body: Callable[[], Iterable[bytes | memoryview]] | None = None,
        payload_hash: str | None = EMPTY_SHA256,
        answer_seconds: float | None = None,
    ) -> tuple[Mapping[str, str], bytes]:
        """A call whose answer is short: its headers and its body. Raises what the answer means.

        Without a `payload_hash` the call carries its permission in its URL, and the body is not part of it.
        """

        def attempt() -> tuple[Mapping[str, str], bytes]:
            with self._send(request, body=body, payload_hash=payload_hash, answer_seconds=answer_seconds) as exchange:
                answer = exchange.read(ANSWER_BYTES)
                check(exchange.status, answer)
                return exchange.headers, answer

        return self.repeated(attempt)

    def begin(self, request: Request, *, answer_seconds: float | None = None) -> Exchange:
        """A GET of an object, answered with its bytes or 416; the body is still to be read."""
        exchange = self._send(request, answer_seconds=answer_seconds)
        if exchange.status in {OK, PARTIAL, RANGE_NOT_SATISFIABLE}:
            return exchange
        with exchange:
            check(exchange.status, exchange.read(ANSWER_BYTES))
        raise ObjectStoreUnavailable(f"the object store answered {exchange.status} to a read")

    def repeated(self, attempt: Callable[[], _Result]) -> _Result:
        """The result of an attempt, repeated while the store gives no answer or asks to be called again."""
        pauses = iter(self.patience.pauses)
        while True:
            try:
                return attempt()
            except (NoAnswerError, TryAgainError) as error:
                waited_enough = isinstance(error, NoAnswerError) and error.timed_out
                pause = None if waited_enough else next(pauses, None)
                if pause is None:
                    raise ObjectStoreUnavailable(f"the object store does not answer: {error}") from error
            time.sleep(pause)

    def _send(
        self,
        request: Request,
        *,
        body: Callable[[], Iterable[bytes | memoryview]] | None = None,
        payload_hash: str | None = EMPTY_SHA256,
        answer_seconds: float | None = None,
    ) -> Exchange:
        """Sign and send. A kept connection that was closed meanwhile says nothing of the store: a new one is tried."""
        now = self._clock.now()
        signed: Mapping[str, str] = {}
        if payload_hash is None:
            target = self._signer.presign(request, now=now, expires_in=_PERMISSION).removeprefix(self._origin)
        else:
            target, signed = self._signer.sign_headers(request, now=now, payload_hash=payload_hash)
        headers = {"host": self._host, **dict(request.headers), **signed}

        def send() -> Exchange:
            sent = body() if body else None
            seconds = self.patience.timeout if answer_seconds is None else answer_seconds
            return self._connections.send(request.method, target, headers, sent, answer_seconds=seconds)

        try:
            return send()
        except NoAnswerError as error:
            if not error.stale or error.timed_out:
                raise
        self._connections.close()
        return send()
