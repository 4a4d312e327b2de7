"""What stands where a thumbnail would, when nothing could be seen in a file. Drawn by us, so our origin serves it."""

from __future__ import annotations

from penstock.domain.media_types import Kind

SVG = "image/svg+xml"
PLACEHOLDER_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
_FRAME = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512" viewBox="0 0 32 32">'
    '<path fill="#e5e7eb" d="M0 0h32v32H0z"/>'
    '<path fill="none" stroke="#9ca3af" stroke-width="1.25" stroke-linecap="round" stroke-linejoin="round" d="{}"/>'
    "</svg>"
)
_DRAWINGS = {
    Kind.IMAGE: "M8 9h16v14H8zm0 11 5-5 4 4 3-3 4 4M19.5 13h.01",
    Kind.VIDEO: "M8 9h16v14H8zm5.5 3.5v7l6-3.5z",
    Kind.AUDIO: "M8 14v4m4-7v10m4-13v16m4-13v10m4-7v4",
}


def placeholder(kind: Kind) -> bytes:
    """A drawing for a kind that has thumbnails. Raises `KeyError` for one that has none."""
    return _FRAME.format(_DRAWINGS[kind]).encode()
