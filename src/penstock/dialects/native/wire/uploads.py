"""Uploads as asked for and as answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from penstock.dialects.native.wire.common import Request, Tag, timestamp
from penstock.dialects.native.wire.lifetimes import LEAST_SECONDS, MOST_SECONDS
from penstock.domain.egress import shown_url
from penstock.domain.errors import InvalidField
from penstock.domain.ids import format_prefixed
from penstock.domain.parts import part_count
from penstock.domain.tags import MAX_TAGS
from penstock.domain.uploads import Upload, UploadMethod

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
    folder_id: str | None = Field(default=None, description="The folder that the asset goes to; null: the top.")
    tags: Annotated[list[Tag], Field(max_length=MAX_TAGS)] = Field(
        default_factory=list, description="The tags of the asset."
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        default=None,
        description="SHA-256 of the bytes, in hex. Other bytes are refused. When the account has a file with "
        "these, the upload is `ready` at once, with an asset of its own, and nothing is to be sent.",
    )
    method: Literal["put", "form", "multipart"] = Field(
        default="put",
        description="How the bytes travel: one PUT, a POST form as browsers send it, or parts, which can be resumed.",
    )
    part_size: int | None = Field(
        default=None, description="For `multipart`: bytes of every part but the last; absent: the server chooses."
    )


class SignParts(Request):
    """Which parts shall be sent next."""

    part_numbers: Annotated[list[int], Field(min_length=1, max_length=1000)] = Field(
        description="From 1 to `part_count`; no part needs to wait for another."
    )


class NamedPart(Request):
    """A part that was sent."""

    part_number: int
    etag: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="The `ETag` header of the answer to its PUT."
    )


class CompleteUpload(Request):
    """What makes the file."""

    parts: Annotated[list[NamedPart], Field(min_length=1, max_length=10_000)] | None = Field(
        default=None, description="For `multipart`: the parts that make the file; absent: all that arrived."
    )


class FormOut(BaseModel):
    """A form for one POST as `multipart/form-data`: these fields in this order, then the file as `file`."""

    url: str
    fields: dict[str, str]


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
    form: FormOut | None = Field(default=None, description="For `form`, while pending only, and not in listings.")
    part_size: int | None = Field(default=None, description="For `multipart`: bytes of every part but the last.")
    part_count: int | None = Field(default=None, description="For `multipart`, where the size was declared.")
    filename: str
    content_type: str = Field(description="As declared.")
    size_bytes: int | None = Field(description="As declared.")
    created_at: str
    expires_at: str = Field(description="Until when bytes are taken; URLs of parts end earlier.")
    source_url: str | None = Field(
        default=None, description="Where the server fetches the bytes, without its query; of imports only."
    )
    asset_id: str | None = Field(description="The asset, once the bytes were accepted.")
    failure: str | None = Field(description="Why it failed or expired.")


class UploadPage(BaseModel):
    """Uploads, newest first."""

    data: list[UploadOut]
    next_cursor: str | None


class PartUrlOut(BaseModel):
    """Where to PUT one part."""

    part_number: int
    url: str


class PartUrlsOut(BaseModel):
    """Where to PUT parts; no header is needed."""

    data: list[PartUrlOut]
    expires_at: str = Field(description="When the URLs stop working; ask for new ones then.")


class PartOut(BaseModel):
    """A part that has arrived."""

    part_number: int
    size_bytes: int
    etag: str


class PartPage(BaseModel):
    """Parts that have arrived, ascending."""

    data: list[PartOut]
    next_after: int | None = Field(description="`after` of the next page; null at the end.")


def upload_out(
    upload: Upload,
    *,
    url: str | None = None,
    headers: dict[str, str] | None = None,
    form: FormOut | None = None,
) -> UploadOut:
    """An upload as answered; `url` and `headers`, or `form`, while it can still be sent."""
    return UploadOut(
        id=format_prefixed("upload", upload.id),
        state=upload.state.value,
        method=upload.method.value,
        upload_url=url,
        headers=headers,
        form=form,
        part_size=upload.part_size if upload.method is UploadMethod.MULTIPART else None,
        part_count=part_count(upload.declared_size, upload.part_size) if upload.part_size else None,
        filename=upload.name,
        content_type=upload.declared_type,
        size_bytes=upload.declared_size,
        created_at=timestamp(upload.created_at),
        expires_at=timestamp(upload.expires_at),
        source_url=shown_url(upload.source_url) if upload.source_url else None,
        asset_id=format_prefixed("asset", upload.asset_id) if upload.asset_id else None,
        failure=upload.failure,
    )


def named_parts(body: CompleteUpload | None) -> dict[int, str] | None:
    """The ETags that a client names, by part number. Raises `InvalidField` for a part that is named twice."""
    if body is None or body.parts is None:
        return None
    named: dict[int, str] = {}
    for index, part in enumerate(body.parts):
        if part.part_number in named:
            raise InvalidField(("parts", index, "part_number"), "is named twice")
        named[part.part_number] = part.etag
    return named
