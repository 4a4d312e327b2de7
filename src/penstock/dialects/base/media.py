"""Files by their public URLs, where a dialect has such."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from penstock.domain.errors import AssetNotFound
from penstock.domain.ids import parse_media_key

if TYPE_CHECKING:
    from starlette.requests import Request

    from penstock.dialects.base import Services


def media_redirect(services: Services, request: Request, key: str) -> RedirectResponse:
    """To a short-lived URL of the store, which nothing may keep; raises `AssetNotFound` before there are bytes."""
    found = parse_media_key(key)
    if found is None:
        raise AssetNotFound(key)
    location = services.assets.media_location(found, method=request.method)
    return RedirectResponse(location, status_code=307, headers={"Cache-Control": "no-store"})
