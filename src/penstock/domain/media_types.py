"""Media types: what the bytes say they are, which names mean the same, and which kind of asset that makes.

The table decides from the first bytes alone. A type found is never made servable by that: the object origin has its own
rules (S10).
"""

from __future__ import annotations

import re
from enum import StrEnum

SNIFF_BYTES = 4096
"""How many first bytes `sniff` wants, at most."""

OCTET_STREAM = "application/octet-stream"

_SYNTAX = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}\Z")
_SYNONYMS = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/aac": "audio/aac",
    "audio/x-aac": "audio/aac",
    "audio/x-flac": "audio/flac",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "video/x-m4v": "video/mp4",
    "video/x-msvideo": "video/avi",
    "video/msvideo": "video/avi",
    "text/xml": "application/xml",
    "application/x-zip-compressed": "application/zip",
}
_UNDECLARED = frozenset({OCTET_STREAM, "binary/octet-stream", "application/x-www-form-urlencoded"})


class Kind(StrEnum):
    """What sort of thing an asset is."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    MODEL = "model"
    OTHER = "other"


def is_media_type(text: str) -> bool:
    """Whether text is `type/subtype` with optional parameters (RFC 9110 §8.3.1)."""
    return bool(_SYNTAX.match(text.partition(";")[0].strip()))


def essence(text: str) -> str:
    """`type/subtype`, lower case, without parameters, synonyms folded (`image/jpg` is `image/jpeg`)."""
    plain = text.partition(";")[0].strip().lower()
    return _SYNONYMS.get(plain, plain)


def says_nothing(declared: str) -> bool:
    """Whether a declared type is one that clients send when they do not know (`application/octet-stream`, say)."""
    return essence(declared) in _UNDECLARED


def kind_of(content_type: str) -> Kind:
    """The kind that a media type makes."""
    plain = essence(content_type)
    head = plain.partition("/")[0]
    if plain in {"application/x-safetensors", "application/x-gguf"}:
        return Kind.MODEL
    return Kind(head) if head in {"image", "video", "audio"} else Kind.OTHER


def sniff(head: bytes) -> str | None:
    """The media type that the first bytes show, or None when they are of no type we know."""
    for offset, magic, found in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return found
    return _sniff_riff(head) or _sniff_iso(head) or _sniff_weights(head) or _sniff_audio(head) or _sniff_text(head)


def agree(declared: str, found: str) -> bool:
    """Whether a declared type and a found one are compatible: equal, or containers that hold either sort of track."""
    left, right = essence(declared), essence(found)
    return left == right or frozenset({left, right}) in _COMPATIBLE


_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"GGUF", "application/x-gguf"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"\x80\x02", "application/x-pickle"),
    (0, b"\x80\x04\x95", "application/x-pickle"),
)
_COMPATIBLE = frozenset(
    {
        frozenset({"video/mp4", "audio/mp4"}),
        frozenset({"video/mp4", "video/quicktime"}),
        frozenset({"video/webm", "audio/webm"}),
        frozenset({"video/webm", "video/x-matroska"}),
        frozenset({"video/ogg", "audio/ogg"}),
        frozenset({"audio/aac", "audio/mpeg"}),
    }
)
_ISO_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
    b"msf1": "image/heic",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
}
_RIFF_FORMS = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/avi"}


def _sniff_riff(head: bytes) -> str | None:
    return _RIFF_FORMS.get(head[8:12]) if head[:4] == b"RIFF" else None


def _sniff_iso(head: bytes) -> str | None:
    if head[4:8] != b"ftyp":
        return None
    return _ISO_BRANDS.get(head[8:12], "video/mp4")


def _sniff_weights(head: bytes) -> str | None:
    """A safetensors file: eight bytes of little-endian header length, then `{"` (see the format's own description)."""
    if len(head) < 10 or head[8:10] != b'{"':  # noqa: PLR2004 - 8 length bytes and two of JSON
        return None
    return "application/x-safetensors" if int.from_bytes(head[:8], "little") <= 100_000_000 else None  # noqa: PLR2004 - the format's own cap


def _sniff_audio(head: bytes) -> str | None:
    if head[:4] == b"OggS":
        return "video/ogg" if b"\x80theora" in head[:64] else "audio/ogg"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if len(head) > 1 and head[0] == 0xFF:  # noqa: PLR2004 - frame sync of MPEG audio
        if head[1] & 0xF6 == 0xF0:  # noqa: PLR2004 - ADTS: layer bits are zero
            return "audio/aac"
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x06:  # noqa: PLR2004 - 11 sync bits, a layer
            return "audio/mpeg"
    if head[:2] == b"BM" and len(head) >= 26 and head[14:18] in _BMP_HEADERS:  # noqa: PLR2004 - file and info headers
        return "image/bmp"
    return None


_BMP_HEADERS = tuple(n.to_bytes(4, "little") for n in (12, 40, 52, 56, 64, 108, 124))


def _sniff_text(head: bytes) -> str | None:
    if not head or b"\x00" in head:
        return None
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return None
        text = head[: error.start].decode("utf-8-sig")
    start = text.lstrip()[:512].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<script")):
        return "text/html"
    if start.startswith("<svg") or (start.startswith(("<?xml", "<!doctype svg", "<!--")) and "<svg" in text.lower()):
        return "image/svg+xml"
    if start.startswith("<?xml"):
        return "application/xml"
    return "text/plain"
