"""MP4, QuickTime and their kin, and HEIF pictures: what their boxes say of size, length and codecs (ISO 14496-12).

Nothing is decoded, no claim of a length is believed beyond the file's end, and every walk is bounded.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from penstock.adapters.media.found import Found

_MOST_BOXES = 10_000
_MOST_INDEX_BYTES = 64 << 20
_LONG, _TO_THE_END = 1, 0
_CODECS = {
    b"avc1": "h264",
    b"avc3": "h264",
    b"hvc1": "hevc",
    b"hev1": "hevc",
    b"av01": "av1",
    b"vp08": "vp8",
    b"vp09": "vp9",
    b"mp4v": "mpeg4",
    b"mp4a": "aac",
    b"Opus": "opus",
    b"fLaC": "flac",
    b".mp3": "mp3",
    b"ac-3": "ac3",
    b"ec-3": "eac3",
    b"alac": "alac",
    b"apcn": "prores",
    b"apch": "prores",
    b"jpeg": "mjpeg",
}
_UNKNOWN_DURATION = (2**32 - 1, 2**64 - 1)
_QUARTER_TURNS = frozenset({1, 3})


def film(file: BinaryIO, found: Found) -> None:
    """Facts from the index (`moov`) of a film or a sound."""
    moov = _index(file, b"moov")
    if moov is None:
        return
    for kind, body in _boxes(moov):
        if kind == b"mvhd":
            _duration(body, found)
        elif kind == b"trak":
            _track(body, found)


def still(file: BinaryIO, found: Found) -> None:
    """Width and height, as shown, of the largest picture in a HEIF file."""
    meta = _index(file, b"meta")
    if meta is None:
        return
    largest, turned = (0, 0), False
    for kind, body in _inside(meta[4:], b"iprp", b"ipco"):
        if kind == b"ispe" and len(body) >= 12:  # noqa: PLR2004 - version, width, height
            largest = max(largest, struct.unpack_from(">II", body, 4), key=lambda size: size[0] * size[1])
        elif kind == b"irot" and body:
            turned = body[0] & 3 in _QUARTER_TURNS
    if all(largest):
        width, height = reversed(largest) if turned else largest
        found.add(width=width, height=height)


def _index(file: BinaryIO, wanted: bytes) -> memoryview | None:
    """The body of a box at the top of the file."""
    end = file.seek(0, 2)
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:  # noqa: PLR2004 - a size and a name
            return None
        size, start = int.from_bytes(head[:4], "big"), 8
        if size == _LONG:
            size, start = int.from_bytes(head[8:16], "big"), 16
        elif size == _TO_THE_END:
            size = end - place
        if size < start:
            return None
        if head[4:8] == wanted:
            file.seek(place + start)
            return memoryview(file.read(min(size - start, _MOST_INDEX_BYTES)))
        place += size
    return None


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    place = 0
    for _ in range(_MOST_BOXES):
        if place + 8 > len(data):
            return
        size = int.from_bytes(data[place : place + 4], "big") or len(data) - place
        if size < 8:  # noqa: PLR2004 - a size and a name
            return
        yield bytes(data[place + 4 : place + 8]), data[place + 8 : place + size]
        place += size


def _inside(data: memoryview, *path: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The boxes in the first box of that path."""
    for name in path:
        data = next((body for kind, body in _boxes(data) if kind == name), memoryview(b""))
    return _boxes(data)


def _time(body: memoryview) -> tuple[int, int]:
    """Ticks per second, and ticks, of `mvhd` and `mdhd`: version 0 has 32 bits, version 1 has 64."""
    if body[0] == 1:
        scale, ticks = struct.unpack_from(">IQ", body, 20)
    else:
        scale, ticks = struct.unpack_from(">II", body, 12)
    return scale, 0 if ticks in _UNKNOWN_DURATION else ticks


def _duration(body: memoryview, found: Found) -> None:
    scale, ticks = _time(body)
    if scale and ticks:
        found.add(duration=ticks / scale)


def _track(trak: memoryview, found: Found) -> None:
    parts = dict(_boxes(trak))
    media = dict(_boxes(parts.get(b"mdia", memoryview(b""))))
    handler = bytes(media[b"hdlr"][8:12]) if b"hdlr" in media else b""
    table = dict(_inside(media.get(b"minf", memoryview(b"")), b"stbl"))
    entry = table.get(b"stsd", memoryview(b""))[8:]
    if handler == b"vide" and "video_codec" not in found.facts:
        found.add(video_codec=_codec(entry))
        if b"tkhd" in parts:
            _shown(parts[b"tkhd"], found)
        if b"mdhd" in media and b"stts" in table:
            _pace(media[b"mdhd"], table[b"stts"], found)
    elif handler == b"soun" and "audio_codec" not in found.facts:
        channels, rate = struct.unpack_from(">H6xI", entry, 24)
        found.add(audio_codec=_codec(entry), channels=channels or None, sample_rate=rate >> 16 or None)


def _codec(entry: memoryview) -> str | None:
    name = bytes(entry[4:8])
    return _CODECS.get(name) or "".join(chr(byte) for byte in name if 32 < byte < 127) or None  # noqa: PLR2004 - printable


def _shown(tkhd: memoryview, found: Found) -> None:
    """Width and height in 16.16 after a matrix, whose first element is zero for a quarter turn."""
    start = 52 if tkhd[0] == 1 else 40
    first, *_ = struct.unpack_from(">9i", tkhd, start)
    width, height = (side >> 16 for side in struct.unpack_from(">II", tkhd, start + 36))
    if first == 0:
        width, height = height, width
    found.add(width=width or None, height=height or None)


def _pace(mdhd: memoryview, stts: memoryview, found: Found) -> None:
    scale, ticks = _time(mdhd)
    entries = min(int.from_bytes(stts[4:8], "big"), (len(stts) - 8) // 8, _MOST_BOXES)
    frames = sum(struct.unpack_from(">I4x", stts, 8 + 8 * entry)[0] for entry in range(entries))
    if scale and ticks and frames > 1:
        found.add(fps=round(frames * scale / ticks, 3))
