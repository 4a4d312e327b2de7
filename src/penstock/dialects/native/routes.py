"""Native routes: parse, call one service verb, render."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Header, Query, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from penstock.dialects.base.http import Edge, RequestScope, open_app, principal, public, takes_input
from penstock.dialects.base.streams import SSE_COMMENT, EventStream, sse_frame
from penstock.dialects.native import wire
from penstock.dialects.native.errors import render_error
from penstock.domain.accounts import Scope
from penstock.domain.errors import AssetNotFound, RunNotFound, UploadNotFound
from penstock.domain.events import RUN_FINALS, UPLOAD_FINALS
from penstock.domain.idempotency import idempotent_request
from penstock.domain.ids import AssetId, RunId, UploadId, parse_media_key, parse_prefixed
from penstock.domain.runs import is_finished, output_assets
from penstock.domain.uploads import UploadState, is_over
from penstock.services.runs import NewRun
from penstock.services.uploads import NewUpload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fastapi import FastAPI
    from pydantic import BaseModel
    from starlette.types import ASGIApp

    from penstock.dialects.base import Services
    from penstock.domain.events import EventKind
    from penstock.domain.ids import AccountId
    from penstock.domain.runs import Run
    from penstock.domain.uploads import Upload, UploadPolicy

REQUEST_ID_HEADER = "X-Request-Id"
_MAX_WAIT_SECONDS = 60
_MAX_EVENT_DIGITS = 18
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    statuses: {"model": wire.Problem, "description": "Problem details (RFC 9457)"} for statuses in ("4XX", "5XX")
}
_EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    204: {"description": "There will be no more events"},
}

Limit = Annotated[int, Query(ge=1, le=100, description="Items per page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
LedgerCursor = Annotated[int | None, Query(ge=1, description="`next_cursor` of the page before.")]
After = Annotated[int, Query(description="Number of the last event that is known already.")]
IdempotencyKey = Annotated[
    str | None, Header(description="Makes a repeat of this request return the first one's result.")
]


def build(services: Services, base_url: str, *, policy: UploadPolicy) -> ASGIApp:
    """The native API as an ASGI app to be mounted at `base_url`."""
    edge = Edge(services=services, read_secret=_bearer, render_error=render_error)
    app = open_app(
        edge,
        title="Penstock",
        version="1",
        servers=[{"url": base_url}],
        root_path_in_servers=False,
        openapi_url="/openapi.json",
        responses=_PROBLEMS,
    )
    _add_uploads(app, services, policy)
    _add_assets(app, services, base_url)
    _add_runs(app, services, base_url)
    _add_account(app, services)
    _add_docs(app)
    return RequestScope(app, header=REQUEST_ID_HEADER, edge_error=render_error, log=services.log)


def _add_uploads(app: FastAPI, services: Services, policy: UploadPolicy) -> None:
    def shown(upload: Upload) -> wire.UploadOut:
        if upload.state is not UploadState.PENDING:
            return wire.upload_out(upload)
        put = services.uploads.signed_put(upload)
        return wire.upload_out(upload, url=put.url, headers=put.headers)

    @app.post("/uploads", status_code=201, response_model=wire.UploadOut, tags=["uploads"])
    def create_upload(request: Request, body: wire.CreateUpload, idempotency_key: IdempotencyKey = None) -> Response:
        """Begin an upload: PUT the bytes to `upload_url` with `headers`, then complete it."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        declared = NewUpload(
            dialect="native",
            filename=body.filename,
            content_type=body.content_type,
            size=body.size_bytes,
            lifetime=timedelta(seconds=body.expires_in) if body.expires_in is not None else None,
        )
        same = idempotent_request(idempotency_key, body.model_dump())
        return _json(shown(services.uploads.begin_upload(who.account_id, declared, policy, idempotency=same)), 201)

    @app.get("/uploads", response_model=wire.UploadPage, tags=["uploads"])
    def list_uploads(request: Request, limit: Limit = 20, cursor: Cursor = None) -> Response:
        """Uploads, newest first."""
        page = services.uploads.page(_reader(request), cursor=cursor, limit=limit)
        return _json(wire.UploadPage(data=[wire.upload_out(item) for item in page.items], next_cursor=page.next_cursor))

    @app.get("/uploads/{upload_id}", response_model=wire.UploadOut, tags=["uploads"])
    def get_upload(request: Request, upload_id: str) -> Response:
        """One upload."""
        return _json(shown(services.uploads.get(_reader(request), _upload_id(upload_id))))

    @app.delete("/uploads/{upload_id}", response_model=wire.UploadOut, tags=["uploads"])
    def abort_upload(request: Request, upload_id: str) -> Response:
        """Give up an upload that was not completed."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        return _json(wire.upload_out(services.uploads.abort_upload(who.account_id, _upload_id(upload_id))))

    @app.get("/uploads/{upload_id}/events", tags=["uploads"], response_class=StreamingResponse, responses=_EVENT_STREAM)
    async def upload_events(request: Request, upload_id: str, after: After = 0) -> Response:
        """The upload's events as server-sent events, from its first or after `Last-Event-ID`."""
        found = _upload_id(upload_id)
        look = partial(services.uploads.get, _reader(request), found)
        return await _stream(services, request, found, after, UPLOAD_FINALS, lambda: is_over(look()))


