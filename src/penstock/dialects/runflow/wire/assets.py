"""Uploads, assets and their types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from penstock.dialects.runflow.wire.common import timestamp
from penstock.domain.errors import InvalidField
from penstock.domain.media_types import MEDIA_TYPES, Kind, essence, is_media_type, kind_of

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from penstock.domain.uploads import Upload

_MAX_NAME = 500
_MAX_TYPE = 255
_OFFERED = (Kind.IMAGE, Kind.VIDEO, Kind.AUDIO)
CREATOR = "created_by_user"


class CreateUpload(BaseModel):
    """`POST /v1/asset-uploads`. Members that are not listed are ignored (inferred)."""

    model_config = ConfigDict(strict=True)

    filename: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_NAME)]
    mime_type: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_TYPE)]
    size_bytes: int = Field(ge=1)


class CreateUploadOut(BaseModel):
    """Where to PUT the bytes, and the id under which they are confirmed and then known."""

    asset_id: str
    upload_url: str


class Confirm(BaseModel):
    """`POST /v1/asset-uploads/{id}/confirmations`; the whole body is optional."""

    model_config = ConfigDict(strict=True)

    folder_id: str | None = None


class AssetOut(BaseModel):
    """An asset. `url` and `thumbnail_url` are signed anew for each answer; `size_bytes` is what was stored."""

    id: str
    org_id: str
    folder_id: str | None
    name: str
    r2_key: str
    url: str
    thumbnail_url: str | None
    mime_type: str
    size_bytes: int
    asset_type: str
    source_type: str
    source_id: str | None
    created_by: str | None
    created_at: str
    updated_at: str
    deleted_at: str | None
    deleted_by: str | None


class AssetType(BaseModel):
    """A sort of asset and the types that an upload of it may declare (the shape is inferred)."""

    name: str
    mime_types: list[str]


def asset_types() -> list[AssetType]:
    """What may be uploaded: every picture, film and sound that Penstock knows by its bytes (inferred)."""
    known = {kind: [one.name for one in MEDIA_TYPES.values() if one.kind is kind] for kind in _OFFERED}
    return [AssetType(name=kind.value, mime_types=names) for kind, names in known.items()]


def check_upload(declared: CreateUpload, *, limit: int) -> None:
    """Raises `InvalidField` for a type that is not listed, and a size (bytes) that is too large (RF-02, RF-03)."""
    known = MEDIA_TYPES.get(essence(declared.mime_type))
    if not is_media_type(declared.mime_type) or known is None or known.kind not in _OFFERED:
        raise InvalidField(("mime_type",), "is not supported; GET /v1/assets/types lists what is")
    if declared.size_bytes > limit:
        raise InvalidField(("size_bytes",), f"must be at most {limit}")


def create_upload_out(upload: Upload, *, upload_url: str) -> CreateUploadOut:
    """The answer to step 1. The asset will have the upload's id (inferred: every source names them alike)."""
    return CreateUploadOut(asset_id=upload.id, upload_url=upload_url)


def asset_out(asset: Asset, *, url: str, thumbnail_url: str | None) -> AssetOut:
    """An asset's record. Of deleted ones nothing is told, and nobody but the organization is known to have made it."""
    return AssetOut(
        id=asset.id,
        org_id=asset.account_id,
        folder_id=asset.folder_id,
        name=asset.name,
        r2_key=asset.object_key,
        url=url,
        thumbnail_url=thumbnail_url,
        mime_type=asset.content_type,
        size_bytes=asset.size,
        asset_type=asset_type_of(asset),
        source_type="upload" if asset.run_id is None else "run",
        source_id=asset.run_id,
        created_by=None,
        created_at=timestamp(asset.created_at),
        updated_at=timestamp(asset.updated_at or asset.created_at),
        deleted_at=None,
        deleted_by=None,
    )


def asset_type_of(asset: Asset) -> str:
    """After the type that is told, so that the two agree; what a model takes is decided by the bytes."""
    return kind_of(asset.content_type).value


def shown(asset: AssetOut, *, embed: str | None = None, fields: str | None = None) -> dict[str, Any]:
    """The record with what was asked for beside it, or with the named members alone."""
    members: dict[str, Any] = asset.model_dump()
    if embed is not None and CREATOR in embed.split(","):
        members[CREATOR] = None
    return members if fields is None else select(members, fields)


def select(members: dict[str, Any], fields: str) -> dict[str, Any]:
    """The members that `fields` names, separated by commas. Raises `InvalidField` for one that is not there."""
    wanted = [name.strip() for name in fields.split(",")]
    unknown = [name for name in wanted if name not in members]
    if unknown:
        raise InvalidField(("fields",), f"there is no {unknown[0]!r}")
    return {name: members[name] for name in wanted}
