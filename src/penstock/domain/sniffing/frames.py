"""Sound in bare frames, behind an ID3 tag or without one: MPEG audio and AAC.

A sync alone proves nothing; a row of frames does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.domain.sniffing.probe import Look, View

_MAX_TAGS = 3
_TAG_HEADER = 10
_HAS_FOOTER = 0x10
_BEHIND_TAG = 4096
_ROW = 3
"""So many frames in a row, each where the one before it ends, are no accident."""

_RATES = (44100, 48000, 32000)
_BIT_RATES = {  # kbit/s by (MPEG-1, layer): ISO 11172-3 §2.4.2.3, ISO 13818-3 §2.4.2.3
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def look_at_frames(view: View) -> Look[str | None]:
    """MPEG audio, AAC in ADTS, or what stands behind an ID3 tag (FLAC, too)."""
    if not view.head.startswith(b"ID3"):
        return _frames_within(view.head)
    position = 0
    for _ in range(_MAX_TAGS):
        length = _tag_length((yield from view.at(position, _TAG_HEADER, ahead=_BEHIND_TAG)))
        if length is None:
            break
        position += length
    if position == 0:
        return None
    found = _behind_tag(view.head[position:])
    return found or _behind_tag((yield from view.at(position, _BEHIND_TAG, ahead=_BEHIND_TAG))) or "audio/mpeg"


def _behind_tag(data: bytes) -> str | None:
    data = data.lstrip(b"\x00")  # some writers pad
    return "audio/flac" if data.startswith(b"fLaC") else _row(data, 0)


def _tag_length(header: bytes) -> int | None:
    """Bytes of an ID3v2 tag, whose size leaves the top bit of each byte free (ID3v2.4 §3.1)."""
    size = header[6:10]
    if len(header) < _TAG_HEADER or header[:3] != b"ID3" or header[3] not in {2, 3, 4} or max(size) > 0x7F:  # noqa: PLR2004 - versions, seven bits
        return None
    plain = size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]
    return _TAG_HEADER + plain + (_TAG_HEADER if header[5] & _HAS_FOOTER else 0)


def _frames_within(head: bytes) -> str | None:
    """A row of frames at the beginning, or behind what a cut stream or an old encoder left there."""
    start = head.find(b"\xff")
    while start != -1:
        found = _row(head, start)
        if found is not None:
            return found
        start = head.find(b"\xff", start + 1)
    return None


def _row(data: bytes, start: int) -> str | None:
    """The type of the frames that begin at `start`; two do where the bytes end, and one that is all of them."""
    first = data[start : start + 4]
    position = start
    for count in range(_ROW):
        header = data[position : position + 7]
        length = _frame_length(header)
        if length is None or not _is_alike(first, header):
            return None
        position += length
        if position >= len(data):
            is_all = start == 0 and position == len(data)
            return _named(first) if count or is_all else None
    return _named(first)


def _named(header: bytes) -> str:
    return "audio/aac" if _is_adts(header) else "audio/mpeg"


def _is_alike(one: bytes, other: bytes) -> bool:
    """Whether two frames are of one stream: version, layer and sampling rate do not change within it."""
    mask = 0x3C if _is_adts(one) else 0x0C
    return one[:1] == other[:1] and (one[1] ^ other[1]) & 0xFE == 0 and one[2] & mask == other[2] & mask


def _is_adts(header: bytes) -> bool:
    return header[1] & 0xF6 == 0xF0  # noqa: PLR2004 - the layer bits are zero (ISO 13818-7 §6.2)


def _frame_length(header: bytes) -> int | None:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - the sync
        return None
    return _adts_length(header) if _is_adts(header) else _mpeg_length(header)


def _adts_length(header: bytes) -> int | None:
    if len(header) < 7 or header[2] >> 2 & 0x0F > 12:  # noqa: PLR2004 - a header has seven bytes; 13 rates
        return None
    length = (header[3] & 0x03) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= 7 else None  # noqa: PLR2004 - a frame holds its header


def _mpeg_length(header: bytes) -> int | None:
    """Bytes of an MPEG audio frame. Layer I is extinct, and FF FE begins UTF-16; a free bit rate tells no length."""
    version, layer = header[1] >> 3 & 0x03, 4 - (header[1] >> 1 & 0x03)
    bit_rate, rate, padding = header[2] >> 4, header[2] >> 2 & 0x03, header[2] >> 1 & 0x01
    if version == 1 or layer not in {2, 3} or bit_rate in {0, 15} or rate == 3:  # noqa: PLR2004 - reserved values
        return None
    newest = version == 3  # noqa: PLR2004 - MPEG-1; 2 is MPEG-2, 0 is MPEG-2.5
    hertz = _RATES[rate] >> (3 - version if version else 2)
    samples = 1152 if newest or layer == 2 else 576  # noqa: PLR2004 - layer II
    return samples // 8 * _BIT_RATES[newest, layer][bit_rate - 1] * 1000 // hertz + padding
