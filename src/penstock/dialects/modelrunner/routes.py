"""ModelRunner routes: parse, call one service verb, render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Header, Query, Request
from fastapi.responses import RedirectResponse, Response

from penstock.dialects.base.http import Edge, RequestScope, begins_upload, open_app, principal, public, takes_input
from penstock.dialects.modelrunner import wire
from penstock.dialects.modelrunner.callbacks import parse_callback
from penstock.dialects.modelrunner.errors import render_error
from penstock.dialects.modelrunner.webhook_routes import add_webhooks
from penstock.domain.accounts import Scope
from penstock.domain.errors import AssetNotFound
from penstock.domain.ids import AssetId, parse_media_key
from penstock.domain.parts import MOST_PARTS
from penstock.domain.runs import output_assets, require_finished
from penstock.domain.uploads import UploadMethod
from penstock.services.runs import NewRun
from penstock.services.uploads import NewUpload

if TYPE_CHECKING:
    from datetime import timedelta

    from fastapi import FastAPI
    from pydantic import BaseModel
    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as ASGIScope

    from penstock.dialects.base import Capabilities, Services
    from penstock.domain.foreign import ReferenceRules
    from penstock.domain.ids import AccountId, UploadId
    from penstock.domain.runs import Run
    from penstock.domain.uploads import Upload, UploadPolicy

_NAME = "modelrunner"

Lifecycle = Annotated[str | None, Header(alias=wire.LIFECYCLE_HEADER)]
StoreIO = Annotated[str | None, Header(alias=wire.STORE_IO_HEADER)]
UploadKey = Annotated[str, Query(alias="uploadKey", min_length=1)]
UploadIdText = Annotated[str, Query(alias="uploadId", min_length=1)]
PartNumber = Annotated[int, Query(alias="partNumber", ge=1, le=MOST_PARTS)]


def build(
    services: Services, base_url: str, *, policy: UploadPolicy, capabilities: Capabilities, references: ReferenceRules
) -> ASGIApp:
    """ModelRunner's API as an ASGI app to be mounted at `base_url`."""
    edge = Edge(services=services, read_secret=_key, render_error=render_error)
    fixed = open_app(edge, title="ModelRunner", openapi_url=None)
    _add_storage(fixed, services, base_url, policy)
    _add_requests(fixed, services, base_url)
    add_webhooks(fixed, services, dialect=_NAME)
    models = open_app(edge, title="ModelRunner", openapi_url=None)
    _add_models(models, services, base_url, capabilities, references)

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        """The product's hosts share one prefix here, so the first segment decides which of them is meant."""
        below = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        owner = below.partition("/")[0]
        await (fixed if owner in wire.RESERVED_OWNERS else models)(scope, receive, send)

    return RequestScope(app, header=wire.REQUEST_ID_HEADER, edge_error=render_error, log=services.log)


def _add_storage(app: FastAPI, services: Services, base_url: str, policy: UploadPolicy) -> None:
    def begin(account_id: AccountId, body: wire.Initiate, lifecycle: str | None, method: UploadMethod) -> Upload:
        wire.check_size(body.size, limit=policy.limit_of(method))
        declared = NewUpload(
            dialect=_NAME,
            filename=body.file_name,
            content_type=body.content_type,
            size=body.size,
            lifetime=wire.parse_lifecycle(lifecycle),
            method=method,
        )
        return services.uploads.begin_upload(account_id, declared, policy)

    def named(account_id: AccountId, upload_id: str, upload_key: str) -> UploadId:
        found = services.uploads.get(account_id, wire.parse_upload_id(upload_id))
        return wire.require_pair(found, upload_key).id

    @app.post("/storage/upload/initiate")
    @begins_upload
    def initiate(request: Request, body: wire.Initiate, lifecycle: Lifecycle = None) -> Response:
        """Begin a single-part upload: the bytes go to `upload_url`, and are at `file_url` from then on."""
        upload = begin(_file_writer(request), body, lifecycle, UploadMethod.PUT)
        file_url = wire.media_url(upload.media_key, base_url=base_url)
        return _json(wire.InitiateOut(upload_url=services.uploads.signed_put(upload).url, file_url=file_url))

    @app.post("/storage/upload/initiate-multipart")
    @begins_upload
    def initiate_multipart(request: Request, body: wire.Initiate, lifecycle: Lifecycle = None) -> Response:
        """Begin an upload in parts: a URL for each, then `complete`."""
        upload = begin(_file_writer(request), body, lifecycle, UploadMethod.MULTIPART)
        return _json(wire.initiated(upload, base_url=base_url))

    @app.get("/storage/upload/multipart-url")
    def multipart_url(request: Request, upload_key: UploadKey, upload_id: UploadIdText, number: PartNumber) -> Response:
        """Where to PUT one part, as often as it is asked for."""
        account_id = _file_writer(request)
        signed = services.uploads.parts.sign(account_id, named(account_id, upload_id, upload_key), [number])
        return _json(wire.PartUrlOut(presigned_url=signed.urls[number]))

    @app.post("/storage/upload/complete")
    @takes_input
    def complete(request: Request, body: wire.Complete, lifecycle: Lifecycle = None) -> Response:
        """Make one file of the parts; a repeat answers the same. The list of parts may be long."""
        account_id = _file_writer(request)
        lifetime = wire.lifetime_at_completion(lifecycle)
        upload_id = named(account_id, body.upload_id, body.upload_key)
        asset = services.uploads.complete_upload(account_id, upload_id, parts=body.named(), lifetime=lifetime)
        return _json(wire.CompleteOut(file_url=wire.media_url(asset.media_key, base_url=base_url)))

    @app.api_route("/media/{key}", methods=["GET", "HEAD"])
    @public
    def media(request: Request, key: str) -> Response:
        """A file by its canonical URL: 404 before its bytes, then a redirect to a short-lived URL of the store."""
        found = parse_media_key(key)
        if found is None:
            raise AssetNotFound(key)
        location = services.assets.media_location(found, method=request.method)
        return RedirectResponse(location, status_code=307, headers={"Cache-Control": "no-store"})


