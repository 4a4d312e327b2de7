"""The edge that all dialects share.

Request ids, access log, authentication before the body, strict bodies, one error path.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4  # noqa: TID251 - for request ids, which are no domain values

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from penstock.dialects.base.bodies import MAX_BODY, MAX_LARGE_BODY
from penstock.dialects.base.errors import from_validation
from penstock.dialects.base.rates import RateScope, address_of
from penstock.dialects.base.strict_json import parse_strict
from penstock.domain.errors import (
    BodyTooLarge,
    InternalError,
    MalformedBody,
    MethodRefused,
    PenstockError,
    RouteNotFound,
    Unauthenticated,
)
from penstock.services.rates import require_fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from penstock.dialects.base import Services
    from penstock.dialects.base.bodies import LargeBodies
    from penstock.dialects.base.rates import RateHeaders
    from penstock.domain.rates import Verdict
    from penstock.services.accounts import Principal
    from penstock.telemetry import Log

_NOT_FOUND = 404
_METHOD_NOT_ALLOWED = 405


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What differs between dialects at the edge: where the key stands, how an error looks, how large bodies may be.

    `max_large_body` is for the routes that take a model's input (`takes_input`). `rate_headers` stand in every answer.
    """

    services: Services
    read_secret: Callable[[Request], str | None]
    render_error: Callable[[PenstockError, str], Response]
    max_body: int = MAX_BODY
    max_large_body: int = MAX_LARGE_BODY
    rate_headers: RateHeaders | None = None


def request_id(request: Request) -> str:
    """The id of this request, as answered in the request id header."""
    return str(request.scope["state"]["request_id"])


def principal(request: Request) -> Principal:
    """Who is asking. Only on routes made by `open_app`'s authenticated router."""
    found: Principal = request.scope["state"]["principal"]
    return found


