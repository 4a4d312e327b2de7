"""Files of an account. The product names the two routes (faq) and nothing more: every shape here is inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.dialects.modelrunner.wire.common import Camel, media_url, timestamp
from penstock.domain.errors import AssetNotFound
from penstock.domain.ids import AssetId, format_short, parse_short

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from penstock.services.paging import Page


class FileOut(Camel):
    """A file that was uploaded or made. `expires_at` null: kept until it is deleted."""

    id: str
    url: str
    file_name: str
    content_type: str
    file_size: int
    created_at: str
    expires_at: str | None


class FilePage(Camel):
    """`GET /files`. `next_cursor` null: there are no more."""

    items: list[FileOut]
    next_cursor: str | None


def page_out(page: Page[Asset], *, base_url: str) -> FilePage:
    """A page of files."""
    return FilePage(items=[_file_out(asset, base_url) for asset in page.items], next_cursor=page.next_cursor)


def parse_file_id(text: str) -> AssetId:
    """The asset of a file's id. Raises `AssetNotFound`."""
    found = parse_short(text)
    if found is None:
        raise AssetNotFound(text)
    return AssetId(found)


def _file_out(asset: Asset, base_url: str) -> FileOut:
    return FileOut(
        id=format_short(asset.id),
        url=media_url(asset.media_key, base_url=base_url),
        file_name=asset.name,
        content_type=asset.content_type,
        file_size=asset.size,
        created_at=timestamp(asset.created_at),
        expires_at=None if asset.expires_at is None else timestamp(asset.expires_at),
    )