def _add_requests(app: FastAPI, services: Services, base_url: str) -> None:
    @app.get("/requests/{request_id}")
    def get_request(request: Request, request_id: str) -> Response:
        """The result of a request, without its model's name."""
        run = services.runs.get(_reader(request), wire.parse_request_id(request_id))
        return _result(services, run, base_url)


def _add_models(
    app: FastAPI, services: Services, base_url: str, capabilities: Capabilities, references: ReferenceRules
) -> None:
    def shown(run: Run, status: int, asked: wire.Submission | None = None, *, logs: bool = False) -> Response:
        place = services.runs.place_in_queue(run)
        lines = services.runs.logs(run.account_id, run.id) if logs else ()
        told = wire.status_out(run, base_url=base_url, place=place, lines=lines)
        if asked is not None:  # both are echoed as they were given (MR-32)
            told.webhook, told.webhook_events_filter = asked.webhook, asked.webhook_events_filter
        return _json(told, status, request_id=told.request_id, exclude_none=True)

    def new_run(endpoint: str, body: wire.Submission, output_lifetime: timedelta | None) -> NewRun:
        return NewRun(
            dialect=_NAME,
            model=endpoint,
            inputs=body.model_input(),
            metadata=body.metadata,
            references=references,
            keeps_inputs=capabilities.run_input_keeps_file,
            output_lifetime=output_lifetime,
            callback=parse_callback(body.webhook, body.webhook_events_filter),
        )

    @app.get("/{endpoint:path}/requests/{request_id}")
    def get_result(request: Request, endpoint: str, request_id: str) -> Response:
        """The result of a request."""
        run = services.runs.get(_reader(request), wire.parse_request_id(request_id))
        return _result(services, wire.require_endpoint(run, endpoint), base_url)

    @app.get("/{endpoint:path}/requests/{request_id}/status")
    def get_status(request: Request, endpoint: str, request_id: str, *, logs: bool = False) -> Response:
        """Where a request stands."""
        run = services.runs.get(_reader(request), wire.parse_request_id(request_id))
        return shown(wire.require_endpoint(run, endpoint), wire.status_of(run), logs=logs)

    @app.api_route("/{endpoint:path}/requests/{request_id}/cancel", methods=["GET", "PUT"])
    def cancel(request: Request, endpoint: str, request_id: str) -> Response:
        """Ask for the end of a request; the answer says where it stands, with 200 whatever that is."""
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        run = services.runs.get(who.account_id, wire.parse_request_id(request_id))
        return shown(services.runs.cancel(who.account_id, wire.require_endpoint(run, endpoint).id), 200)

    @app.post("/{endpoint:path}")
    @takes_input
    def submit(
        request: Request, endpoint: str, body: wire.Submission, lifecycle: Lifecycle = None, store_io: StoreIO = None
    ) -> Response:
        """Queue a request to a model; the body is the model's input. Priority and hint headers change nothing here."""
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        wire.check_store_io(store_io)
        asked = new_run(endpoint, body, wire.parse_lifecycle(lifecycle))
        return shown(services.runs.submit(who.account_id, asked), 201, body)


def _result(services: Services, run: Run, base_url: str) -> Response:
    require_finished(run)
    made = tuple(AssetId(asset_id) for asset_id in output_assets(run.output))
    assets = services.assets.many(run.account_id, made) if made else {}
    lines = services.runs.logs(run.account_id, run.id)
    shown = wire.result_out(run, assets=assets, base_url=base_url, lines=lines)
    return _json(shown, wire.result_of(run), request_id=shown.id)


def _json(body: BaseModel, status: int = 200, *, request_id: str | None = None, exclude_none: bool = False) -> Response:
    """`request_id` goes into the header where the JS client looks for the id of its request."""
    content = body.__pydantic_serializer__.to_json(body, by_alias=True, exclude_none=exclude_none)
    headers = {wire.REQUEST_ID_HEADER: request_id} if request_id is not None else None
    return Response(content, status_code=status, media_type="application/json", headers=headers)


def _key(request: Request) -> str | None:
    """`Authorization: Key <key>`; a key may hold a colon (`<id>:<secret>`), nothing but Key will do (MR-23)."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "key" else None


def _file_writer(request: Request) -> AccountId:
    who = principal(request)
    who.require(Scope.FILES_WRITE)
    return who.account_id


def _reader(request: Request) -> AccountId:
    who = principal(request)
    who.require(Scope.RUNS_READ)
    return who.account_id
