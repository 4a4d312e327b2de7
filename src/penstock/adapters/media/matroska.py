"""WebM and Matroska: what the head of the file says of length, size and codecs (RFC 9559). Nothing is decoded."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from penstock.adapters.media.found import Found

_HEAD_BYTES = 1 << 20
_MOST_ELEMENTS = 10_000
_EBML, _SEGMENT, _INFO, _TRACKS, _TRACK, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0x1F43B675
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TYPE, _CODEC, _FRAME_TIME, _VIDEO, _AUDIO = 0x83, 0x86, 0x23E383, 0xE0, 0xE1
_WIDTH, _HEIGHT, _RATE, _CHANNELS = 0xB0, 0xBA, 0xB5, 0x9F
_FILM, _SOUND = 1, 2
_NANOSECONDS = 1_000_000_000
_CODECS = {
    "V_MPEG4/ISO/ASP": "mpeg4",
    "V_VP8": "vp8",
    "V_VP9": "vp9",
    "V_AV1": "av1",
    "V_MPEG4/ISO/AVC": "h264",
    "V_MPEGH/ISO/HEVC": "hevc",
    "A_OPUS": "opus",
    "A_VORBIS": "vorbis",
    "A_AAC": "aac",
    "A_FLAC": "flac",
    "A_MPEG/L3": "mp3",
    "A_AC3": "ac3",
}


def film(file: BinaryIO, found: Found) -> None:
    """Facts from `Info` and `Tracks`, if they stand before the first cluster."""
    file.seek(0)
    head = memoryview(file.read(_HEAD_BYTES))
    for name, body in _elements(head):
        if name == _SEGMENT:
            _segment(body, found)


def _segment(segment: memoryview, found: Found) -> None:
    for name, body in _elements(segment):
        if name == _INFO:
            _info(dict(_elements(body)), found)
        elif name == _TRACKS:
            for kind, track in _elements(body):
                if kind == _TRACK:
                    _track(dict(_elements(track)), found)
        elif name == _CLUSTER:
            return


def _info(info: dict[int, memoryview], found: Found) -> None:
    scale = int.from_bytes(info[_SCALE], "big") if _SCALE in info else 1_000_000
    length = _float(info.get(_DURATION))
    if length and scale:
        found.add(duration=length * scale / _NANOSECONDS)


def _track(track: dict[int, memoryview], found: Found) -> None:
    sort = int.from_bytes(track.get(_TYPE, b""), "big")
    codec = bytes(track.get(_CODEC, b"")[:40]).decode("ascii", "replace")
    known = _CODECS.get(codec) or codec.partition("_")[2].lower() or None
    if sort == _FILM and "video_codec" not in found.facts:
        shape = dict(_elements(track.get(_VIDEO, memoryview(b""))))
        time = int.from_bytes(track.get(_FRAME_TIME, b""), "big")
        width, height = (int.from_bytes(shape.get(side, b""), "big") or None for side in (_WIDTH, _HEIGHT))
        fps = round(_NANOSECONDS / time, 3) if time else None
        found.add(video_codec=known, width=width, height=height, fps=fps)
    elif sort == _SOUND and "audio_codec" not in found.facts:
        sound = dict(_elements(track.get(_AUDIO, memoryview(b""))))
        channels = int.from_bytes(sound.get(_CHANNELS, b"\1"), "big")
        rate = _float(sound.get(_RATE))
        found.add(audio_codec=known, channels=channels or None, sample_rate=int(rate) if rate else None)


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Each element's id and body; a length that is unknown, or beyond the end, goes to the end."""
    place = 0
    for _ in range(_MOST_ELEMENTS):
        if place >= len(data):
            return
        width = _width(data[place])
        name = int.from_bytes(data[place : place + width], "big")
        place += width
        if place >= len(data):
            return
        width = _width(data[place])
        size = int.from_bytes(data[place : place + width], "big") & ((1 << (7 * width)) - 1)
        if size == (1 << (7 * width)) - 1:
            size = len(data)
        place += width
        yield name, data[place : place + size]
        place += size


def _width(first: int) -> int:
    """Of a number, in bytes: one more than the zero bits that it begins with."""
    return 9 - first.bit_length() if first else 8


def _float(body: memoryview | None) -> float | None:
    if body is None or len(body) not in {4, 8}:
        return None
    value = struct.unpack(">f" if len(body) == 4 else ">d", body)[0]  # noqa: PLR2004 - single or double
    return float(value) if 0 < value < float("inf") else None
