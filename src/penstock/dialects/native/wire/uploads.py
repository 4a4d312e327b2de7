"""Uploads as asked for and as answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from penstock.dialects.native.wire.common import Request, timestamp
from penstock.dialects.native.wire.lifetimes import LEAST_SECONDS, MOST_SECONDS
from penstock.domain.ids import format_prefixed
from penstock.domain.uploads import Upload

_MAX_FILENAME = 500


class CreateUpload(Request):
    """What to upload."""

    filename: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_FILENAME)] = Field(
        description="The file's name: a label, never a path."
    )
    content_type: Annotated[str, StringConstraints(min_length=1, max_length=255)] = Field(
        description="Media type; the PUT must repeat it. `application/octet-stream` lets the bytes decide."
    )
    size_bytes: int | None = Field(
        default=None, ge=0, description="Size in bytes. When given, a PUT of any other length is refused."
    )
    expires_in: int | None = Field(
        default=None,
        ge=LEAST_SECONDS,
        le=MOST_SECONDS,
        description="Seconds that the asset shall live after completion; null: until deleted; absent: as the server's "
        "operator has set.",
    )
    method: Literal["put"] = Field(default="put", description="How the bytes travel.")


class UploadOut(BaseModel):
    """An upload."""

    id: str
    object: Literal["upload"] = "upload"
    state: str = Field(description="pending, stored, ready, failed, expired or aborted.")
    method: str
    upload_url: str | None = Field(
        default=None, description="Where to PUT the bytes; while pending only, and not in listings."
    )
    headers: dict[str, str] | None = Field(default=None, description="Headers that the PUT must carry exactly.")
    filename: str
    content_type: str = Field(description="As declared.")
    size_bytes: int | None = Field(description="As declared.")
    created_at: str
    expires_at: str = Field(description="When `upload_url` stops working.")
    asset_id: str | None = Field(description="The asset, once the bytes were accepted.")
    failure: str | None = Field(description="Why it failed or expired.")


class UploadPage(BaseModel):
    """Uploads, newest first."""

    data: list[UploadOut]
    next_cursor: str | None


def upload_out(upload: Upload, *, url: str | None = None, headers: dict[str, str] | None = None) -> UploadOut:
    """An upload as answered; `url` and `headers` while it can still be sent."""
    return UploadOut(
        id=format_prefixed("upload", upload.id),
        state=upload.state.value,
        method=upload.method.value,
        upload_url=url,
        headers=headers,
        filename=upload.name,
        content_type=upload.declared_type,
        size_bytes=upload.declared_size,
        created_at=timestamp(upload.created_at),
        expires_at=timestamp(upload.expires_at),
        asset_id=format_prefixed("asset", upload.asset_id) if upload.asset_id else None,
        failure=upload.failure,
    )
