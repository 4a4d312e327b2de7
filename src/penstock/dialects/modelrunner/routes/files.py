"""Routes of an account's files. The product names them (faq) and does not say what they look like: inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from penstock.dialects.base.access import file_reader, file_writer
from penstock.dialects.modelrunner.routes.common import json_answer
from penstock.dialects.modelrunner.wire import files
from penstock.domain.library import AssetFilter

if TYPE_CHECKING:
    from penstock.dialects.base import Services

Limit = Annotated[int, Query(ge=1, le=100)]


def add_files(app: FastAPI, services: Services, base_url: str) -> None:
    """List and delete."""

    @app.get("/files")
    def list_files(request: Request, cursor: str | None = None, limit: Limit = 20) -> Response:
        """Uploaded and made files, newest first."""
        page = services.library.page(file_reader(request), AssetFilter(), cursor=cursor, limit=limit)
        return json_answer(files.page_out(page, base_url=base_url))

    @app.delete("/files/{file_id}")
    def delete_file(request: Request, file_id: str) -> Response:
        """Delete for good; a repeat answers the same."""
        services.assets.delete(file_writer(request), files.parse_file_id(file_id), permanent=True)
        return Response(status_code=204)
