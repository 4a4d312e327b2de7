"""Runway routes: parse, call one service verb, render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse, Response

from penstock.dialects.base.http import Edge, RequestScope, begins_upload, open_app, principal, takes_input
from penstock.dialects.runway import wire
from penstock.dialects.runway.errors import render_error
from penstock.domain import errors as e
from penstock.domain.accounts import Scope
from penstock.domain.ids import AssetId
from penstock.domain.ledger import ZERO
from penstock.domain.references import is_data_uri
from penstock.domain.runs import output_assets
from penstock.domain.uploads import UploadMethod
from penstock.services.runs import NewRun
from penstock.services.uploads import NewUpload

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from penstock.dialects.base import Services
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from penstock.domain.runs import Run
    from penstock.domain.uploads import UploadPolicy

_NAME = "runway"
_UNKNOWN = (e.AssetNotFound, e.AssetGone, e.UploadNotFound, e.FileNotStored, e.UploadNotCompletable)
_UNFIT = (e.FileTooLarge, e.FileTooSmall, e.FileTypeMismatch, e.FileTypeRefused)


def build(services: Services, _base_url: str, *, policy: UploadPolicy) -> ASGIApp:
    """Runway's API as an ASGI app to be mounted at its base URL."""
    edge = Edge(services=services, read_secret=_key, render_error=render_error)
    app = open_app(edge, title="Runway", openapi_url=None, dependencies=[Depends(_version)])
    _add_uploads(app, services, policy)
    _add_tasks(app, services)
    _add_organization(app, services)
    return RequestScope(app, header="x-request-id", edge_error=render_error, log=services.log)


def _add_uploads(app: FastAPI, services: Services, policy: UploadPolicy) -> None:
    @app.post("/v1/uploads")
    @begins_upload
    def create_upload(request: Request, body: wire.NewSlot) -> Response:
        """A slot: the form that brings the bytes, and the URI that stands for them."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        if not services.accounts.ledger_page(who.account_id, below=None, limit=1).items:  # never bought any (RW-10)
            raise e.InsufficientCredits(needed=ZERO, balance=ZERO)
        declared = NewUpload(
            dialect=_NAME,
            filename=body.filename,
            content_type=body.content_type,
            size=None,
            lifetime=wire.REFERENCE_LIFETIME,
            method=UploadMethod.FORM,
        )
        upload = services.uploads.begin_upload(who.account_id, declared, policy)
        form = services.uploads.signed_form(upload, free=policy.free_form_fields)
        uri = wire.format_reference(upload.id)
        return JSONResponse({"uploadUrl": form.url, "fields": form.fields, "runwayUri": uri})


def _add_tasks(app: FastAPI, services: Services) -> None:
    @app.post("/v1/image_to_video")
    @takes_input
    def image_to_video(request: Request, body: wire.ImageToVideo) -> Response:
        """Queue a task."""
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        path, text = body.image
        _check_reference(services, text, path=path, medium="image")
        asked = NewRun(
            dialect=_NAME, model=body.model, inputs=body.model_input(), output_lifetime=wire.REFERENCE_LIFETIME
        )
        return JSONResponse(wire.created_out(_submit(services, who.account_id, asked, path)))

    @app.get("/v1/tasks/{task_id}")
    def get_task(request: Request, task_id: str) -> Response:
        """Where a task stands."""
        who = principal(request)
        who.require(Scope.RUNS_READ)
        run = _task(services, who.account_id, task_id)
        files = _files(services, run)
        return JSONResponse(wire.task_out(run, output=[services.assets.signed_get(file) for file in files]))

    @app.delete("/v1/tasks/{task_id}")
    def delete_task(request: Request, task_id: str) -> Response:
        """Cancel a task that has not ended, or delete one that has, with its output."""
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        services.runs.delete(who.account_id, _task(services, who.account_id, task_id).id)
        return Response(status_code=204)


def _add_organization(app: FastAPI, services: Services) -> None:
    @app.get("/v1/organization")
    def get_organization(request: Request) -> Response:
        """The account's credits. No tier limits are kept here, so none are listed (inferred)."""
        _, balance = services.accounts.account(principal(request).account_id)
        return JSONResponse(
            {
                "creditBalance": max(0, int(balance * 100)),
                "tier": {"maxMonthlyCreditSpend": 0, "models": {}},
                "usage": {"models": {}},
            }
        )


def _submit(services: Services, account_id: AccountId, asked: NewRun, path: tuple[str | int, ...]) -> Run:
    """Queue a run; what is wrong with its file is told as an issue at the field that named it (RW-24 to RW-27)."""
    try:
        return services.runs.submit(account_id, asked)
    except e.ModelNotFound:
        raise e.InvalidField(("model",), "is no model of this endpoint", rule="invalid_enum_value") from None
    except e.ReferenceInvalid as error:
        raise e.ReferenceInvalid(path, error.reason) from None
    except _UNKNOWN:
        raise e.ReferenceInvalid(path, wire.UNKNOWN_REFERENCE) from None
    except _UNFIT as error:
        raise e.ReferenceInvalid(path, f"Unsupported asset type. {error.message}") from None


def _check_reference(services: Services, text: str, *, path: tuple[str | int, ...], medium: str) -> None:
    """Hold what is not of this server against the rules for data URIs and URLs. Raises `ReferenceInvalid`."""
    if is_data_uri(text):
        wire.check_data_uri(text, path=path, medium=medium)
    elif not services.runs.is_ours(text):
        wire.check_url(text, path=path)


def _task(services: Services, account_id: AccountId, task_id: str) -> Run:
    """The run of a task; one that was cancelled or deleted here is not found. Raises `RunNotFound`."""
    run = services.runs.get(account_id, wire.parse_task_id(task_id))
    if run.dialect != _NAME:
        raise e.RunNotFound(task_id)
    return run


def _files(services: Services, run: Run) -> list[Asset]:
    """The files that a run made and that can still be read, in order."""
    made = tuple(AssetId(asset_id) for asset_id in output_assets(run.output))
    found = services.assets.many(run.account_id, made) if made else {}
    return [found[asset_id] for asset_id in made if asset_id in found]


def _version(x_runway_version: Annotated[str | None, Header()] = None) -> None:
    wire.check_version(x_runway_version)


def _key(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None
