"""Identifiers: distinct types over one value, a random UUID (version 4) in canonical lower-case text.

One random value serves every dialect: whole as a UUID, as 32 hex digits behind a prefix, or as 21 URL-safe characters
(122 random bits fit 126). So a handle is a spelling, not a second row. The spellings are pairs: parse ∘ format =
identity.
"""

from __future__ import annotations

import base64
import re
from typing import NewType
from uuid import UUID

AccountId = NewType("AccountId", str)
KeyId = NewType("KeyId", str)
UploadId = NewType("UploadId", str)
AssetId = NewType("AssetId", str)
FolderId = NewType("FolderId", str)
RunId = NewType("RunId", str)
JobId = NewType("JobId", str)
DeliveryId = NewType("DeliveryId", str)
EndpointId = NewType("EndpointId", str)
SecretId = NewType("SecretId", str)
ModelId = NewType("ModelId", str)
ModelFileId = NewType("ModelFileId", str)
ModelUploadId = NewType("ModelUploadId", str)
MediaKey = NewType("MediaKey", str)

_VERSION = 4
_HEX = re.compile(r"[0-9a-f]{32}\Z")
_SHORT = re.compile(r"[A-Za-z0-9_-]{21}\Z")
_MEDIA_KEY = re.compile(r"[0-9a-f]{32}-[A-Za-z0-9._-]{1,160}\Z")


def uuid4_text(random: bytes) -> str:
    """Canonical UUID version 4 text from 16 random bytes (RFC 9562 §5.4)."""
    return str(UUID(bytes=random, version=4))


def format_prefixed(prefix: str, value: str) -> str:
    """`asset_6c1b2f7e0d544f4e9a5e3f1f6a1f8b21` from a prefix and a UUID text."""
    return f"{prefix}_{value.replace('-', '')}"


def parse_prefixed(prefix: str, text: str) -> str | None:
    """The UUID text behind `prefix_`, or None when `text` is not of that form."""
    head, _, digits = text.partition("_")
    if head != prefix or not _HEX.match(digits):
        return None
    value = UUID(hex=digits)
    return str(value) if value.version == _VERSION else None


def format_short(value: str) -> str:
    """21 URL-safe characters for a version-4 UUID: its 122 random bits, the six fixed ones left out."""
    number = UUID(value).int
    packed = ((number >> 80) << 74) | (((number >> 64) & 0xFFF) << 62) | (number & ((1 << 62) - 1))
    return base64.urlsafe_b64encode((packed << 6).to_bytes(16, "big"))[:21].decode()


def parse_short(text: str) -> str | None:
    """The UUID text of 21 URL-safe characters, or None when they are not what `format_short` makes."""
    if not _SHORT.match(text):
        return None
    packed = int.from_bytes(base64.urlsafe_b64decode(text + "A=="), "big") >> 6
    number = (packed >> 74) << 80 | (4 << 76) | ((packed >> 62) & 0xFFF) << 64 | (2 << 62) | (packed & ((1 << 62) - 1))
    value = str(UUID(int=number))
    return value if format_short(value) == text else None  # the last character has four bits to spare


def parse_media_key(text: str) -> MediaKey | None:
    """A media key (32 hex digits, `-`, the name), or None when the text cannot be one."""
    return MediaKey(text) if _MEDIA_KEY.match(text) else None
