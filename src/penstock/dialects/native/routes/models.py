"""Routes of models: those of the catalog, and registered ones with their sources and uploads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from penstock.dialects.base import Services
from penstock.dialects.base.access import file_reader, model_reader, model_writer, run_reader
from penstock.dialects.base.bodies import MAX_LARGE_BODY
from penstock.dialects.base.http import begins_upload, takes_input
from penstock.dialects.native.routes.common import (
    EVENT_STREAM,
    After,
    Cursor,
    Limit,
    asset_id_of,
    event_stream,
    json_answer,
    model_upload_id_of,
)
from penstock.dialects.native.wire import models, runs
from penstock.domain.air import parse_reference
from penstock.domain.errors import BodyTooLarge, InvalidField, InvalidFields
from penstock.domain.events import MODEL_FINALS
from penstock.domain.ids import AccountId
from penstock.domain.model_cards import CHECKS
from penstock.domain.model_uploads import is_over
from penstock.domain.models import ModelQuery, Visibility
from penstock.domain.weights import Category, Declaration
from penstock.services.model_uploads import NewModelUpload
from penstock.services.models import Part

_DIALECT = "native"
_MAX_WAIT_SECONDS = 60
_BINARY = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}}

Text = Annotated[str | None, Query(description="Words of name, AIR, tags or description; the last one as a beginning.")]
TagFilter = Annotated[list[str] | None, Query(description="All of them must be there.")]
CategoryFilter = Annotated[models.CategoryName | None, Query(description="Only models of that category.")]
ArchitectureFilter = Annotated[str | None, Query(description="Only models of that architecture.")]
SourceFilter = Annotated[str | None, Query(description="Only models of that source.")]
VisibilityFilter = Annotated[
    Literal["all", "public", "private", "owned"], Query(description="`private`: one's own private ones.")
]
DeclaredCategory = Annotated[models.CategoryName | None, Query(description="What the file is said to be.")]
Declared = Annotated[str | None, Query(description="As in a registration.")]
Size = Annotated[int | None, Query(ge=0, le=2**63 - 1, description="Bytes of the whole file, where they are known.")]


def add_models(app: FastAPI, services: Services) -> None:
    _add_sources(app, services)
    _add_uploads(app, services)
    _add_registered(app, services)
    _add_reuse(app, services)
    _add_catalog(app, services)


def _add_sources(app: FastAPI, services: Services) -> None:
    @app.post("/model-sources", status_code=201, response_model=models.SourceOut, tags=["models"])
    def create_model_source(request: Request, body: models.CreateSource) -> Response:
        """Make a source the account's own, for good; a repeat is the same."""
        return json_answer(models.source_out(services.model_sources.create(model_writer(request), body.name)), 201)

    @app.get("/model-sources", response_model=models.SourcePage, tags=["models"])
    def list_model_sources(request: Request) -> Response:
        """All sources of the account."""
        found = services.model_sources.of(model_reader(request))
        return json_answer(models.SourcePage(data=[models.source_out(source) for source in found]))