def public(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a handler that needs no key."""
    endpoint.__penstock_public__ = True  # type: ignore[attr-defined]  # a mark on a function
    return endpoint


def takes_input(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a handler whose body holds a model's input, in which files may stand as data URIs."""
    endpoint.__penstock_takes_input__ = True  # type: ignore[attr-defined]  # a mark on a function
    return endpoint


def begins_upload(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a handler that begins an upload, which may have a rate of its own."""
    endpoint.__penstock_begins_upload__ = True  # type: ignore[attr-defined]  # a mark on a function
    return endpoint


def open_app(edge: Edge, **settings: Any) -> FastAPI:  # noqa: ANN401 - FastAPI's own settings, passed on
    """A FastAPI app whose routes authenticate first, read strict JSON, and render every error through the edge."""
    app = FastAPI(docs_url=None, redoc_url=None, redirect_slashes=False, **settings)
    app.router.route_class = _route_class(edge)
    app.add_middleware(RateScope, edge=edge)

    def rendered(request: Request, error: Exception) -> Response:
        return edge.render_error(_as_ours(error, lambda: _methods_at(app, request)), request_id(request))

    for kind in (PenstockError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, rendered)
    return app


class RequestScope:
    """ASGI middleware: a fresh request id in scope and answer, one log event per request, the last net for errors.

    An answer that carries the header already keeps it: a product may call its runs requests. `prefix` begins every id.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        header: str,
        edge_error: Callable[[PenstockError, str], Response],
        log: Log,
        prefix: str = "",
    ) -> None:
        self._app = app
        self._prefix = prefix
        self._header = header.lower().encode()
        self._render_error = edge_error
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = self._prefix + uuid4().hex
        scope.setdefault("state", {})["request_id"] = identifier
        begun = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                if not any(name.lower() == self._header for name, _ in headers):
                    headers.append((self._header, identifier.encode()))
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = 499
        except Exception as error:
            self._log("api.error", request_id=identifier, error=type(error).__name__, where=_where(error))
            if status:
                raise
            await self._render_error(InternalError(), identifier)(scope, receive, send_with_id)
        finally:
            self._log(
                "api.request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round((time.perf_counter() - begun) * 1000, 1),
                request_id=identifier,
                account_id=getattr(scope["state"].get("principal"), "account_id", None),
            )


def _route_class(edge: Edge) -> type[APIRoute]:
    class StrictRoute(APIRoute):
        """Authenticates, then reads the body, then lets FastAPI go on."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            is_public = getattr(self.endpoint, "__penstock_public__", False)
            wants_body = self.body_field is not None
            takes_input = getattr(self.endpoint, "__penstock_takes_input__", False)
            uploads = getattr(self.endpoint, "__penstock_begins_upload__", False)
            limit = edge.max_large_body if takes_input else edge.max_body

            async def strict(request: Request) -> Response:
                if not is_public:
                    who = await authenticated(edge.services, edge.read_secret(request), address_of(request.scope))
                    request.scope["state"]["principal"] = who
                    _count(request, edge.services.rates.of_key(who.key.id))
                    if uploads:
                        _count(request, edge.services.rates.of_uploads(who.key.id))
                if not wants_body:
                    return await handle(request)
                strict_request = _StrictRequest(request.scope, request.receive)
                async with AsyncExitStack() as until_answered:
                    await strict_request.load(limit, edge.services.large_bodies, until_answered)
                    return await handle(strict_request)

            return strict

    return StrictRoute


async def authenticated(services: Services, secret: str | None, address: str) -> Principal:
    """Who is asking. Raises `Unauthenticated`; `RateLimited` for a key not seen lately, after too many that were none.

    So an address that tries keys costs nothing more, and its neighbours with good ones notice nothing (S27).
    """
    accounts, rates = services.accounts, services.rates
    known = accounts.recall(secret)
    if known is not None:
        return known
    if not accounts.was_known(secret):
        rates.check_failures(address)
    try:
        return await run_in_threadpool(accounts.authenticate, secret)
    except Unauthenticated:
        rates.failed(address)
        raise


def _count(request: Request, verdict: Verdict | None) -> None:
    """Let a verdict be told, and obeyed. Raises `RateLimited`."""
    if verdict is not None:
        request.scope["state"]["rate"] = verdict
        require_fitting(verdict)


class _StrictRequest(Request):
    """A request whose JSON was read strictly, whatever its Content-Type says (clients send parameters, or nothing)."""

    _parsed: object = None

    async def load(self, limit: int, large_bodies: LargeBodies, until_answered: AsyncExitStack) -> None:
        """Read and parse the body; a large one has its place `until_answered`.

        Raises `BodyTooLarge`, `MalformedBody`, `RateLimited`.
        """
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise BodyTooLarge(limit=limit)
        body = bytearray()
        large = False
        async for chunk in self.stream():
            body += chunk
            if len(body) > limit:
                raise BodyTooLarge(limit=limit)
            if len(body) > MAX_BODY and not large:
                large = True
                await until_answered.enter_async_context(large_bodies.place(principal(self).account_id))
        if body:
            self._parsed = await large_bodies.parsed(bytes(body)) if large else parse_strict(bytes(body))
        # Only its being there is looked at from here on, and a large one needs its room more than once already.
        self._body = b"{}" if body else b""
        self.scope["headers"] = [
            *((name, value) for name, value in self.scope["headers"] if name != b"content-type"),
            (b"content-type", b"application/json"),
        ]
        if hasattr(self, "_headers"):
            del self._headers

    async def json(self) -> Any:  # noqa: ANN401 - the signature it overrides
        """The strictly parsed body."""
        return self._parsed


def _methods_at(app: FastAPI, request: Request) -> set[str]:
    """Every method that some route takes at the request's path; the framework names those of one route only."""
    here = (route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return set().union(*(getattr(route, "methods", None) or () for route in here))


def _as_ours(error: Exception, methods: Callable[[], set[str]]) -> PenstockError:
    match error:
        case PenstockError():
            return error
        case RequestValidationError():
            return from_validation(error.errors())
        case HTTPException(status_code=status) if status == _NOT_FOUND:
            return RouteNotFound()
        case HTTPException(status_code=status) if status == _METHOD_NOT_ALLOWED:
            named = (error.headers or {}).get("Allow", "")
            return MethodRefused(allowed=tuple(sorted(methods() | set(named.replace(" ", "").split(",")) - {""})))
        case _:
            return MalformedBody("the request could not be understood")


def _where(error: BaseException) -> str:
    """File name and line of the innermost frame: enough to find the fault, no content."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame is not None else "?"
