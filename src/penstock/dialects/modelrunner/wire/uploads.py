"""Uploads: snake_case of a file in one piece, camelCase of one in parts."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from penstock.dialects.modelrunner.wire.common import (
    Camel,
    media_url,
    parse_lifecycle,
)
from penstock.domain.errors import InvalidField, UploadNotFound
from penstock.domain.ids import UploadId, format_short, parse_short
from penstock.domain.parts import MOST_PARTS
from penstock.domain.uploads import UploadMethod

if TYPE_CHECKING:
    from penstock.domain.uploads import Upload

_MAX_NAME = 1000
_MAX_TYPE = 255
_MAX_ETAG = 100


class Initiate(BaseModel):
    """`POST /storage/upload/initiate` and `initiate-multipart`. Members that are not listed are ignored (MR-02)."""

    model_config = ConfigDict(strict=True)

    file_name: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_NAME)]
    content_type: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_TYPE)]
    size: int | None = Field(default=None, ge=0)


class InitiateOut(BaseModel):
    """Where to PUT the bytes, and the address that they will have."""

    upload_url: str
    file_url: str


class InitiateMultipartOut(Camel):
    """What names an upload in parts, and the address that its file will have. Only the uploads in parts are camelCase.

    The guide shows that `uploadKey` is the last segment of `fileUrl`.
    """

    file_url: str
    upload_id: str
    upload_key: str


class PartUrlOut(Camel):
    """Where to PUT one part."""

    presigned_url: str


class NamedPart(Camel):
    """A part and the ETag that its PUT answered: bare from the guide and from JS, in quotes from Python (MR-16, 17)."""

    part_number: int = Field(ge=1, le=MOST_PARTS)
    etag: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_ETAG)]


class Complete(Camel):
    """`POST /storage/upload/complete`."""

    upload_id: str
    upload_key: str
    parts: Annotated[list[NamedPart], Field(min_length=1, max_length=MOST_PARTS)]

    @field_validator("parts")
    @classmethod
    def _ascending(cls, parts: list[NamedPart]) -> list[NamedPart]:
        """As S3 wants them (CompleteMultipartUpload, InvalidPartOrder); that we do, too, is inferred."""
        numbers = [part.part_number for part in parts]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise PydanticCustomError("order", "part numbers must ascend")
        return parts

    def named(self) -> dict[int, str]:
        """ETags by part number."""
        return {part.part_number: part.etag for part in self.parts}


class CompleteOut(Camel):
    """The address that `initiate-multipart` promised (MR-20)."""

    file_url: str


def initiated(upload: Upload, *, base_url: str) -> InitiateMultipartOut:
    """An upload in parts as it is named to its owner."""
    return InitiateMultipartOut(
        file_url=media_url(upload.media_key, base_url=base_url),
        upload_id=format_short(upload.id),
        upload_key=upload.media_key,
    )


def parse_upload_id(text: str) -> UploadId:
    """The upload of an `uploadId`. Raises `UploadNotFound`."""
    found = parse_short(text)
    if found is None:
        raise UploadNotFound(text)
    return UploadId(found)


def require_pair(upload: Upload, upload_key: str) -> Upload:
    """The upload, when it is one in parts and `uploadKey` is its key. Raises `UploadNotFound`."""
    if upload.method is not UploadMethod.MULTIPART or upload.media_key != upload_key:
        raise UploadNotFound(upload_key)
    return upload


def check_size(size: int | None, *, limit: int) -> None:
    """Raises `InvalidField` for a declared size (bytes) above the limit (MR-45, inferred)."""
    if size is not None and size > limit:
        raise InvalidField(("size",), f"must be at most {limit} bytes", rule="too_big")


def lifetime_at_completion(header: str | None) -> timedelta | Literal["as declared"] | None:
    """The header at completion counts; without one, that of `initiate-multipart` (inferred). Raises `InvalidField`."""
    return "as declared" if header is None else parse_lifecycle(header)