def _add_assets(app: FastAPI, services: Services, base_url: str) -> None:
    @app.post("/uploads/{upload_id}/complete", response_model=wire.AssetOut, tags=["uploads"])
    def complete_upload(request: Request, upload_id: str) -> Response:
        """Admit the bytes: the answer is the asset, the same one however often this is called."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        return _json(
            wire.asset_out(services.uploads.complete_upload(who.account_id, _upload_id(upload_id)), base_url=base_url)
        )

    @app.get("/assets", response_model=wire.AssetPage, tags=["assets"])
    def list_assets(request: Request, limit: Limit = 20, cursor: Cursor = None) -> Response:
        """Assets, newest first."""
        page = services.assets.page(_reader(request), cursor=cursor, limit=limit)
        data = [wire.asset_out(asset, base_url=base_url) for asset in page.items]
        return _json(wire.AssetPage(data=data, next_cursor=page.next_cursor))

    @app.get("/assets/{asset_id}", response_model=wire.AssetOut, tags=["assets"])
    def get_asset(request: Request, asset_id: str) -> Response:
        """One asset."""
        return _json(wire.asset_out(services.assets.get(_reader(request), _asset_id(asset_id)), base_url=base_url))

    @app.delete("/assets/{asset_id}", status_code=204, tags=["assets"])
    def delete_asset(request: Request, asset_id: str) -> Response:
        """Delete an asset; a run that uses it keeps it to its end."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        services.assets.delete(who.account_id, _asset_id(asset_id))
        return Response(status_code=204)

    @app.head("/media/{key}", include_in_schema=False)
    @app.get("/media/{key}", status_code=307, tags=["assets"], openapi_extra={"security": []})
    @public
    def media(request: Request, key: str) -> Response:
        """The bytes of an asset, by its public URL: a redirect to a short-lived URL of the object store."""
        found = parse_media_key(key)
        if found is None:
            raise AssetNotFound(key)
        location = services.assets.media_location(found, method=request.method)
        return RedirectResponse(location, status_code=307, headers={"Cache-Control": "no-store"})


def _add_runs(app: FastAPI, services: Services, base_url: str) -> None:
    def shown(run: Run) -> wire.RunOut:
        named = tuple(AssetId(asset_id) for asset_id in output_assets(run.output))
        return wire.run_out(run, assets=services.assets.many(run.account_id, named) if named else {}, base_url=base_url)

    @app.get("/models", response_model=wire.ModelPage, tags=["models"])
    def list_models(request: Request) -> Response:
        """Every model that can be run."""
        principal(request).require(Scope.RUNS_READ)
        return _json(wire.ModelPage(data=[wire.model_out(model) for model in services.catalog.models]))

    @app.get("/models/{slug:path}", response_model=wire.ModelOut, tags=["models"])
    def get_model(request: Request, slug: str) -> Response:
        """One model, by slug or alias."""
        principal(request).require(Scope.RUNS_READ)
        return _json(wire.model_out(services.catalog.find(slug)))

    @app.post("/runs", status_code=201, response_model=wire.RunOut, tags=["runs"])
    @takes_input
    def create_run(request: Request, body: wire.CreateRun, idempotency_key: IdempotencyKey = None) -> Response:
        """Queue a run. Follow it with `GET /runs/{id}?wait=…` or its events."""
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        asked = NewRun(dialect="native", model=body.model, inputs=body.input, metadata=body.metadata)
        same = idempotent_request(idempotency_key, body.model_dump())
        return _json(shown(services.runs.submit(who.account_id, asked, idempotency=same)), 201)

    @app.get("/runs", response_model=wire.RunPage, tags=["runs"])
    def list_runs(request: Request, limit: Limit = 20, cursor: Cursor = None) -> Response:
        """Runs, newest first."""
        page = services.runs.page(_run_reader(request), cursor=cursor, limit=limit)
        return _json(wire.RunPage(data=[shown(run) for run in page.items], next_cursor=page.next_cursor))

    @app.get("/runs/{run_id}", response_model=wire.RunOut, tags=["runs"])
    async def get_run(
        request: Request,
        run_id: str,
        wait: Annotated[float, Query(ge=0, le=_MAX_WAIT_SECONDS, description="Seconds to wait for its end.")] = 0,
    ) -> Response:
        """One run; with `wait`, as soon as it has finished or the time is over."""
        account_id, found = _run_reader(request), _run_id(run_id)
        run = await services.streams.until(
            account_id,
            found,
            lambda: (run := services.runs.get(account_id, found), shown(run)),
            lambda seen: is_finished(seen[0]),
            seconds=wait,
        )
        return _json(run[1])

    @app.post("/runs/{run_id}/cancel", response_model=wire.RunOut, tags=["runs"])
    def cancel_run(request: Request, run_id: str) -> Response:
        """Ask for the end of a run; a finished one stays as it is."""
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        return _json(shown(services.runs.cancel(who.account_id, _run_id(run_id))))

    @app.get("/runs/{run_id}/events", tags=["runs"], response_class=StreamingResponse, responses=_EVENT_STREAM)
    async def run_events(request: Request, run_id: str, after: After = 0) -> Response:
        """The run's events (progress, log, end) as server-sent events, from its first or after `Last-Event-ID`."""
        found = _run_id(run_id)
        look = partial(services.runs.get, _run_reader(request), found)
        return await _stream(services, request, found, after, RUN_FINALS, lambda: is_finished(look()))


