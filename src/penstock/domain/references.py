"""References: strings that name an asset, parsed into what they mean. A syntax belongs to the dialect that owns it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from penstock.domain.errors import ReferenceInvalid
from penstock.domain.media_types import is_media_type

if TYPE_CHECKING:
    from datetime import timedelta

    from penstock.domain.ids import AssetId, MediaKey, UploadId

_SHOWN = 100
_DATA_URI = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetReference:
    """An asset by its id; only its owner may use it."""

    asset_id: AssetId


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReference:
    """The asset that an upload makes; used before completion it is admitted on the spot. Only its owner may use it.

    `names_for`: how long after the upload was begun the reference names anything; None: as long as there is something.
    """

    upload_id: UploadId
    names_for: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaReference:
    """A public media key; whoever has it may read it."""

    media_key: MediaKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReference:
    """An asset by a URL of its bytes that this server signed and that still holds; whoever has it may read it."""

    asset_id: AssetId


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineData:
    """A data URI, decoded."""

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignUrl:
    """An http(s) URL that is not ours."""

    url: str


Reference = AssetReference | UploadReference | MediaReference | SignedReference | InlineData | ForeignUrl


def parse_data_uri(text: str) -> InlineData | None:
    """A data URI (RFC 2397), or None when the text is none. Raises `ReferenceInvalid` when it is a broken one."""
    if not is_data_uri(text):
        return None
    match = _DATA_URI.match(text)
    if match is None:
        raise ReferenceInvalid((), "the data URI has no comma", rule="data_uri")
    content_type = match.group(1) or "text/plain"
    if not is_media_type(content_type):
        raise ReferenceInvalid((), "the data URI names no media type", rule="data_uri")
    payload = text[match.end() :]
    if "base64" not in match.group(2).lower().split(";"):
        return InlineData(content_type=content_type, data=unquote_to_bytes(payload))
    try:
        return InlineData(content_type=content_type, data=base64.b64decode(payload, validate=True))
    except ValueError:  # not ASCII; or `binascii.Error`, which is one
        raise ReferenceInvalid((), "the data URI is not valid base64", rule="data_uri") from None


def is_data_uri(text: str) -> bool:
    """Whether the text is a data URI, right or broken."""
    return text[:5].lower() == "data:"


def shortened(text: str) -> str:
    """The text itself, or the beginning of a data URI that is longer than what anybody reads."""
    return f"{text[:_SHOWN]}…" if is_data_uri(text) and len(text) > _SHOWN else text


def parse_foreign_url(text: str) -> ForeignUrl | None:
    """An http(s) URL, or None."""
    return ForeignUrl(url=text) if text[:8].lower().startswith(("http://", "https://")) else None
