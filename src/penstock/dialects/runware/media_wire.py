"""`imageUpload` and `mediaStorage` on the wire, and how files are named: by UUID, or by their URLs (contract §12)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from penstock.dialects.runware import parameters
from penstock.dialects.runware.wire import is_uuid
from penstock.domain.errors import ReferenceInvalid
from penstock.domain.foreign import InlineRules, ReferenceRules, UrlRules
from penstock.domain.ids import AssetId, MediaKey, parse_media_key
from penstock.domain.media_types import OCTET_STREAM
from penstock.domain.references import (
    AssetReference,
    InlineData,
    MediaReference,
    parse_data_uri,
    parse_foreign_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.domain.assets import Asset
    from penstock.domain.references import Reference

IMAGE_UPLOAD = "imageUpload"
MEDIA_STORAGE = "mediaStorage"
OPERATIONS = ("upload", "delete")
MOST_BYTES = 128 * 2**20
REFERENCES = ReferenceRules(
    urls=UrlRules(max_bytes=MOST_BYTES, https_only=False), inline=InlineRules(max_bytes=16 * 2**20)
)
"""Which limits hold for files is inferred; the product names none."""
_MOST_CHARACTERS = 2**28


def parse_source(task: Mapping[str, Any], name: str) -> str | InlineData:
    """A URL, or the bytes of a data URI or of plain base64. Raises `InvalidField`."""
    value = parameters.required_text(task, name, most=_MOST_CHARACTERS)
    if parse_foreign_url(value) is not None:
        return value
    try:
        inline = parse_data_uri(value)
    except ReferenceInvalid as error:
        parameters.invalid(name, error.reason)
    return inline if inline is not None else InlineData(content_type=OCTET_STREAM, data=_decoded(value, name))


def parse_uuid(task: Mapping[str, Any], *names: str) -> AssetId:
    """The UUID of a file. Raises `InvalidField`."""
    value = parameters.required_text(task, *names)
    if not is_uuid(value):
        parameters.invalid(names[0], "must be the UUID of a file")
    return AssetId(value.lower())


def parse_operation(task: Mapping[str, Any]) -> str:
    """What is to be done. Raises `InvalidField`."""
    return parameters.required_choice(task, "operation", OPERATIONS)


def image_item(asset: Asset, *, base_url: str) -> dict[str, object]:
    """A picture that was uploaded."""
    return {"imageUUID": asset.id, "imageURL": media_url(asset.media_key, base_url=base_url)}


def media_item(asset: Asset, *, base_url: str) -> dict[str, object]:
    """A file that was uploaded."""
    return {
        "operation": "upload",
        "mediaUUID": asset.id,
        "mediaURL": media_url(asset.media_key, base_url=base_url),
    }


def media_url(key: MediaKey, *, base_url: str) -> str:
    """The lasting URL of a file."""
    return f"{base_url}/media/{key}"


def reference_parser(base_url: str) -> Callable[[str], Reference | None]:
    """Parses UUIDs of files, and their URLs under `base_url`; parse ∘ format = identity."""
    prefix = f"{base_url}/media/"

    def parse(text: str) -> Reference | None:
        if is_uuid(text):
            return AssetReference(asset_id=AssetId(text.lower()))
        key = parse_media_key(text.removeprefix(prefix)) if text.startswith(prefix) else None
        return MediaReference(media_key=key) if key is not None else None

    return parse


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        parameters.invalid(name, "must be a URL, a data URI or base64")