def _add_uploads(app: FastAPI, services: Services) -> None:
    @app.post("/models", status_code=202, response_model=models.ModelUploadOut, tags=["models"])
    @takes_input
    @begins_upload
    def register_model(request: Request, body: models.RegisterModel) -> Response:
        """Register a model, or change one that is there. Follow it with `GET /model-uploads/{id}?wait=…`.

        An `asset_id` needs a key with the scope `files:read`, too.
        """
        account_id = model_writer(request)
        if body.asset_id is not None:
            file_reader(request)
        with _our_words():
            upload = services.model_uploads.begin(account_id, _wanted(services, account_id, body), dialect=_DIALECT)
        return json_answer(models.upload_out(upload), 202)

    @app.get("/model-uploads", response_model=models.ModelUploadPage, tags=["models"])
    def list_model_uploads(request: Request, limit: Limit = 20, cursor: Cursor = None) -> Response:
        """Model uploads, newest first; they are kept for some time after their end."""
        page = services.model_uploads.page(model_reader(request), cursor=cursor, limit=limit)
        shown = [models.upload_out(upload) for upload in page.items]
        return json_answer(models.ModelUploadPage(data=shown, next_cursor=page.next_cursor))

    @app.get("/model-uploads/{model_upload_id}", response_model=models.ModelUploadOut, tags=["models"])
    async def get_model_upload(
        request: Request,
        model_upload_id: str,
        wait: Annotated[float, Query(ge=0, le=_MAX_WAIT_SECONDS, description="Seconds to wait for its end.")] = 0,
    ) -> Response:
        """One model upload; with `wait`, as soon as it has ended or the time is over."""
        account_id, found = model_reader(request), model_upload_id_of(model_upload_id)
        look = partial(services.model_uploads.get, account_id, found)
        return json_answer(
            models.upload_out(await services.streams.until(account_id, found, look, is_over, seconds=wait))
        )

    @app.get(
        "/model-uploads/{model_upload_id}/events",
        tags=["models"],
        response_class=StreamingResponse,
        responses=EVENT_STREAM,
    )
    async def model_upload_events(request: Request, model_upload_id: str, after: After = 0) -> Response:
        """The upload's events (its phases and how far they are) as server-sent events."""
        found = model_upload_id_of(model_upload_id)
        look = partial(services.model_uploads.get, model_reader(request), found)
        return await event_stream(services, request, found, after, MODEL_FINALS, lambda: is_over(look()))

    @app.post("/models/examinations", response_model=models.ExaminationOut, tags=["models"], openapi_extra=_BINARY)
    async def examine_model_file(
        request: Request,
        size_bytes: Size = None,
        category: DeclaredCategory = None,
        architecture: Declared = None,
        type: Declared = None,  # noqa: A002 - the field's name
        conditioning: Declared = None,
    ) -> Response:
        """Say what a safetensors file is, from its first bytes: 8, and the header whose length they tell.

        With a `category`, say also whether it is what the parameters declare. Nothing is kept.
        """
        account_id = model_reader(request)
        declared = _declared(category, architecture, type, conditioning)
        async with services.large_bodies.place(account_id):
            head = await _head(request)
            found = await run_in_threadpool(services.examinations.look, head, size=size_bytes, declared=declared)
        return json_answer(models.examination_out(found))


