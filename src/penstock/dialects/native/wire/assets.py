"""Assets as answered."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from penstock.dialects.native.wire.common import media_url, timestamp
from penstock.domain.assets import Asset
from penstock.domain.ids import format_prefixed


class AssetOut(BaseModel):
    """An asset: bytes that were accepted."""

    id: str
    object: Literal["asset"] = "asset"
    filename: str
    content_type: str = Field(description="The type under which it is served.")
    found_type: str | None = Field(description="The type that the bytes show; null where it was not recorded.")
    kind: str = Field(description="image, video, audio, model or other.")
    size_bytes: int
    sha256: str | None = Field(description="Hex; null until measured.")
    url: str = Field(description="Stable public URL of the bytes; whoever has it can read them.")
    created_at: str
    expires_at: str | None = Field(description="Null: kept until deleted.")
    upload_id: str | None = Field(description="The upload that brought it.")
    run_id: str | None = Field(description="The run that made it.")
    folder_id: str | None = Field(description="The folder that it is in; null: none, it is at the top.")
    tags: list[str]
    updated_at: str | None = Field(description="When name, folder or tags were last changed; null: never.")
    deleted_at: str | None = Field(default=None, description="When it was deleted; in the trash only.")
    purge_at: str | None = Field(default=None, description="Until when it can be restored; in the trash only.")


def asset_out(asset: Asset, *, base_url: str) -> AssetOut:
    """An asset as answered."""
    return AssetOut(
        id=format_prefixed("asset", asset.id),
        filename=asset.name,
        content_type=asset.content_type,
        found_type=asset.found_type,
        kind=asset.kind.value,
        size_bytes=asset.size,
        sha256=asset.sha256,
        url=media_url(asset.media_key, base_url=base_url),
        created_at=timestamp(asset.created_at),
        expires_at=timestamp(asset.expires_at) if asset.expires_at else None,
        upload_id=format_prefixed("upload", asset.upload_id) if asset.upload_id else None,
        run_id=format_prefixed("run", asset.run_id) if asset.run_id else None,
        folder_id=format_prefixed("folder", asset.folder_id) if asset.folder_id else None,
        tags=list(asset.tags),
        updated_at=timestamp(asset.updated_at) if asset.updated_at else None,
        deleted_at=timestamp(asset.deleted_at) if asset.deleted_at else None,
        purge_at=timestamp(asset.purge_at) if asset.purge_at else None,
    )
