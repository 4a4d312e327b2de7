"""Media types: what the bytes say they are, which names mean the same, and which kind of asset that makes.

The table decides from the first bytes alone. A type found is never made servable by that: the object origin has its own
rules (S10).
"""

from __future__ import annotations

import codecs
import re
from enum import StrEnum

SNIFF_BYTES = 4096
"""How many first bytes `sniff` wants, at most."""

OCTET_STREAM = "application/octet-stream"

_SYNTAX = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:[ \t]*;[\t\x20-\x7e]*)?\Z")
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
    """Whether text is `type/subtype`, perhaps with parameters, that can stand in a header (RFC 9110 §8.3.1)."""
    return bool(_SYNTAX.match(text))


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
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    for look in (_sniff_riff, _sniff_iso, _sniff_weights, _sniff_bitmap, _sniff_audio, _sniff_text):
        found_by_look = look(head)
        if found_by_look is not None:
            return found_by_look
    return None


def agree(declared: str, found: str) -> bool:
    """Whether a declared type and a found one are compatible: equal, or containers that hold either sort of track."""
    left, right = essence(declared), essence(found)
    return left == right or frozenset({left, right}) in _COMPATIBLE


def type_that_counts(declared: str, found: str | None) -> str:
    """The found type; the declared one where it agrees, or where the bytes show none or only text."""
    if _stays_open(declared, found):
        return OCTET_STREAM if says_nothing(declared) else declared
    return declared if found is None or agree(declared, found) else found


def contradicts(declared: str, found: str | None) -> bool:
    """Whether the bytes disprove what was declared of them."""
    if _stays_open(declared, found):
        return essence(declared) in _SHOWS_ITSELF
    return found is not None and not says_nothing(declared) and not agree(declared, found)


def _stays_open(declared: str, found: str | None) -> bool:
    """Whether the bytes show no type, or only text, which many declared types are written in."""
    return found is None or (found == "text/plain" and essence(declared).partition("/")[0] in {"text", "application"})


def is_shown_inline(content_type: str) -> bool:
    """Whether a browser may display the type where it stands (S10): media, and nothing that can act."""
    return essence(content_type) in _INLINE


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x80\x02", "application/x-pickle"),
    (b"\x80\x04\x95", "application/x-pickle"),
)
_SHOWS_ITSELF = frozenset(  # all files of these types begin with bytes that `sniff` knows
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"),
        *("audio/wav", "audio/ogg", "video/ogg", "video/webm", "video/x-matroska"),
        *("application/pdf", "application/zip", "application/gzip", "application/x-gguf"),
    }
)
_INLINE = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"),
        *("audio/mpeg", "audio/wav", "audio/ogg", "audio/flac", "video/mp4", "video/webm", "video/ogg"),
    }
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
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
}
_ISO_NEUTRAL_BRANDS = frozenset({b"mif1", b"msf1"})
_RIFF_FORMS = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/avi"}


def _sniff_riff(head: bytes) -> str | None:
    return _RIFF_FORMS.get(head[8:12]) if head[:4] == b"RIFF" else None


def _sniff_iso(head: bytes) -> str | None:
    if head[4:8] != b"ftyp":
        return None
    brand = head[8:12]
    if brand in _ISO_NEUTRAL_BRANDS:  # a picture; the list of compatible brands says of which sort
        end = min(int.from_bytes(head[:4], "big"), len(head))
        return "image/avif" if b"avif" in {head[i : i + 4] for i in range(16, end, 4)} else "image/heic"
    return _ISO_BRANDS.get(brand, "video/mp4")


def _sniff_weights(head: bytes) -> str | None:
    """GGUF before a small version number; safetensors: eight bytes of little-endian header length, then `{"`."""
    if head[:4] == b"GGUF" and b"\x00\x00" in head[4:8]:
        return "application/x-gguf"
    if len(head) < 10 or head[8:10] != b'{"':  # noqa: PLR2004 - 8 length bytes and two of JSON
        return None
    return "application/x-safetensors" if int.from_bytes(head[:8], "little") <= 100_000_000 else None  # noqa: PLR2004 - the format's own cap


def _sniff_bitmap(head: bytes) -> str | None:
    return "image/bmp" if head[:2] == b"BM" and head[14:18] in _BMP_HEADERS else None


_BMP_HEADERS = frozenset(n.to_bytes(4, "little") for n in (12, 40, 52, 56, 64, 108, 124))


def _sniff_audio(head: bytes) -> str | None:
    if head[:4] == b"OggS":
        return "video/ogg" if b"\x80theora" in head[:64] else "audio/ogg"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:3] == b"ID3" and head[3:4] in {b"\x02", b"\x03", b"\x04"}:
        return "audio/mpeg"
    if len(head) < 3 or head[0] != 0xFF:  # noqa: PLR2004 - both audio headers need three bytes and begin with a sync
        return None
    if head[1] & 0xF6 == 0xF0:  # noqa: PLR2004 - ADTS: layer bits are zero (ISO 13818-7 §6.2)
        return "audio/aac"
    return "audio/mpeg" if _is_mpeg_frame(head[1], head[2]) else None


def _is_mpeg_frame(first: int, second: int) -> bool:
    """Sync, layer II or III, nothing reserved (ISO 11172-3 §2.4.2.3). Layer I is extinct, and FF FE begins UTF-16."""
    synced, layer, version = first & 0xE0 == 0xE0, first & 0x06, first & 0x18  # noqa: PLR2004 - bit fields
    bit_rate, sampling_rate = second & 0xF0, second & 0x0C
    return synced and layer in {0x02, 0x04} and version != 0x08 and bit_rate != 0xF0 and sampling_rate != 0x0C  # noqa: PLR2004 - reserved values


_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""Bytes that stand in no text (WHATWG MIME Sniffing, binary data byte)."""
_PROLOG = re.compile(r"(?:\s+|<\?xml\b.*?\?>|<!--.*?-->)*+", re.DOTALL | re.IGNORECASE)
_HTML = ("<!doctype html", "<html", "<head", "<body", "<script")
_SVG = ("<svg", "<!doctype svg")


def _sniff_text(head: bytes) -> str | None:
    if _BINARY.search(head):
        return None
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)  # a last character may have been cut
    except UnicodeDecodeError:
        return None
    if not text:
        return None
    start = text[_PROLOG.match(text).end() :].lower()  # type: ignore[union-attr]  # it matches nothing, too
    if start.startswith(_HTML):
        return "text/html"
    if start.startswith(_SVG):
        return "image/svg+xml"
    return "application/xml" if text.lstrip().startswith("<?xml") else "text/plain"
