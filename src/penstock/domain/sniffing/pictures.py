"""Pictures whose signature is too short to be believed alone: Windows bitmaps and icons."""

from __future__ import annotations

_BITMAP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124))
_ICON_ENTRY = 16


def bitmap_or_icon(head: bytes) -> str | None:
    """A BMP by the size of its second header, an icon by its first entry."""
    if head[:2] == b"BM" and head[14:18] in _BITMAP_HEADERS:
        return "image/bmp"
    return "image/x-icon" if head[:4] == b"\x00\x00\x01\x00" and _is_icon(head) else None


def _is_icon(head: bytes) -> bool:
    """Whether the first picture of the directory begins behind the directory, and its reserved byte is zero."""
    count = int.from_bytes(head[4:6], "little")
    first = int.from_bytes(head[18:22], "little")
    return count > 0 and len(head) >= 6 + _ICON_ENTRY and head[9] == 0 and first >= 6 + count * _ICON_ENTRY
