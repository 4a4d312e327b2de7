"""RIFF and its relatives: a form of four letters says what the chunks are (WebP, WAV, AVI, AIFF)."""

from __future__ import annotations

_WAVE64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
"""The GUID that Sony's Wave64 writes where RIFF has its four letters; sizes of eight bytes follow."""
_FORMS = {
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"AVI "): "video/avi",
    (b"RIFF", b"WAVE"): "audio/wav",
    (b"RIFX", b"WAVE"): "audio/wav",  # big-endian
    (b"RF64", b"WAVE"): "audio/wav",  # over 4 GiB (EBU Tech 3306)
    (b"BW64", b"WAVE"): "audio/wav",  # its successor (ITU-R BS.2088)
    (b"FORM", b"AIFF"): "audio/aiff",
    (b"FORM", b"AIFC"): "audio/aiff",
}


def riff(head: bytes) -> str | None:
    """The type of a file made of chunks."""
    if head.startswith(_WAVE64) and head[24:28] == b"wave":
        return "audio/x-w64"
    found = _FORMS.get((head[:4], head[8:12]))
    if found == "image/webp" and head[12:15] != b"VP8":
        return None
    return found
