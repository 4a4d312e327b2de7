"""One connection's life: read a head, authorise, answer, and again. The one place where failures become answers."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.store import cors
from penstock.store.answers import Answer, refusal, render_head
from penstock.store.body import Body
from penstock.store.faults import DAMAGED, INTERNAL_ERROR, SLOW_DOWN, DataLost, Disconnected, Refused
from penstock.store.form_routes import is_form
from penstock.store.head import Head, parse_head
from penstock.store.metering import NO_OPERATION, POST_OBJECT, count_request, operation_of
from penstock.store.reactor import READABLE, DeadlinePassed, ShuttingDown, ready
from penstock.store.record import DamagedError
from penstock.store.request import authorise, is_unsigned, unsigned
from penstock.store.stored import FileSpan

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.sigv4 import Verifier
    from penstock.store.answers import FileSlice, Headers
    from penstock.store.bucket_settings import BucketSettings
    from penstock.store.config import StoreConfig
    from penstock.store.connection import Connection
    from penstock.store.cors import CorsRule
    from penstock.store.form_routes import FormRoutes
    from penstock.store.health import Health
    from penstock.store.routes import Routes
    from penstock.telemetry import Meter

HEALTH_PATH = "/healthz"


class _Exchange:
    """What becomes known of one request on its way, for those who count and log it."""

    __slots__ = ("body", "code", "head", "id", "operation", "started", "unseen")

    def __init__(self, request_id: str, sent: int) -> None:
        self.id = request_id
        self.started = time.monotonic()
        self.head: Head | None = None
        self.body: Body | None = None
        self.operation = NO_OPERATION
        self.code = ""
        self.unseen = sent
        """What the connection had sent, with this answer's head, before the answer's body."""

    @property
    def path(self) -> str:
        return self.head.path if self.head else ""


class Sessions:
    """What all connections share."""

    def __init__(  # noqa: PLR0913 - the parts of a server, each given once
        self,
        config: StoreConfig,
        *,
        verifier: Verifier,
        routes: Routes,
        forms: FormRoutes,
        health: Health,
        now: Callable[[], float],
        log: Callable[..., None],
        meter: Meter,
        draining: Callable[[], bool],
        settings: Callable[[str], BucketSettings],
    ) -> None:
        self._operators_rules = cors.operators_rules(config.cors_origins)
        self._settings = settings
        self._public_acls = config.public_acls
        self._limits = config.limits
        self._verifier = verifier
        self._routes = routes
        self._forms = forms
        self._health = health
        self._now = now
        self._log = log
        self._meter = meter
        self._draining = draining
        # They need not be hard to guess, only different, in whatever process they are made.
        self._ids = map(f"{secrets.token_hex(5).upper()}{{:08X}}".format, itertools.count())

    async def run(self, connection: Connection) -> None:
        """Serve one connection until it ends."""
        self._meter.add(1, "penstock_store_connections")
        try:
            # Whoever accepted the connection runs this far; the first request is another thread's.
            await ready(READABLE, time.monotonic() + self._limits.idle_seconds, idle=True)
            while await self._serve_one(connection):
                pass
        except (Refused, Disconnected, DeadlinePassed, ShuttingDown):
            pass  # there is nobody to answer any more, or nobody who takes the answer
        finally:
            connection.close()
            self._meter.add(-1, "penstock_store_connections")

    async def _serve_one(self, connection: Connection) -> bool:
        """One request. Whether the connection may carry another."""
        exchange = _Exchange(next(self._ids), connection.sent)
        try:
            try:
                raw = await connection.read_head()
                if raw is None:
                    return False
                exchange.started = time.monotonic()
                exchange.head = head = parse_head(raw, max_headers=self._limits.head_count)
                exchange.body = Body(connection, head)
                answer = await self._answer(head, exchange.body, exchange)
            except Refused as refused:
                exchange.code = refused.fault.code
                if refused.fault is DAMAGED:
                    self._log("store.unreadable", path=exchange.path, request_id=exchange.id)
                answer = refusal(refused, resource=exchange.path, request_id=exchange.id)
            keep_alive = await self._may_continue(exchange.head, exchange.body)
            await self._send(connection, exchange, answer, keep_alive=keep_alive)
        except (Refused, Disconnected, DeadlinePassed) as error:
            if isinstance(error, DataLost):
                exchange.code = DAMAGED.code
                self._log("store.unreadable", path=exchange.path, request_id=exchange.id)
            if exchange.head is not None:
                self._report(exchange, None, sent=connection.sent)
            raise
        self._report(exchange, answer.status, sent=connection.sent)
        if not keep_alive:
            await connection.part()
        return keep_alive

    async def _answer(self, head: Head, body: Body, exchange: _Exchange) -> Answer:
        if head.path == HEALTH_PATH:
            return self._health_answer()
        if head.method == "OPTIONS":
            return cors.preflight(head.fields, self._cors_rules(head))
        try:
            return await self._operate(head, body, exchange)
        except (Refused, Disconnected, DeadlinePassed, ShuttingDown):
            raise
        except DamagedError:
            raise Refused(DAMAGED) from None
        except OSError as error:  # of the disk: a socket's errors are `Disconnected`
            if head.method in {"GET", "HEAD"}:
                self._log("store.unreadable", path=head.path, request_id=exchange.id)
                raise self._health.unreadable(error) from error
            raise self._health.failed(error) from error
        except MemoryError as error:
            raise Refused(SLOW_DOWN) from error
        except Exception as error:
            self._log("store.failed", error=type(error).__name__, where=raised_at(error))
            raise Refused(INTERNAL_ERROR) from error

    async def _operate(self, head: Head, body: Body, exchange: _Exchange) -> Answer:
        now = datetime.fromtimestamp(self._now(), UTC)
        if is_form(head):
            exchange.operation = POST_OBJECT
            return await self._forms.post(head, body, now=now)
        if self._public_acls and is_unsigned(head):
            request = unsigned(head, body, now=now)
        else:
            request = authorise(head, body, verifier=self._verifier, now=now)
        exchange.operation = operation_of(request)
        return await self._routes.answer(request)

    async def _may_continue(self, head: Head | None, body: Body | None) -> bool:
        """Whether the next request can follow: a short body that nobody wanted is read away for it."""
        if head is None or body is None or not head.keep_alive or self._draining():
            return False
        try:
            return await body.skip(self._limits.drain_bytes)
        except (Refused, Disconnected):
            return False

    async def _send(self, connection: Connection, exchange: _Exchange, answer: Answer, *, keep_alive: bool) -> None:
        head = exchange.head
        extra = self._cors_headers(head) if head else ()
        bodiless = head is not None and head.method == "HEAD"
        if bodiless and answer.length is None:
            answer = replace(answer, length=len(answer.body))
        file = answer.file
        connection.begin_transfer()
        try:
            rendered = render_head(answer, request_id=exchange.id, now=self._now(), keep_alive=keep_alive, extra=extra)
            exchange.unseen = connection.sent + len(rendered)
            if not bodiless:
                rendered += answer.body
            await connection.send(rendered, more=file is not None)
            if file is not None:
                await _send_pieces(connection, file)
        finally:
            if file is not None:
                file.stored.close()

    def _cors_headers(self, head: Head) -> Headers:
        """For an actual request; a preflight says itself what it grants, and a refused one grants nothing."""
        if head.method == "OPTIONS":
            return ()
        if "origin" not in head.fields:  # most requests: the rules of the bucket are not worth a look
            return cors.response_headers(None, head.method, self._operators_rules)
        return cors.response_headers(head.fields["origin"], head.method, self._cors_rules(head))

    def _cors_rules(self, head: Head) -> tuple[CorsRule, ...]:
        """The operator's rules, then those of the bucket in the path. What cannot be read allows nothing."""
        try:
            return self._operators_rules + self._settings(head.path.split("/", 2)[1]).cors
        except (OSError, ValueError):
            return self._operators_rules

    def _health_answer(self) -> Answer:
        if self._health.degraded:
            return Answer(status=503, headers=(("Content-Type", "text/plain"),), body=b"degraded\n")
        return Answer(status=200, headers=(("Content-Type", "text/plain"),), body=b"ok\n")

    def _report(self, exchange: _Exchange, status: int | None, *, sent: int) -> None:
        """Count and log a request; `status` is None when its client has gone."""
        if exchange.path == HEALTH_PATH:
            return
        seconds = time.monotonic() - exchange.started
        received, sent = exchange.body.received if exchange.body else 0, max(0, sent - exchange.unseen)
        count_request(
            self._meter,
            operation=exchange.operation,
            status=status,
            code=exchange.code,
            received=received,
            sent=sent,
            seconds=seconds,
        )
        outcome: dict[str, object] = {} if status is None else {"status": status}
        if exchange.code:
            outcome["code"] = exchange.code
        self._log(
            "store.abandoned" if status is None else "store.request",
            method=exchange.head.method if exchange.head else "",
            path=exchange.path,
            **outcome,
            bytes=max(received, sent),
            ms=round(seconds * 1000, 1),
            request_id=exchange.id,
        )


async def _send_pieces(connection: Connection, file: FileSlice) -> None:
    """Raises `Disconnected` for a disk error, too: what was announced cannot be sent any more (F6)."""
    try:
        with contextlib.closing(file.stored.pieces(file.offset, file.count)) as pieces:
            for piece in pieces:
                if isinstance(piece, FileSpan):
                    await connection.send_file(piece.fd, piece.offset, piece.count)
                else:
                    await connection.send(piece)
    except (OSError, DamagedError):
        raise DataLost from None


def raised_at(error: BaseException) -> str:
    """`module:line` of the innermost frame of an exception: enough to find it, and no value of a request."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
