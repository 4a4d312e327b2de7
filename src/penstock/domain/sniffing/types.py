"""The order in which a file is looked at, and the types that their first bytes settle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.sniffing.boxes import look_at_boxes
from penstock.domain.sniffing.frames import look_at_frames
from penstock.domain.sniffing.markup import look_at_markup
from penstock.domain.sniffing.matroska import look_at_matroska
from penstock.domain.sniffing.ogg import look_at_ogg
from penstock.domain.sniffing.pictures import bitmap_or_icon
from penstock.domain.sniffing.probe import SNIFF_BYTES, Look, View
from penstock.domain.sniffing.riff import riff
from penstock.domain.sniffing.text import document_behind_junk, text
from penstock.domain.sniffing.weights import weights

if TYPE_CHECKING:
    from collections.abc import Callable

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00\x08\x00\x00\x00", "image/tiff"),  # BigTIFF: offsets of eight bytes
    (b"MM\x00+\x00\x08\x00\x00", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"ADIF", "audio/aac"),  # one header and no frames (ISO 13818-7 §6.1)
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
)


def find_type(head: bytes, *, size: int, read: Callable[[int, int], bytes]) -> str | None:
    """The media type that a file of `size` bytes shows, or None when it is of no type we know.

    `head` are its first bytes, `SNIFF_BYTES` of them if it has as many; `read(start, end)` is asked for others where
    those do not suffice, at most `MAX_READS` times.
    """
    look = looking(head, size=size)
    try:
        wanted = next(look)
        while True:
            wanted = look.send(read(wanted.start, wanted.end))
    except StopIteration as end:
        found: str | None = end.value
        return found


def sniff(content: bytes) -> str | None:
    """The media type that bytes at hand show, or None when they are of no type we know."""
    return find_type(content[:SNIFF_BYTES], size=len(content), read=lambda start, end: content[start:end])


def looking(head: bytes, *, size: int) -> Look[str | None]:
    """The look into a file as a generator: it asks for ranges, is sent bytes, and returns the type or None.

    Markup comes first, as in a browser (WHATWG MIME Sniffing §7.1): what begins as a page is nothing else.
    """
    view = View(head, size=size)
    found = yield from look_at_markup(view)
    if found is None:
        found = _by_magic(head)
    for look in (look_at_boxes, look_at_matroska, look_at_ogg, look_at_frames):
        if found is None:
            found = yield from look(view)
    return found or text(head) or document_behind_junk(head)


def _by_magic(head: bytes) -> str | None:
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    return riff(head) or weights(head) or bitmap_or_icon(head)
