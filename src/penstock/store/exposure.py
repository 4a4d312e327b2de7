"""Under which type and disposition an object is shown (S10): a browser may display media, and nothing that can act."""

from __future__ import annotations

import re

from penstock.store.faults import INVALID_ARGUMENT, Refused

INLINE_TYPES = frozenset(
    {
        "application/ogg", "application/x-ogg", "audio/bwf", "audio/flac", "audio/m4a", "audio/m4b",
        "audio/mp2", "audio/mp3", "audio/mp4", "audio/mpa", "audio/mpeg", "audio/mpeg-3",
        "audio/mpeg3", "audio/mpg", "audio/oga", "audio/ogg", "audio/opus", "audio/rf64", "audio/speex",
        "audio/vnd.wave", "audio/vorbis", "audio/wav", "audio/wave", "audio/weba", "audio/webm", "audio/x-flac",
        "audio/x-m4a", "audio/x-m4b", "audio/x-mp2", "audio/x-mp3", "audio/x-mp4", "audio/x-mpeg",
        "audio/x-mpeg-3", "audio/x-mpg", "audio/x-ogg", "audio/x-opus", "audio/x-opus+ogg", "audio/x-pn-wav",
        "audio/x-speex", "audio/x-vorbis", "audio/x-vorbis+ogg", "audio/x-wav", "audio/x-wave", "audio/x-webm",
        "image/avif", "image/avif-sequence", "image/gif", "image/jfif", "image/jpeg", "image/jpg",
        "image/pjpeg", "image/png", "image/webp", "image/x-avif", "image/x-gif", "image/x-jpeg", "image/x-jpg",
        "image/x-png", "image/x-webp", "video/m4v", "video/mp4", "video/mpeg4", "video/ogg", "video/ogv",
        "video/theora", "video/webm", "video/x-m4v", "video/x-mp4", "video/x-ogg", "video/x-theora+ogg",
        "video/x-webm",
    }
)  # fmt: skip
OPAQUE_TYPE = "application/octet-stream"
_MAY_BE_MEDIA = INLINE_TYPES | {OPAQUE_TYPE}
_FIELD_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")


def shown_as(
    stored_type: str,
    stored_disposition: str | None,
    *,
    requested_type: str | None,
    requested_disposition: str | None = None,
    from_browser: bool,
) -> tuple[str, str | None]:
    """Content-Type and Content-Disposition of an answer.

    What is not media goes out as an attachment; by a presigned URL, which a browser can open, whatever was asked for
    and without its type. What was stored without a type, as files in parts are before anybody has looked at them, may
    be called media by a signed URL: with `nosniff` nothing but media can be shown then. A request signed in its headers
    cannot come from a link, so it gets the type and the disposition that it asks for, and learns the stored type.
    """
    wanted, disposition = requested_type or stored_type, requested_disposition or stored_disposition
    if _essence(stored_type) in _MAY_BE_MEDIA and _essence(wanted) in INLINE_TYPES:
        return wanted, disposition
    if requested_disposition and not from_browser:
        return wanted, disposition
    parameters = (disposition or "").partition(";")[2].strip()
    attachment = f"attachment; {parameters}" if parameters else "attachment"
    return (OPAQUE_TYPE if from_browser else wanted), attachment


def field_value(text: str) -> str:
    """A text that may stand in a header. Raises `Refused` for one that would end the line (S8)."""
    if not _FIELD_VALUE.fullmatch(text):
        raise Refused(INVALID_ARGUMENT, "A header value holds a character that no header may hold.")
    return text


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
