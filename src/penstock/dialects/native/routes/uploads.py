"""Routes of uploads."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response, StreamingResponse

from penstock.dialects.base import Services
from penstock.dialects.base.access import file_reader
from penstock.dialects.base.http import begins_upload, principal
from penstock.dialects.native.routes.common import (
    EVENT_STREAM,
    After,
    Cursor,
    IdempotencyKey,
    Limit,
    event_stream,
    folder_id_of,
    json_answer,
    upload_id_of,
)
from penstock.dialects.native.wire import uploads
from penstock.dialects.native.wire.common import timestamp
from penstock.dialects.native.wire.lifetimes import chosen
from penstock.domain.accounts import Scope
from penstock.domain.events import UPLOAD_FINALS
from penstock.domain.idempotency import idempotent_request
from penstock.domain.ids import AccountId
from penstock.domain.uploads import Upload, UploadMethod, UploadPolicy, UploadState, is_over
from penstock.services.uploads import NewUpload

AfterPart = Annotated[int, Query(ge=0, le=10_000, description="Number of the last part that is known already.")]
PartLimit = Annotated[int, Query(ge=1, le=1000, description="Parts per page.")]


def add_uploads(app: FastAPI, services: Services, policy: UploadPolicy) -> None:
    def shown(upload: Upload) -> uploads.UploadOut:
        if upload.state is not UploadState.PENDING:
            return uploads.upload_out(upload)
        if upload.method is UploadMethod.FORM:
            form = services.uploads.signed_form(upload)
            return uploads.upload_out(upload, form=uploads.FormOut(url=form.url, fields=form.fields))
        if upload.method is not UploadMethod.PUT:
            return uploads.upload_out(upload)
        put = services.uploads.signed_put(upload)
        return uploads.upload_out(upload, url=put.url, headers=put.headers)

    @app.post("/uploads", status_code=201, response_model=uploads.UploadOut, tags=["uploads"])
    @begins_upload
    def create_upload(request: Request, body: uploads.CreateUpload, idempotency_key: IdempotencyKey = None) -> Response:
        """Begin an upload. By default: PUT the bytes to `upload_url` with `headers`, then complete it.

        With the method `form`, POST `form` and the file. With `multipart`, ask for URLs of parts and PUT each.
        """
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        declared = NewUpload(
            dialect="native",
            filename=body.filename,
            content_type=body.content_type,
            size=body.size_bytes,
            sha256=body.sha256.lower() if body.sha256 else None,
            lifetime=chosen(body, "expires_in", default=services.lifetimes.classes.uploads),
            method=UploadMethod(body.method),
            part_size=body.part_size,
            folder_id=folder_id_of(body.folder_id) if body.folder_id is not None else None,
            tags=tuple(body.tags),
        )
        same = idempotent_request(idempotency_key, body.model_dump())
        return json_answer(
            shown(services.uploads.begin_upload(who.account_id, declared, policy, idempotency=same)), 201
        )

    @app.get("/uploads", response_model=uploads.UploadPage, tags=["uploads"])
    def list_uploads(request: Request, limit: Limit = 20, cursor: Cursor = None) -> Response:
        """Uploads, newest first."""
        page = services.uploads.page(file_reader(request), cursor=cursor, limit=limit)
        return json_answer(
            uploads.UploadPage(data=[uploads.upload_out(item) for item in page.items], next_cursor=page.next_cursor)
        )

    @app.get("/uploads/{upload_id}", response_model=uploads.UploadOut, tags=["uploads"])
    def get_upload(request: Request, upload_id: str) -> Response:
        """One upload."""
        return json_answer(shown(services.uploads.get(file_reader(request), upload_id_of(upload_id))))

    @app.delete("/uploads/{upload_id}", response_model=uploads.UploadOut, tags=["uploads"])
    def abort_upload(request: Request, upload_id: str) -> Response:
        """Give up an upload that was not completed."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        return json_answer(uploads.upload_out(services.uploads.abort_upload(who.account_id, upload_id_of(upload_id))))

    @app.get("/uploads/{upload_id}/events", tags=["uploads"], response_class=StreamingResponse, responses=EVENT_STREAM)
    async def upload_events(request: Request, upload_id: str, after: After = 0) -> Response:
        """The upload's events as server-sent events, from its first or after `Last-Event-ID`."""
        found = upload_id_of(upload_id)
        look = partial(services.uploads.get, file_reader(request), found)
        return await event_stream(services, request, found, after, UPLOAD_FINALS, lambda: is_over(look()))


def add_parts(app: FastAPI, services: Services) -> None:
    @app.post("/uploads/{upload_id}/parts", response_model=uploads.PartUrlsOut, tags=["uploads"])
    def sign_parts(request: Request, upload_id: str, body: uploads.SignParts) -> Response:
        """URLs for parts of a `multipart` upload; PUT each part's bytes to its own."""
        signed = services.uploads.parts.sign(_file_writer(request), upload_id_of(upload_id), body.part_numbers)
        data = [uploads.PartUrlOut(part_number=number, url=url) for number, url in signed.urls.items()]
        return json_answer(uploads.PartUrlsOut(data=data, expires_at=timestamp(signed.expires_at)))

    @app.get("/uploads/{upload_id}/parts", response_model=uploads.PartPage, tags=["uploads"])
    def list_parts(request: Request, upload_id: str, after: AfterPart = 0, limit: PartLimit = 1000) -> Response:
        """The parts that have arrived: what whoever goes on with an upload need not send again."""
        found, more = services.uploads.parts.arrived(
            file_reader(request), upload_id_of(upload_id), after=after, limit=limit
        )
        data = [uploads.PartOut(part_number=part.number, size_bytes=part.size, etag=part.etag) for part in found]
        return json_answer(uploads.PartPage(data=data, next_after=found[-1].number if more else None))


def _file_writer(request: Request) -> AccountId:
    who = principal(request)
    who.require(Scope.FILES_WRITE)
    return who.account_id
