"""One connection's life: read a head, authorise, answer, and again. The one place where failures become answers."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.store import cors
from penstock.store.answers import Answer, refusal, render_head
from penstock.store.body import Body
from penstock.store.faults import INTERNAL_ERROR, Disconnected, Refused
from penstock.store.form_routes import is_form
from penstock.store.head import Head, parse_head
from penstock.store.reactor import READABLE, DeadlinePassed, ShuttingDown, ready
from penstock.store.request import authorise

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.sigv4 import Verifier
    from penstock.store.config import StoreConfig
    from penstock.store.connection import Connection
    from penstock.store.form_routes import FormRoutes
    from penstock.store.health import Health
    from penstock.store.routes import Routes

HEALTH_PATH = "/healthz"


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
        draining: Callable[[], bool],
    ) -> None:
        self._config = config
        self._limits = config.limits
        self._verifier = verifier
        self._routes = routes
        self._forms = forms
        self._health = health
        self._now = now
        self._log = log
        self._draining = draining

    async def run(self, connection: Connection) -> None:
        """Serve one connection until it ends."""
        try:
            # Whoever accepted the connection runs this far; the first request is another thread's.
            await ready(READABLE, time.monotonic() + self._limits.idle_seconds, idle=True)
            while await self._serve_one(connection):
                pass
        except (Refused, Disconnected, DeadlinePassed, ShuttingDown):
            pass  # there is nobody to answer any more, or nobody who takes the answer
        finally:
            connection.close()

    async def _serve_one(self, connection: Connection) -> bool:
        """One request. Whether the connection may carry another."""
        request_id = secrets.token_hex(8).upper()
        started = time.monotonic()
        head, body = None, None
        try:
            raw = await connection.read_head()
            if raw is None:
                return False
            started = time.monotonic()
            head = parse_head(raw, max_headers=self._limits.head_count)
            body = Body(connection, head)
            answer = await self._answer(head, body)
        except Refused as refused:
            answer = refusal(refused, resource=head.path if head else "", request_id=request_id)
        keep_alive = await self._may_continue(head, body)
        await self._send(connection, head, answer, request_id=request_id, keep_alive=keep_alive)
        self._report(head, body, answer, request_id=request_id, started=started)
        if not keep_alive:
            await connection.part()
        return keep_alive

    async def _answer(self, head: Head, body: Body) -> Answer:
        if head.path == HEALTH_PATH:
            return self._health_answer()
        if head.method == "OPTIONS":
            return cors.preflight(head.fields, self._config.cors_origins)
        now = datetime.fromtimestamp(self._now(), UTC)
        try:
            if is_form(head):
                return await self._forms.post(head, body, now=now)
            return await self._routes.answer(authorise(head, body, verifier=self._verifier, now=now))
        except (Refused, Disconnected, DeadlinePassed, ShuttingDown):
            raise
        except OSError as error:  # of the disk: a socket's errors are `Disconnected`
            raise self._health.failed(error) from error
        except Exception as error:
            self._log("store.failed", error=type(error).__name__, where=raised_at(error))
            raise Refused(INTERNAL_ERROR) from error

    async def _may_continue(self, head: Head | None, body: Body | None) -> bool:
        """Whether the next request can follow: a short body that nobody wanted is read away for it."""
        if head is None or body is None or not head.keep_alive or self._draining():
            return False
        try:
            return await body.skip(self._limits.drain_bytes)
        except Refused:
            return False

    async def _send(
        self, connection: Connection, head: Head | None, answer: Answer, *, request_id: str, keep_alive: bool
    ) -> None:
        extra = cors.response_headers(head.fields.get("origin"), self._config.cors_origins) if head else ()
        bodiless = head is not None and head.method == "HEAD"
        if bodiless and answer.length is None:
            answer = replace(answer, length=len(answer.body))
        file = answer.file
        connection.begin_transfer()
        try:
            rendered = render_head(answer, request_id=request_id, now=self._now(), keep_alive=keep_alive, extra=extra)
            if not bodiless:
                rendered += answer.body
            await connection.send(rendered, more=file is not None)
            if file is not None:
                await connection.send_file(file.stored.fd, file.offset, file.count)
        finally:
            if file is not None:
                file.stored.close()

    def _health_answer(self) -> Answer:
        if self._health.degraded:
            return Answer(status=503, headers=(("Content-Type", "text/plain"),), body=b"degraded\n")
        return Answer(status=200, headers=(("Content-Type", "text/plain"),), body=b"ok\n")

    def _report(self, head: Head | None, body: Body | None, answer: Answer, *, request_id: str, started: float) -> None:
        if head is not None and head.path == HEALTH_PATH:
            return
        sent = answer.file.count if answer.file else len(answer.body)
        self._log(
            "store.request",
            method=head.method if head else "",
            path=head.path if head else "",
            status=answer.status,
            bytes=max(body.received if body else 0, sent),
            ms=round((time.monotonic() - started) * 1000, 1),
            request_id=request_id,
        )


def raised_at(error: BaseException) -> str:
    """`module:line` of the innermost frame of an exception: enough to find it, and no value of a request."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
