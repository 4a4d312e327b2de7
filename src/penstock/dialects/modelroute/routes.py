"""ModelRoute routes: parse, call one service verb, render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Header, Request
from fastapi.responses import JSONResponse, Response

from penstock.dialects.base.access import run_reader, run_writer
from penstock.dialects.base.http import Edge, RequestScope, begins_upload, open_app, principal, takes_input
from penstock.dialects.base.rates import X_RATE_LIMIT
from penstock.dialects.modelroute import wire
from penstock.dialects.modelroute.errors import render_error, render_read_error
from penstock.dialects.modelroute.webhook_routes import add_webhooks, signed_callback
from penstock.domain.accounts import Scope
from penstock.domain.idempotency import idempotent_request
from penstock.domain.ids import AssetId
from penstock.domain.runs import output_assets
from penstock.services.runs import NewRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from pydantic import BaseModel
    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as ASGIScope

    from penstock.dialects.base import Capabilities, Services
    from penstock.domain.assets import Asset
    from penstock.domain.runs import Run
    from penstock.domain.uploads import UploadPolicy

    Policies = Mapping[type[wire.UploadRequest], UploadPolicy]

_NAME = "modelroute"
_FILES = "/v1/files"

IdempotencyKey = Annotated[str | None, Header()]


def build(services: Services, base_url: str, *, policies: Policies, capabilities: Capabilities) -> ASGIApp:
    """ModelRoute's API as an ASGI app to be mounted at `base_url`; `policies` by the form of the request."""
    del base_url  # no answer holds an address of the API
    reads = Edge(services=services, read_secret=_key, render_error=render_read_error, rate_headers=X_RATE_LIMIT)
    files = open_app(reads, title="ModelRoute", openapi_url=None)
    _add_files(files, services, policies)
    runs = Edge(services=services, read_secret=_key, render_error=render_error, rate_headers=X_RATE_LIMIT)
    executions = open_app(runs, title="ModelRoute", openapi_url=None)
    _add_executions(executions, services, capabilities)
    add_webhooks(executions, services, dialect=_NAME)

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        """A file that is not there has one status where it is asked for and another where an execution names it."""
        below = scope["path"].removeprefix(scope.get("root_path", ""))
        await (files if f"{below}/".startswith(f"{_FILES}/") else executions)(scope, receive, send)

    return RequestScope(
        app, header=wire.REQUEST_ID_HEADER, edge_error=render_error, log=services.log, prefix=wire.REQUEST_ID_PREFIX
    )


def _add_files(app: FastAPI, services: Services, policies: Policies) -> None:
    def found(request: Request, file_id: str) -> Asset:
        who = principal(request)
        who.require(Scope.FILES_READ)
        return services.assets.first_use(who.account_id, wire.parse_file(file_id))

    @app.post(f"{_FILES}/upload")
    @begins_upload
    def begin_upload(request: Request, body: Annotated[dict[str, Any], Body()]) -> Response:
        """Begin an upload: the bytes go to `upload_url`. That this is 200 is inferred."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        asked = wire.parse_upload(body)
        policy = policies[type(asked)]
        declared = asked.declared(dialect=_NAME, limit=policy.max_bytes)
        upload = services.uploads.begin_upload(who.account_id, declared, policy)
        put = services.uploads.signed_put(upload, binds_type=policy.binds_type)
        return _json(wire.begin_upload_out(upload, upload_url=put.url))

    @app.post(f"{_FILES}/confirm")
    def confirm(request: Request, body: wire.ConfirmUpload) -> Response:
        """The third step of the later form (its shape is inferred). Nothing needs it: the first use does the same."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        return _json(wire.confirmed_out(services.assets.first_use(who.account_id, wire.parse_file(body.file_id))))

    @app.get(f"{_FILES}/{{file_id}}/url")
    def file_url(request: Request, file_id: str) -> Response:
        """Where a file can be read without a key, for an hour."""
        asset = found(request, file_id)
        return _json(wire.file_url_out(asset, services.assets.address(asset)))

    @app.get(f"{_FILES}/{{file_id}}/download")
    def download(request: Request, file_id: str) -> Response:
        """A file's bytes, by a redirect; who does not follow reads where they are (files/downloading prints both)."""
        asset = found(request, file_id)
        address = services.assets.address(asset)
        headers = {"Location": address.url, "Cache-Control": "no-store"}
        return _json(wire.file_url_out(asset, address), 307, headers)


def _add_executions(app: FastAPI, services: Services, capabilities: Capabilities) -> None:
    def made(run: Run) -> dict[AssetId, Asset]:
        ids = tuple(AssetId(asset_id) for asset_id in output_assets(run.output))
        return services.assets.many(run.account_id, ids) if ids else {}

    def shown(run: Run, status: int = 200) -> Response:
        return _json(wire.execution_out(run, assets=made(run)), status)

    @app.post("/v1/executions")
    @takes_input
    def execute(request: Request, body: wire.Execute, idempotency_key: IdempotencyKey = None) -> Response:
        """Queue an execution; what it may cost is held."""
        account_id = run_writer(request)
        asked = NewRun(
            dialect=_NAME,
            model=body.model,
            inputs=body.input,
            metadata=body.metadata or {},
            metadata_limit=wire.MAX_METADATA,
            keeps_inputs=capabilities.run_input_keeps_file,
            takes_urls=capabilities.takes_urls,
            named=wire.named_files(body.input),
            callback=signed_callback(services.webhooks, account_id, body.webhook_url, dialect=_NAME),
        )
        same = idempotent_request(idempotency_key, body.model_dump())
        return shown(services.runs.submit(account_id, asked, idempotency=same), 202)

    @app.get("/v1/executions/{execution_id}")
    def get_execution(request: Request, execution_id: str) -> Response:
        """Where an execution stands."""
        return shown(services.runs.get(run_reader(request), wire.parse_execution(execution_id)))

    @app.get("/v1/executions/{execution_id}/result")
    def get_result(request: Request, execution_id: str) -> Response:
        """What an execution has made; 200 before its end as well, without `output` (inferred)."""
        run = services.runs.get(run_reader(request), wire.parse_execution(execution_id))
        return _json(wire.result_out(run, assets=made(run)))

    @app.post("/v1/executions/{execution_id}/cancel")
    def cancel(request: Request, execution_id: str) -> Response:
        """Ask for an execution's end; one that has ended is answered unchanged (inferred)."""
        return shown(services.runs.cancel(run_writer(request), wire.parse_execution(execution_id)))


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """What does not apply is left out, but for the measures of a picture, which may be null."""
    content = {name: value for name, value in body.model_dump(mode="json").items() if value is not None}
    return JSONResponse(content, status_code=status, headers=headers)


def _key(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None
