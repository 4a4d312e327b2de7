"""Routes of what is found out about assets after they were admitted: its events, and the thumbnail."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from penstock.dialects.base import Services
from penstock.dialects.base.access import file_reader
from penstock.dialects.base.http import public
from penstock.dialects.native.placeholders import PLACEHOLDER_HEADERS, SVG, placeholder
from penstock.dialects.native.routes.common import EVENT_STREAM, After, asset_id_of, event_stream
from penstock.domain.assets import IntakeState, event_subject
from penstock.domain.errors import AssetNotFound
from penstock.domain.events import ASSET_FINALS
from penstock.domain.ids import parse_media_key
from penstock.domain.media_types import Kind

_PLACEHOLDER: dict[int | str, dict[str, Any]] = {
    200: {"description": "A placeholder", "content": {SVG: {"schema": {"type": "string"}}}}
}


def add_intake(app: FastAPI, services: Services) -> None:
    @app.get("/assets/{asset_id}/events", tags=["assets"], response_class=StreamingResponse, responses=EVENT_STREAM)
    async def asset_events(request: Request, asset_id: str, after: After = 0) -> Response:
        """How the asset's intake ends, as server-sent events, from the first or after `Last-Event-ID`."""
        found = asset_id_of(asset_id)
        look = partial(services.assets.get, file_reader(request), found)
        return await event_stream(
            services, request, event_subject(found), after, ASSET_FINALS, lambda: look().intake is IntakeState.DONE
        )

    @app.head("/media/{key}/thumbnail", include_in_schema=False)
    @app.get(
        "/media/{key}/thumbnail",
        status_code=307,
        response_class=RedirectResponse,
        responses=_PLACEHOLDER,
        tags=["assets"],
        openapi_extra={"security": []},
    )
    @public
    def thumbnail(request: Request, key: str) -> Response:
        """A picture of an asset (WebP, at most 512 pixels), by its public URL: a redirect to the object store.

        200 with a placeholder (SVG) where nothing could be seen in the file; 404 while there is none.
        """
        found = parse_media_key(key)
        if found is None:
            raise AssetNotFound(key)
        shown = services.assets.thumbnail_location(found, method=request.method)
        if isinstance(shown, Kind):
            return Response(placeholder(shown), media_type=SVG, headers=PLACEHOLDER_HEADERS)
        return RedirectResponse(shown, status_code=307, headers={"Cache-Control": "no-store"})