def _add_account(app: FastAPI, services: Services) -> None:
    @app.get("/account", response_model=wire.AccountOut, tags=["account"])
    def get_account(request: Request) -> Response:
        """The account behind the key, and its balance."""
        who = principal(request)
        who.require(Scope.ACCOUNT_READ)
        return _json(wire.account_out(*services.accounts.account(who.account_id), who))

    @app.get("/account/ledger", response_model=wire.LedgerPage, tags=["account"])
    def list_ledger(request: Request, limit: Limit = 20, cursor: LedgerCursor = None) -> Response:
        """Every change of the balance, newest first."""
        who = principal(request)
        who.require(Scope.ACCOUNT_READ)
        page = services.accounts.ledger_page(who.account_id, below=cursor, limit=limit)
        return _json(
            wire.LedgerPage(data=[wire.ledger_entry_out(entry) for entry in page.items], next_cursor=page.next_cursor)
        )


def _add_docs(app: FastAPI) -> None:
    """The document and the interactive page; its assets come with an installed package, never from a CDN."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        """What FastAPI sees, and what it cannot see: that a key is needed, and under which type problems come."""
        if app.openapi_schema is None:
            document = describe()
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"key": []}]
            for operation in (one for methods in document["paths"].values() for one in methods.values()):
                for statuses in _PROBLEMS:
                    content = operation["responses"][statuses]["content"]
                    content["application/problem+json"] = content.pop("application/json")
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents
    app.mount("/docs-assets", StaticFiles(directory=str(files("fastapi_offline") / "static")))

    @app.get("/docs", include_in_schema=False)
    @public
    def docs(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title="Penstock API",
            swagger_js_url=f"{root}/docs-assets/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs-assets/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs-assets/favicon.png",
        )


async def _stream(
    services: Services,
    request: Request,
    subject: str,
    after: int,
    finals: frozenset[EventKind],
    is_over: Callable[[], bool],
) -> Response:
    """Events of a subject that the caller owns (`is_over` raises when it does not); 204 when there will be no more.

    A browser's EventSource comes back after every end but a 204 (WHATWG HTML, server-sent events).
    """
    over = await run_in_threadpool(is_over)
    last = request.headers.get("last-event-id", "")
    start = int(last) if last.isdecimal() and len(last) <= _MAX_EVENT_DIGITS else after
    account_id = principal(request).account_id
    if over and not await run_in_threadpool(services.streams.after, account_id, subject, start):
        return Response(status_code=204)

    async def frames() -> AsyncIterator[bytes]:
        async for event in services.streams.follow(account_id, subject, after=start, finals=finals):
            yield (
                SSE_COMMENT
                if event is None
                else sse_frame(event.kind.value, wire.event_out(event), number=event.number)
            )

    return EventStream(frames(), place=services.streams.place(account_id))


def _json(body: BaseModel, status: int = 200) -> Response:
    return Response(body.__pydantic_serializer__.to_json(body), status_code=status, media_type="application/json")


def _bearer(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _reader(request: Request) -> AccountId:
    who = principal(request)
    who.require(Scope.FILES_READ)
    return who.account_id


def _run_reader(request: Request) -> AccountId:
    who = principal(request)
    who.require(Scope.RUNS_READ)
    return who.account_id


def _upload_id(text: str) -> UploadId:
    found = parse_prefixed("upload", text)
    if found is None:
        raise UploadNotFound(text)
    return UploadId(found)


def _asset_id(text: str) -> AssetId:
    found = parse_prefixed("asset", text)
    if found is None:
        raise AssetNotFound(text)
    return AssetId(found)


def _run_id(text: str) -> RunId:
    found = parse_prefixed("run", text)
    if found is None:
        raise RunNotFound(text)
    return RunId(found)
