"""Runway routes: parse, call one service verb, render."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse, Response

from penstock.dialects.base.http import Edge, RequestScope, begins_upload, open_app, principal, takes_input
from penstock.dialects.runway import bodies, sounds, wire
from penstock.dialects.runway.errors import render_error
from penstock.domain import errors as e
from penstock.domain.accounts import Scope
from penstock.domain.ids import AssetId
from penstock.domain.runs import output_assets
from penstock.domain.uploads import UploadMethod
from penstock.services.runs import NewRun
from penstock.services.uploads import NewUpload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from penstock.dialects.base import Services
    from penstock.dialects.runway.bodies import FileMember
    from penstock.domain.assets import Asset
    from penstock.domain.foreign import ReferenceRules
    from penstock.domain.ids import AccountId
    from penstock.domain.runs import Run
    from penstock.domain.uploads import UploadPolicy

    Create = Callable[[Request, bodies.Generation], Response]

_NAME = "runway"
_MAX_LARGE_BODY = 18 * 2**20
"""Bytes: a data URI of a film or a sound has up to 16 MiB (RW-64), and others may stand beside it."""


def build(services: Services, _base_url: str, *, policy: UploadPolicy, references: ReferenceRules) -> ASGIApp:
    """Runway's API as an ASGI app to be mounted at its base URL."""
    edge = Edge(services=services, read_secret=_key, render_error=render_error, max_large_body=_MAX_LARGE_BODY)
    app = open_app(edge, title="Runway", openapi_url=None, dependencies=[Depends(_version)])
    _add_uploads(app, services, policy)
    create = _creating(services, references)
    _add_generations(app, create)
    _add_sounds(app, create)
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
        services.accounts.require_money_ever(who.account_id)  # RW-10
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


def _creating(services: Services, references: ReferenceRules) -> Create:
    """What every endpoint does with a body of its own."""

    def create(request: Request, body: bodies.Generation) -> Response:
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        files = tuple(body.files())
        wire.check_media(files)
        asked = NewRun(
            dialect=_NAME,
            model=body.model,
            inputs=body.model_input(),
            kinds={file.name: file.kinds for file in files},
            references=references,
        )
        return JSONResponse(wire.created_out(_submit(services, who.account_id, asked, files)))

    return create


def _add_generations(app: FastAPI, create: Create) -> None:
    @app.post("/v1/image_to_video")
    @takes_input
    def image_to_video(request: Request, body: bodies.ImageToVideo) -> Response:
        """A film that begins with a picture."""
        return create(request, body)

    @app.post("/v1/text_to_video")
    @takes_input
    def text_to_video(request: Request, body: bodies.TextToVideo) -> Response:
        """A film from words."""
        return create(request, body)

    @app.post("/v1/video_to_video")
    @takes_input
    def video_to_video(request: Request, body: bodies.VideoToVideo) -> Response:
        """Another film from a film."""
        return create(request, body)

    @app.post("/v1/text_to_image")
    @takes_input
    def text_to_image(request: Request, body: bodies.TextToImage) -> Response:
        """A picture from words, and from pictures that they speak of."""
        return create(request, body)

    @app.post("/v1/image_upscale")
    @takes_input
    def image_upscale(request: Request, body: bodies.ImageUpscale) -> Response:
        """A larger picture."""
        return create(request, body)

    @app.post("/v1/video_upscale")
    @takes_input
    def video_upscale(request: Request, body: bodies.VideoUpscale) -> Response:
        """A larger film."""
        return create(request, body)

    @app.post("/v1/character_performance")
    @takes_input
    def character_performance(request: Request, body: bodies.CharacterPerformance) -> Response:
        """A film of a character who does what somebody else does."""
        return create(request, body)


def _add_sounds(app: FastAPI, create: Create) -> None:
    @app.post("/v1/text_to_speech")
    @takes_input
    def text_to_speech(request: Request, body: sounds.TextToSpeech) -> Response:
        """Words, spoken."""
        return create(request, body)

    @app.post("/v1/sound_effect")
    @takes_input
    def sound_effect(request: Request, body: sounds.SoundEffect) -> Response:
        """A sound from words."""
        return create(request, body)

    @app.post("/v1/speech_to_speech")
    @takes_input
    def speech_to_speech(request: Request, body: sounds.SpeechToSpeech) -> Response:
        """The same words in another voice."""
        return create(request, body)

    @app.post("/v1/voice_isolation")
    @takes_input
    def voice_isolation(request: Request, body: sounds.VoiceIsolation) -> Response:
        """A voice without what is around it."""
        return create(request, body)

    @app.post("/v1/voice_dubbing")
    @takes_input
    def voice_dubbing(request: Request, body: sounds.VoiceDubbing) -> Response:
        """The same in another language."""
        return create(request, body)


def _add_tasks(app: FastAPI, services: Services) -> None:
    @app.get("/v1/tasks/{task_id}")
    def get_task(request: Request, task_id: str) -> Response:
        """Where a task stands."""
        who = principal(request)
        who.require(Scope.RUNS_READ)
        run = _task(services, who.account_id, task_id)
        files = _files(services, run)
        output = [services.assets.signed_get(file, life=wire.OUTPUT_URL_LIFETIME) for file in files]
        throttled = services.runs.waits_for_place(run)
        return JSONResponse(wire.task_out(run, output=output, throttled=throttled))

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
        """The account's credits, and how much it has used in the last 24 hours."""
        who = principal(request)
        who.require(Scope.ACCOUNT_READ)
        _, balance = services.accounts.account(who.account_id)
        daily = services.runs.counted(who.account_id, within=wire.DAY)
        return JSONResponse(wire.organization_out(balance, models=services.catalog.models, daily=daily))

    @app.post("/v1/organization/usage")
    def get_usage(request: Request, body: wire.UsageQuery | None = None) -> Response:
        """What was spent, by day and model."""
        who = principal(request)
        who.require(Scope.ACCOUNT_READ)
        since, before = (body or wire.UsageQuery()).span(services.accounts.today())
        spent = services.accounts.spent(who.account_id, since=since, before=before)
        return JSONResponse(wire.usage_out(spent))


def _submit(services: Services, account_id: AccountId, asked: NewRun, files: Sequence[FileMember]) -> Run:
    """Queue a run; what is wrong with one of its files is told as an issue at the member that named it."""
    try:
        return services.runs.submit(account_id, asked)
    except e.ModelNotFound:
        raise e.InvalidField(("model",), "is no model of this server", rule="invalid_enum_value") from None
    except e.PenstockError as error:
        raise wire.refused_file(error, files) from None


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


async def _version(x_runway_version: Annotated[str | None, Header()] = None) -> None:
    """In the event loop: a thread for so little costs a tenth of a look at a task."""
    wire.check_version(x_runway_version)


def _key(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None
