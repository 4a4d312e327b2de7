"""What native shapes share: snake_case, prefixed ids, sizes in bytes, times in ISO 8601 UTC, money as decimals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from penstock.domain.assets import Tombstone
from penstock.domain.events import Event
from penstock.domain.ids import AssetId, MediaKey, UploadId, format_prefixed, parse_media_key, parse_prefixed
from penstock.domain.references import AssetReference, MediaReference, Reference, UploadReference

REQUEST_ID_HEADER = "X-Request-Id"
Tag = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Request(BaseModel):
    """A body: strict types, no unknown members."""

    model_config = ConfigDict(strict=True, extra="forbid")


class FieldProblem(BaseModel):
    """One field that is wrong."""

    pointer: str = Field(description="Where it stands in the body (RFC 6901, as a fragment).")
    detail: str
    code: str = Field(description="`missing`, `unknown`, `conflict` and the like.")


class TombstoneOut(BaseModel):
    """What is remembered of an asset that is gone."""

    filename: str
    sha256: str | None = Field(description="Hex; null when it was never measured.")
    reason: str = Field(description="expired or deleted.")
    gone_at: str = Field(description="Since when.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="The code as a URN.")
    title: str
    status: int
    detail: str = Field(description="What is wrong, for people.")
    code: str = Field(description="What is wrong, for programs; stable.")
    request_id: str = Field(description="As in the header `X-Request-Id`, and in the server's log.")
    errors: list[FieldProblem] | None = Field(default=None, description="The fields that are wrong, where some are.")
    tombstone: TombstoneOut | None = Field(default=None, description="With 410: what is remembered of the asset.")


def tombstone_out(tombstone: Tombstone) -> TombstoneOut:
    """A tombstone as answered."""
    return TombstoneOut(
        filename=tombstone.name,
        sha256=tombstone.sha256,
        reason=tombstone.ending.value,
        gone_at=timestamp(tombstone.at),
    )


def event_out(event: Event) -> dict[str, object]:
    """An event as streamed; ids and times inside are written like everywhere."""
    data = dict(event.data)
    if "asset_id" in data:
        data["asset_id"] = format_prefixed("asset", str(data["asset_id"]))
    if "retry_at" in data:
        data["retry_at"] = timestamp(datetime.fromisoformat(str(data["retry_at"])))
    return {"number": event.number, "kind": event.kind.value, "data": data, "created_at": timestamp(event.created_at)}


def timestamp(time: datetime) -> str:
    """ISO 8601, UTC, milliseconds, `Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money(amount: Decimal) -> str:
    """USD as a plain decimal string without needless zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def media_url(key: MediaKey, *, base_url: str) -> str:
    """The stable public URL of a media key."""
    return f"{base_url}/media/{key}"


def thumbnail_url(key: MediaKey, *, base_url: str) -> str:
    """The stable public URL of the thumbnail behind a media key."""
    return f"{media_url(key, base_url=base_url)}/thumbnail"


def reference_parser(base_url: str) -> Callable[[str], Reference | None]:
    """Parses `asset_…`, `upload_…` and media URLs under `base_url`; parse ∘ format = identity."""
    prefix = f"{base_url}/media/"

    def parse(text: str) -> Reference | None:
        asset_id = parse_prefixed("asset", text)
        if asset_id is not None:
            return AssetReference(asset_id=AssetId(asset_id))
        upload_id = parse_prefixed("upload", text)
        if upload_id is not None:
            return UploadReference(upload_id=UploadId(upload_id))
        key = parse_media_key(text.removeprefix(prefix)) if text.startswith(prefix) else None
        return MediaReference(media_key=key) if key is not None else None

    return parse
