"""Routes of uploads and assets."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.access import file_reader, file_writer
from penstock.dialects.base.http import begins_upload, public
from penstock.dialects.runflow.routes.common import DIALECT, json_answer
from penstock.dialects.runflow.wire import assets as wire
from penstock.dialects.runflow.wire.common import Page, parse_asset, parse_folder, parse_upload
from penstock.dialects.runflow.wire.listings import DEFAULT, Limit, asset_filter
from penstock.domain.assets import Asset
from penstock.domain.uploads import UploadPolicy
from penstock.services.uploads import NewUpload


def add_uploads(app: FastAPI, services: Services, policy: UploadPolicy) -> None:
    @app.post("/v1/asset-uploads")
    @begins_upload
    def create_upload(request: Request, body: wire.CreateUpload) -> Response:
        """Begin an upload: the bytes go to `upload_url`, and count once they are confirmed."""
        account_id = file_writer(request)
        wire.check_upload(body, limit=policy.max_bytes)
        declared = NewUpload(dialect=DIALECT, filename=body.filename, content_type=body.mime_type, size=body.size_bytes)
        upload = services.uploads.begin_upload(account_id, declared, policy)
        out = wire.create_upload_out(upload, upload_url=services.uploads.signed_put(upload).url)
        return json_answer(out.model_dump(), 201)

    @app.post("/v1/asset-uploads/{upload_id}/confirmations")
    def confirm(request: Request, upload_id: str, body: wire.Confirm | None = None) -> Response:
        """Make the asset of what was sent; the same one however often it is asked for (inferred)."""
        account_id = file_writer(request)
        folder_id = parse_folder(body.folder_id) if body is not None and body.folder_id is not None else None
        asset = services.uploads.complete_upload(account_id, parse_upload(upload_id), folder_id=folder_id)
        return json_answer(wire.shown(_out(services, asset)), 201)


def add_assets(app: FastAPI, services: Services) -> None:
    @app.get("/v1/health")
    @public
    def health() -> Response:
        """That the API answers, in both of the ways in which clients look for it (inferred)."""
        return json_answer({"status": "ok", "ok": True})

    @app.get("/v1/assets/types")
    def list_types(request: Request) -> Response:
        """What may be uploaded."""
        file_reader(request)
        return json_answer([one.model_dump() for one in wire.asset_types()])

    @app.get("/v1/assets")
    def list_assets(  # noqa: PLR0913 - the parameters of a query
        request: Request,
        *,
        q: str | None = None,
        pq: str | None = None,
        limit: Limit = DEFAULT,
        sort_by: str | None = None,
        fields: str | None = None,
        embed: str | None = None,
        from_prev: bool = False,
    ) -> Response:
        """Assets that fit, newest first unless asked otherwise."""
        wanted = asset_filter(q, sort_by)
        found = services.library.window(file_reader(request), wanted, cursor=pq, limit=limit, back=from_prev)
        items = [wire.shown(_out(services, asset), embed=embed, fields=fields) for asset in found.items]
        page = Page(items=items, next_pq=found.next_cursor, prev_pq=found.previous_cursor)
        return json_answer(page.model_dump())

    @app.get("/v1/assets/{asset_id}")
    def get_asset(request: Request, asset_id: str, embed: str | None = None, fields: str | None = None) -> Response:
        """An asset that is there and usable."""
        asset = services.assets.get(file_reader(request), parse_asset(asset_id))
        return json_answer(wire.shown(_out(services, asset), embed=embed, fields=fields))

    @app.delete("/v1/assets/{asset_id}", status_code=204)
    def delete_asset(request: Request, asset_id: str) -> Response:
        """Put an asset into the trash: it is gone from here at once. May be repeated (inferred)."""
        services.assets.delete(file_writer(request), parse_asset(asset_id))
        return Response(status_code=204)


def _out(services: Services, asset: Asset) -> wire.AssetOut:
    url = services.assets.signed_get(asset)
    return wire.asset_out(asset, url=url, thumbnail_url=services.assets.signed_thumbnail(asset))
