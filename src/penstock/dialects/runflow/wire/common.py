"""What all shapes share: ids, times, references, pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from penstock.domain.errors import AssetNotFound, FolderNotFound, RunNotFound, UploadNotFound
from penstock.domain.ids import AssetId, FolderId, RunId, UploadId
from penstock.domain.references import AssetReference

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.domain.errors import NotFound
    from penstock.domain.references import Reference

REQUEST_ID_HEADER = "Runflow-Request-Id"
"""Documented of callbacks; that answers carry it too is inferred."""
ORGANIZATION_HEADER = "X-Organization-Id"
ASSET_SCHEME = "runflow://assets/"

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


class Page(BaseModel):
    """A listing: its items, and the cursors of the pages after and before it (concepts/requests)."""

    items: list[dict[str, Any]]
    next_pq: str | None
    prev_pq: str | None


def parse_asset(text: str) -> AssetId:
    """Raises `AssetNotFound`, for what cannot be an asset's id as well."""
    return AssetId(_uuid(text, AssetNotFound))


def parse_upload(text: str) -> UploadId:
    """Raises `UploadNotFound`, for what cannot be an upload's id as well."""
    return UploadId(_uuid(text, UploadNotFound))


def parse_folder(text: str) -> FolderId:
    """Raises `FolderNotFound`, for what cannot be a folder's id as well."""
    return FolderId(_uuid(text, FolderNotFound))


def parse_run(text: str) -> RunId:
    """Raises `RunNotFound`, for what cannot be a run's id as well."""
    return RunId(_uuid(text, RunNotFound))


def format_reference(asset_id: AssetId) -> str:
    """The URI that names an asset in a run's input."""
    return ASSET_SCHEME + asset_id


def reference_parser(base_url: str) -> Callable[[str], Reference | None]:
    """Parses `runflow://assets/<id>`, and bare ids as they stand in `asset_id`."""
    del base_url  # no reference holds an address

    def parse(text: str) -> Reference | None:
        if text.startswith(ASSET_SCHEME):
            return AssetReference(asset_id=parse_asset(text.removeprefix(ASSET_SCHEME)))
        return AssetReference(asset_id=AssetId(text)) if _UUID.match(text) else None

    return parse


def timestamp(time: datetime) -> str:
    """ISO 8601, UTC, whole seconds, `Z`, as in the guide."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _uuid(text: str, absent: type[NotFound]) -> str:
    if not _UUID.match(text):
        raise absent(text)
    return text
