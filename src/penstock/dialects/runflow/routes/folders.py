"""Routes of folders."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.access import file_reader, file_writer
from penstock.dialects.runflow.routes.common import json_answer
from penstock.dialects.runflow.wire import folders as wire
from penstock.dialects.runflow.wire.common import Page, parse_folder
from penstock.dialects.runflow.wire.listings import DEFAULT, Limit, folder_filter


def add_folders(app: FastAPI, services: Services) -> None:
    @app.post("/v1/asset-folders")
    def create_folder(request: Request, body: wire.CreateFolder) -> Response:
        """Create a folder."""
        account_id = file_writer(request)
        parent_id = parse_folder(body.parent_id) if body.parent_id is not None else None
        made = services.folders.create(account_id, body.name, parent_id)
        return json_answer(wire.folder_out(made).model_dump(), 201)

    @app.get("/v1/asset-folders")
    def list_folders(request: Request, q: str | None = None, pq: str | None = None, limit: Limit = DEFAULT) -> Response:
        """Folders at whatever depth, newest first; forwards alone."""
        page = services.folders.search(file_reader(request), folder_filter(q), cursor=pq, limit=limit)
        items = [wire.folder_out(folder).model_dump() for folder in page.items]
        return json_answer(Page(items=items, next_pq=page.next_cursor, prev_pq=None).model_dump())

    @app.get("/v1/asset-folders/{folder_id}")
    def get_folder(request: Request, folder_id: str) -> Response:
        """One folder."""
        path = services.folders.get(file_reader(request), parse_folder(folder_id))
        return json_answer(wire.folder_out(path[-1]).model_dump())

    @app.patch("/v1/asset-folders/{folder_id}")
    def change_folder(request: Request, folder_id: str, body: wire.ChangeFolder) -> Response:
        """Rename or move a folder, with all that is in it."""
        changed = services.folders.change(file_writer(request), parse_folder(folder_id), body.change())
        return json_answer(wire.folder_out(changed).model_dump())

    @app.delete("/v1/asset-folders/{folder_id}", status_code=204)
    def delete_folder(request: Request, folder_id: str) -> Response:
        """Delete a folder alone: what is in it moves up (inferred)."""
        services.folders.delete(file_writer(request), parse_folder(folder_id))
        return Response(status_code=204)
