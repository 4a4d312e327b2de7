"""Routes of imports: uploads that the server fetches."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.http import begins_upload, principal
from penstock.dialects.native.routes.common import IdempotencyKey, folder_id_of, json_answer
from penstock.dialects.native.wire import imports, uploads
from penstock.dialects.native.wire.lifetimes import chosen
from penstock.domain.accounts import Scope
from penstock.domain.idempotency import idempotent_request
from penstock.domain.uploads import UploadPolicy
from penstock.services.imports import NewImport


def add_imports(app: FastAPI, services: Services, policy: UploadPolicy) -> None:
    @app.post("/imports", status_code=201, response_model=uploads.UploadOut, tags=["uploads"])
    @begins_upload
    def create_import(request: Request, body: imports.CreateImport, idempotency_key: IdempotencyKey = None) -> Response:
        """Have a file fetched from a URL. The upload answered here becomes an asset by itself; its events tell how."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        wanted = NewImport(
            dialect="native",
            source_url=body.source_url,
            filename=body.filename,
            content_type=body.content_type,
            sha256=body.sha256.lower() if body.sha256 else None,
            folder_id=folder_id_of(body.folder_id) if body.folder_id is not None else None,
            tags=tuple(body.tags),
            lifetime=chosen(body, "expires_in", default=services.lifetimes.classes.uploads),
        )
        same = idempotent_request(idempotency_key, body.model_dump())
        upload = services.imports.begin_import(who.account_id, wanted, policy, idempotency=same)
        return json_answer(uploads.upload_out(upload), 201)
