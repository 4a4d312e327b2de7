"""Under which type and disposition an object is shown (S10): a browser may display media, and nothing that can act."""

from __future__ import annotations

import re

from penstock.store.faults import INVALID_ARGUMENT, Refused

INLINE_TYPES = frozenset(
    {
        "audio/flac", "audio/mp3", "audio/mpeg", "audio/ogg", "audio/wav", "audio/wave", "audio/x-flac", "audio/x-wav",
        "image/avif", "image/gif", "image/jpeg", "image/png", "image/webp",
        "video/mp4", "video/ogg", "video/webm",
    }
)  # fmt: skip
OPAQUE_TYPE = "application/octet-stream"
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
    and without its type. A request signed in its headers cannot come from a link, so it gets the type and the
    disposition that it asks for, and learns the stored type.
    """
    wanted, disposition = requested_type or stored_type, requested_disposition or stored_disposition
    if _essence(stored_type) in INLINE_TYPES and _essence(wanted) in INLINE_TYPES:
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
