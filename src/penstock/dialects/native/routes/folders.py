"""Routes of folders."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.access import file_reader, file_writer
from penstock.dialects.native.routes.common import Cursor, IdempotencyKey, Limit, folder_id_of, json_answer
from penstock.dialects.native.wire import folders
from penstock.domain.idempotency import idempotent_request
from penstock.domain.ids import FolderId
from penstock.services.folders import FolderChange

ParentId = Annotated[str | None, Query(description="The folder whose subfolders to list; absent: those at the top.")]


def add_folders(app: FastAPI, services: Services) -> None:
    @app.post("/folders", status_code=201, response_model=folders.FolderOut, tags=["folders"])
    def create_folder(request: Request, body: folders.CreateFolder, idempotency_key: IdempotencyKey = None) -> Response:
        """Create a folder."""
        same = idempotent_request(idempotency_key, body.model_dump())
        made = services.folders.create(file_writer(request), body.name, _parent_of(body.parent_id), idempotency=same)
        return json_answer(folders.folder_out(made), 201)

    @app.get("/folders", response_model=folders.FolderPage, tags=["folders"])
    def list_folders(
        request: Request, parent_id: ParentId = None, limit: Limit = 20, cursor: Cursor = None
    ) -> Response:
        """The folders in a folder, by name."""
        page = services.folders.page(file_reader(request), _parent_of(parent_id), cursor=cursor, limit=limit)
        data = [folders.folder_out(folder) for folder in page.items]
        return json_answer(folders.FolderPage(data=data, next_cursor=page.next_cursor))

    @app.get("/folders/{folder_id}", response_model=folders.FolderOut, tags=["folders"])
    def get_folder(request: Request, folder_id: str) -> Response:
        """One folder, and the way to it."""
        path = services.folders.get(file_reader(request), folder_id_of(folder_id))
        return json_answer(folders.folder_out(path[-1], path=path))

    @app.patch("/folders/{folder_id}", response_model=folders.FolderOut, tags=["folders"])
    def change_folder(request: Request, folder_id: str, body: folders.ChangeFolder) -> Response:
        """Rename or move a folder, with all that is in it."""
        change = FolderChange(
            name=body.name, moves="parent_id" in body.model_fields_set, parent_id=_parent_of(body.parent_id)
        )
        changed = services.folders.change(file_writer(request), folder_id_of(folder_id), change)
        return json_answer(folders.folder_out(changed))

    @app.delete("/folders/{folder_id}", status_code=204, tags=["folders"])
    def delete_folder(request: Request, folder_id: str) -> Response:
        """Delete a folder alone. What is in it moves up; many assets take some seconds."""
        services.folders.delete(file_writer(request), folder_id_of(folder_id))
        return Response(status_code=204)


def _parent_of(text: str | None) -> FolderId | None:
    return None if text is None else folder_id_of(text)
