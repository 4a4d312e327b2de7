"""Routes of assets and of their bytes."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import RedirectResponse, Response

from penstock.dialects.base import Services
from penstock.dialects.base.access import file_reader
from penstock.dialects.base.http import principal, public
from penstock.dialects.base.media import media_redirect
from penstock.dialects.native.routes.common import asset_id_of, json_answer, upload_id_of
from penstock.dialects.native.wire import assets, uploads
from penstock.domain.accounts import Scope

Permanent = Annotated[bool, Query(description="Whether the asset shall go at once, past the trash.")]


def add_assets(app: FastAPI, services: Services, base_url: str) -> None:
    @app.post("/uploads/{upload_id}/complete", response_model=assets.AssetOut, tags=["uploads"])
    def complete_upload(request: Request, upload_id: str, body: uploads.CompleteUpload | None = None) -> Response:
        """Admit the bytes: the answer is the asset, the same one however often this is called.

        A body is of use for the method `multipart` alone.
        """
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        return json_answer(
            assets.asset_out(
                services.uploads.complete_upload(
                    who.account_id, upload_id_of(upload_id), parts=uploads.named_parts(body)
                ),
                base_url=base_url,
            )
        )

    @app.get("/assets/{asset_id}", response_model=assets.AssetOut, tags=["assets"])
    def get_asset(request: Request, asset_id: str) -> Response:
        """One asset; 410 with what is remembered of it when it has expired or was deleted."""
        return json_answer(
            assets.asset_out(services.assets.show(file_reader(request), asset_id_of(asset_id)), base_url=base_url)
        )

    @app.delete("/assets/{asset_id}", status_code=204, tags=["assets"])
    def delete_asset(request: Request, asset_id: str, *, permanent: Permanent = False) -> Response:
        """Move an asset to the trash; a run that uses it keeps it to its end."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        services.assets.delete(who.account_id, asset_id_of(asset_id), permanent=permanent)
        return Response(status_code=204)

    @app.head("/media/{key}", include_in_schema=False)
    @app.get(
        "/media/{key}",
        status_code=307,
        response_class=RedirectResponse,
        tags=["assets"],
        openapi_extra={"security": []},
    )
    @public
    def media(request: Request, key: str) -> Response:
        """The bytes of an asset, by its public URL: a redirect to a short-lived URL of the object store."""
        return media_redirect(services, request, key)
