"""One path, two transports: a POST of tasks is collected into one answer, a WebSocket is a conversation."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import Response

from penstock.dialects.base.bodies import MAX_BODY, MAX_LARGE_BODY
from penstock.dialects.base.http import Edge, RequestScope, authenticated, open_app, public, request_id
from penstock.dialects.base.media import media_redirect
from penstock.dialects.base.rates import address_of
from penstock.dialects.base.strict_json import parse_strict
from penstock.dialects.runware import wire
from penstock.dialects.runware.dispatch import Begun, Dispatcher
from penstock.dialects.runware.errors import render_error
from penstock.dialects.runware.sockets import Sockets
from penstock.dialects.runware.tasks import all_tasks
from penstock.dialects.runware.wire import Told
from penstock.domain.errors import BodyTooLarge, InputError, MalformedBody

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from penstock.dialects.base import Services
    from penstock.dialects.runware.rooms import Room
    from penstock.services.accounts import Principal

WINDOW_SECONDS = 120.0
"""How long a POST waits for tasks that go on (inferred)."""
PATHS = ("/v1", "/v1/")
_PIECE = 2**18


def build(services: Services, base_url: str) -> ASGIApp:
    """The dialect's API as an ASGI app to be mounted at its base URL."""
    dispatcher = Dispatcher(services, all_tasks(services, base_url))
    edge = Edge(services=services, read_secret=bearer, render_error=render_error)
    app = open_app(edge, title="Runware", openapi_url=None)
    posts = _Posts(services, dispatcher)

    @public  # the key may stand in the body: RU-08
    async def do_tasks(request: Request) -> Response:
        """Do every task of the array."""
        return await posts.answer(request)

    @app.api_route("/media/{key}", methods=["GET", "HEAD"])
    @public
    def media(request: Request, key: str) -> Response:
        """A file by its URL: 404 before its bytes, then a redirect to a short-lived URL of the store."""
        return media_redirect(services, request, key)

    for path in PATHS:
        app.post(path)(do_tasks)
    http = RequestScope(app, header="x-request-id", edge_error=render_error, log=services.log)
    sockets = Sockets(services, dispatcher, paths=PATHS)

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        serve = sockets if scope["type"] == "websocket" else http
        await serve(scope, receive, send)

    return either


def bearer(request: Request) -> str | None:
    """The key of the Authorization header."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


class _Posts:
    """Answers POSTs."""

    def __init__(self, services: Services, dispatcher: Dispatcher) -> None:
        self._services = services
        self._dispatcher = dispatcher

    async def answer(self, request: Request) -> Response:
        """Do every task of the array; each succeeds or fails for itself."""
        with ExitStack() as until_sent:
            async with AsyncExitStack() as until_begun:
                who, elements = await self._read(request, until_begun)
                room = self._dispatcher.rooms.open(who.account_id, until_closed=True)
                until_sent.callback(room.close)
                begun = await self._begun(request, who, elements, room)
            told = await self._collected(begun)
            return _Answer(told, until_sent.pop_all())

    async def _read(self, request: Request, until_begun: AsyncExitStack) -> tuple[Principal, list[object]]:
        """Who asks, and for what. A body above `MAX_BODY` is read for those alone who have a key.

        Raises `Unauthenticated`, `BodyTooLarge`, `RateLimited`, `MalformedBody`, `InvalidField`.
        """
        secret = bearer(request)
        who = await self._known(request, secret) if secret else None
        body = bytearray()
        async for chunk in request.stream():
            was_large = len(body) > MAX_BODY
            body += chunk
            if len(body) > MAX_LARGE_BODY:
                raise BodyTooLarge(limit=MAX_LARGE_BODY)
            if len(body) > MAX_BODY and not was_large:
                who = who or await self._known(request, _key_in_front(body))
                await until_begun.enter_async_context(self._services.large_bodies.place(who.account_id))
        try:
            large = len(body) > MAX_BODY
            value = await self._services.large_bodies.parsed(bytes(body)) if large else parse_strict(bytes(body))
            elements = wire.read_tasks(value)
        except InputError:
            who = who or await self._known(request, None)
            raise
        return who or await self._known(request, _key_of(elements)), elements

    async def _known(self, request: Request, secret: str | None) -> Principal:
        return await authenticated(self._services, secret, address_of(request.scope))

    async def _begun(self, request: Request, who: Principal, elements: Sequence[object], room: Room) -> list[Begun]:
        """Do what can be done at once; what waits for the rest needs the body no more."""
        request.scope["state"]["principal"] = who
        tasks = [element for element in elements if not wire.is_of(element, wire.AUTHENTICATION)]
        if not tasks:
            return [Begun(told=(wire.authenticated_out(None),))]
        dry_run = wire.is_dry_run(request.headers.get("x-runware-dry-run"), request.query_params.get("dryRun"))
        begun: list[Begun] = []
        try:
            for task in tasks:
                if isinstance(task, dict) and wire.is_of(task, wire.PING):
                    begun.append(Begun(told=(wire.pong_out(task),)))
                else:
                    identifier = request_id(request)
                    begun.append(await self._dispatcher.begin(who, task, room, dry_run=dry_run, request_id=identifier))
        except BaseException:
            _drop(begun)
            raise
        return begun

    async def _collected(self, begun: Sequence[Begun]) -> list[Told]:
        """Everything that the tasks come to within the window, in the order of the tasks."""
        parts = [list(one.told) for one in begun]
        rests = {
            asyncio.create_task(one.rest.run(_adding_to(part))): (one.rest, part)
            for one, part in zip(begun, parts, strict=True)
            if one.rest is not None
        }
        try:
            if rests:
                await asyncio.wait(rests, timeout=WINDOW_SECONDS)
            for waiting, (rest, part) in rests.items():
                if not waiting.done() or not waiting.result():
                    part.extend(await rest.unfinished())
        finally:
            for waiting in rests:
                waiting.cancel()
            await asyncio.gather(*rests, return_exceptions=True)
            _drop(begun)
        return [told for part in parts for told in part]


class _Answer(Response):
    """What tasks came to, sent in pieces: so that what it holds is given back when it is sent, and not before."""

    def __init__(self, told: Sequence[Told], until_sent: ExitStack) -> None:
        failed = [part for part in told if part.is_error]
        # Partial success is 200; that where all failed it is the status of the first is the product's, too (inferred).
        first = failed[0] if failed and len(failed) == len(told) else Told(text="")
        super().__init__(
            wire.envelope(told), status_code=first.status, media_type="application/json", headers=dict(first.headers)
        )
        self._until_sent = until_sent

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Each piece is waited for by the next one."""
        with self._until_sent:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body), _PIECE):
                piece, more = self.body[start : start + _PIECE], start + _PIECE < len(self.body)
                await send({"type": "http.response.body", "body": piece, "more_body": more})


def _adding_to(part: list[Told]) -> Callable[[Told], Awaitable[None]]:
    async def add(told: Told) -> None:
        part.append(told)

    return add


def _drop(begun: Sequence[Begun]) -> None:
    for one in begun:
        if one.rest is not None:
            one.rest.drop()


def _key_of(elements: Sequence[object]) -> str | None:
    """The key of an authentication element, which stands first."""
    first = elements[0]
    return wire.read_api_key(first) if isinstance(first, dict) and wire.is_of(first, wire.AUTHENTICATION) else None


def _key_in_front(body: bytearray) -> str | None:
    """The same, of a body that is not there as a whole and is too large for strangers."""
    try:
        return _key_of([wire.peek_first(body.decode("utf-8", errors="replace"))])
    except MalformedBody:
        return None
