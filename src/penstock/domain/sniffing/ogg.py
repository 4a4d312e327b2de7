"""Ogg: the first packet of every stream stands on a page of its own at the beginning (RFC 3533 §4, RFC 5334)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.domain.sniffing.probe import Look, View

_MAX_STREAMS = 32
_HEADER = 27
_BEGINS_STREAM = 0x02
_LONGEST_MARK = 8
_FILMS = (b"\x80theora", b"BBCD\x00", b"OVP80", b"\x01video\x00", b"\x80daala", b"YUV4MPEG")
_SOUNDS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"fLaC", b"Speex   ", b"CELT    ", b"PCM     ", b"\x01audio\x00")


def look_at_ogg(view: View) -> Look[str | None]:
    """A film if a stream is of pictures, else a sound. What no stream's first packet shows is taken for a sound."""
    if not view.head.startswith(b"OggS\x00"):
        return None
    position = 0
    for _ in range(_MAX_STREAMS):
        page = yield from view.at(position, _HEADER + 255 + _LONGEST_MARK)
        if len(page) < _HEADER or page[:4] != b"OggS" or not page[5] & _BEGINS_STREAM:
            break
        lengths = page[_HEADER : _HEADER + page[26]]
        body = _HEADER + page[26]
        if page[body : body + _LONGEST_MARK].startswith(_FILMS):
            return "video/ogg"
        position += body + sum(lengths)
    return "audio/ogg"
