"""Assets as answered."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, Field

from penstock.dialects.native.wire.common import media_url, thumbnail_url, timestamp
from penstock.domain.assets import Asset, has_picture
from penstock.domain.ids import format_prefixed


class FactsOut(BaseModel):
    """What a decoder saw in a picture, a film or a sound. Null: does not apply, or could not be told."""

    width: int | None = Field(description="Pixels, as shown: the orientation is applied.")
    height: int | None = Field(description="Pixels, as shown.")
    orientation: int | None = Field(description="As EXIF counts, 1 to 8.")
    frames: int | None = Field(description="Of an animation.")
    pages: int | None = Field(description="Of a TIFF.")
    duration: float | None = Field(description="Seconds.")
    fps: float | None = Field(description="Frames per second.")
    video_codec: str | None
    audio_codec: str | None
    channels: int | None
    sample_rate: int | None = Field(description="Hz.")


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
    intake: Literal["pending", "done"] = Field(description="Whether hash, facts and thumbnail are still to come.")
    facts: FactsOut | None = Field(description="What the file shows; null where there is nothing to tell.")
    problem: str | None = Field(description="Why something could not be seen in the file; it is kept all the same.")
    thumbnail_url: str | None = Field(
        description="Stable public URL of a picture of it, once intake is done; null for what has none by its kind. "
        "Where nothing could be seen it answers with a placeholder."
    )
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
        intake=asset.intake.value,
        facts=FactsOut(**asdict(asset.facts)) if asset.facts is not None else None,
        problem=asset.intake_problem,
        thumbnail_url=thumbnail_url(asset.media_key, base_url=base_url) if has_picture(asset) else None,
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