def _add_registered(app: FastAPI, services: Services) -> None:
    @app.get("/models/registered", response_model=models.RegisteredModelPage, tags=["models"])
    def list_registered_models(  # noqa: PLR0913 - what can be asked for
        request: Request,
        *,
        q: Text = None,
        tag: TagFilter = None,
        category: CategoryFilter = None,
        architecture: ArchitectureFilter = None,
        source: SourceFilter = None,
        visibility: VisibilityFilter = "all",
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Response:
        """The account's own models and public ones, newest first."""
        viewer = model_reader(request)
        query = ModelQuery(
            text=q,
            tags=tuple(tag or ()),
            categories=(Category(category),) if category is not None else (),
            architectures=(architecture,) if architecture is not None else (),
            sources=(source.lower(),) if source is not None else (),
            visibility=Visibility(visibility),
        )
        with _our_words():
            total, page = services.models.page(viewer, query, cursor=cursor, limit=limit)
        shown = [models.registered_out(model, viewer=viewer) for model in page.items]
        return json_answer(models.RegisteredModelPage(data=shown, total=total, next_cursor=page.next_cursor))

    @app.patch("/models/{air}", response_model=models.FullModelOut, tags=["models"])
    @takes_input
    def change_model(request: Request, air: str, body: models.ChangeModel) -> Response:
        """Change what is said of a registered model, at once."""
        account_id = model_writer(request)
        return json_answer(models.full_out(services.models.update(account_id, air, body.said()), viewer=account_id))

    @app.delete("/models/{air}", status_code=204, tags=["models"])
    def delete_model(request: Request, air: str) -> Response:
        """Remove a registered model. Its file goes when no other model and no run needs it."""
        services.models.remove(model_writer(request), air)
        return Response(status_code=204)

    @app.head("/models/{air}/files/{part}", include_in_schema=False)
    @app.get("/models/{air}/files/{part}", status_code=307, response_class=RedirectResponse, tags=["models"])
    def read_model_file(request: Request, air: str, part: Literal["original", "optimized", "manifest"]) -> Response:
        """A model's weights as they came or as they are served, or its manifest: a redirect to a short-lived URL.

        Ranges work there. A public model's are for every key.
        """
        location = services.models.location(model_reader(request), air, Part(part), method=request.method)
        return RedirectResponse(location, status_code=307, headers={"Cache-Control": "no-store"})


def _add_reuse(app: FastAPI, services: Services) -> None:
    @app.get("/models/{air}/reuse/{other_air}", response_model=models.ReuseOut, tags=["models"])
    def compare_models(request: Request, air: str, other_air: str) -> Response:
        """How many tensors of a model another has, too: of its last version, say, or of what it was made from."""
        return json_answer(models.reuse_out(services.models.reuse(model_reader(request), air, other_air)))


def _add_catalog(app: FastAPI, services: Services) -> None:
    @app.get("/models", response_model=runs.ModelPage, tags=["models"])
    def list_models(request: Request) -> Response:
        """Every model of the catalog. Registered ones are listed at `/models/registered`."""
        run_reader(request)
        return json_answer(runs.ModelPage(data=[runs.model_out(model) for model in services.catalog.models]))

    @app.get("/models/{slug:path}", response_model=runs.ModelOut | models.FullModelOut, tags=["models"])
    def get_model(request: Request, slug: str) -> Response:
        """One model: of the catalog by slug or alias, a registered one by its AIR."""
        reference = parse_reference(slug)
        if services.catalog.get(slug) is None and reference is not None and reference.air is not None:
            viewer = model_reader(request)
            return json_answer(models.full_out(services.models.show(viewer, slug), viewer=viewer))
        run_reader(request)
        return json_answer(runs.model_out(services.catalog.find(slug)))


def _wanted(services: Services, account_id: AccountId, body: models.RegisterModel) -> NewModelUpload:
    given = body.said()
    asset_id = asset_id_of(body.asset_id) if body.asset_id is not None else None
    if asset_id is not None:
        asset = services.assets.first_use(account_id, asset_id)
        if given.get("unique_identifier") is None:
            # Until its intake has measured a large file, only its id stands for what it holds.
            given["unique_identifier"] = asset.sha256 or asset.id
    elif body.url is not None and given.get("unique_identifier") is None:
        raise InvalidField(
            ("unique_identifier",), "is required with a url: it tells whether the file is new", rule="missing"
        )
    return NewModelUpload(air=body.air, given=given, source_url=body.url, asset_id=asset_id)


@contextmanager
def _our_words() -> Iterator[None]:
    """Wrong fields under the names that this API has for them."""
    try:
        yield
    except InvalidField as error:
        raise _renamed(error) from error
    except InvalidFields as error:
        raise InvalidFields(tuple(_renamed(field) for field in error.fields)) from error


def _renamed(error: InvalidField) -> InvalidField:
    path = tuple(models.FIELDS.get(str(part), part) for part in error.path)
    return InvalidField(path, error.reason, rule=error.rule, facts=error.facts)


def _declared(
    category: str | None, architecture: str | None, kind: str | None, conditioning: str | None
) -> Declaration | None:
    words = {"architecture": architecture, "type": kind, "conditioning": conditioning}
    for name, value in words.items():
        if value is not None:
            CHECKS[name]((name,), value)
    if category is None:
        return None
    return Declaration(category=Category(category), architecture=architecture, type=kind, conditioning=conditioning)


async def _head(request: Request) -> bytes:
    """The body. Raises `BodyTooLarge`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_LARGE_BODY:
            raise BodyTooLarge(limit=MAX_LARGE_BODY)
    return bytes(body)
