"""Routes of uploads, and of files by their canonical URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from penstock.dialects.base.access import file_writer
from penstock.dialects.base.http import begins_upload, public, takes_input
from penstock.dialects.base.media import media_redirect
from penstock.dialects.modelrunner.routes.common import NAME, Lifecycle, json_answer
from penstock.dialects.modelrunner.wire import common, uploads
from penstock.domain.parts import MOST_PARTS
from penstock.domain.uploads import UploadMethod
from penstock.services.uploads import NewUpload

if TYPE_CHECKING:
    from penstock.dialects.base import Services
    from penstock.domain.ids import AccountId, UploadId
    from penstock.domain.uploads import Upload, UploadPolicy

UploadKey = Annotated[str, Query(alias="uploadKey", min_length=1)]
UploadIdText = Annotated[str, Query(alias="uploadId", min_length=1)]
PartNumber = Annotated[int, Query(alias="partNumber", ge=1, le=MOST_PARTS)]


def add_storage(app: FastAPI, services: Services, base_url: str, policy: UploadPolicy) -> None:
    def begin(account_id: AccountId, body: uploads.Initiate, lifecycle: str | None, method: UploadMethod) -> Upload:
        uploads.check_size(body.size, limit=policy.limit_of(method))
        declared = NewUpload(
            dialect=NAME,
            filename=body.file_name,
            content_type=body.content_type,
            size=body.size,
            lifetime=common.parse_lifecycle(lifecycle),
            method=method,
        )
        return services.uploads.begin_upload(account_id, declared, policy)

    def named(account_id: AccountId, upload_id: str, upload_key: str) -> UploadId:
        found = services.uploads.get(account_id, uploads.parse_upload_id(upload_id))
        return uploads.require_pair(found, upload_key).id

    @app.post("/storage/upload/initiate")
    @begins_upload
    def initiate(request: Request, body: uploads.Initiate, lifecycle: Lifecycle = None) -> Response:
        """Begin a single-part upload: the bytes go to `upload_url`, and are at `file_url` from then on."""
        upload = begin(file_writer(request), body, lifecycle, UploadMethod.PUT)
        file_url = common.media_url(upload.media_key, base_url=base_url)
        return json_answer(uploads.InitiateOut(upload_url=services.uploads.signed_put(upload).url, file_url=file_url))

    @app.post("/storage/upload/initiate-multipart")
    @begins_upload
    def initiate_multipart(request: Request, body: uploads.Initiate, lifecycle: Lifecycle = None) -> Response:
        """Begin an upload in parts: a URL for each, then `complete`."""
        upload = begin(file_writer(request), body, lifecycle, UploadMethod.MULTIPART)
        return json_answer(uploads.initiated(upload, base_url=base_url))

    @app.get("/storage/upload/multipart-url")
    def multipart_url(request: Request, upload_key: UploadKey, upload_id: UploadIdText, number: PartNumber) -> Response:
        """Where to PUT one part, as often as it is asked for."""
        account_id = file_writer(request)
        signed = services.uploads.parts.sign(account_id, named(account_id, upload_id, upload_key), [number])
        return json_answer(uploads.PartUrlOut(presigned_url=signed.urls[number]))

    @app.post("/storage/upload/complete")
    @takes_input
    def complete(request: Request, body: uploads.Complete, lifecycle: Lifecycle = None) -> Response:
        """Make one file of the parts; a repeat answers the same. The list of parts may be long."""
        account_id = file_writer(request)
        lifetime = uploads.lifetime_at_completion(lifecycle)
        upload_id = named(account_id, body.upload_id, body.upload_key)
        asset = services.uploads.complete_upload(account_id, upload_id, parts=body.named(), lifetime=lifetime)
        return json_answer(uploads.CompleteOut(file_url=common.media_url(asset.media_key, base_url=base_url)))

    @app.api_route("/media/{key}", methods=["GET", "HEAD"])
    @public
    def media(request: Request, key: str) -> Response:
        """A file by its canonical URL: 404 before its bytes, then a redirect to a short-lived URL of the store."""
        return media_redirect(services, request, key)
