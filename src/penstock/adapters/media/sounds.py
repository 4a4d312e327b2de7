"""Sounds: what their headers say of length, channels and rate. WAV is also read for its waveform, without a decoder."""

from __future__ import annotations

import math
import struct
from array import array
from typing import TYPE_CHECKING

from penstock.adapters.media import waveform
from penstock.adapters.media.faults import BROKEN, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from penstock.adapters.media.found import Found

_MOST_CHUNKS = 1000
_COLUMN_FRAMES = 1024
_MOST_FRAME_BYTES = 64
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_CODECS = {
    _PCM: "pcm",
    _FLOAT: "pcm_float",
    2: "adpcm_ms",
    6: "pcm_alaw",
    7: "pcm_mulaw",
    0x11: "adpcm_ima",
    0x55: "mp3",
}
_NOT_DRAWN = "there is no decoder here for samples of this form"
_TAIL_BYTES = 65_536
_OPUS_RATE = 48_000


def wav(file: BinaryIO, found: Found, *, want_thumbnail: bool) -> None:
    """RIFF or RF64 chunks. Raises `UnreadableError` for what has no samples."""
    end = file.seek(0, 2)
    shape, start, length = _wav_chunks(file, end)
    if shape is None:
        raise UnreadableError(BROKEN)
    form, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", shape)
    if form == _EXTENSIBLE and len(shape) >= 26:  # noqa: PLR2004 - the sub-format's first two bytes
        form = struct.unpack_from("<H", shape, 24)[0]
    per_second = struct.unpack_from("<I", shape, 8)[0]
    found.add(audio_codec=_CODECS.get(form), channels=channels or None, sample_rate=rate or None)
    if not (channels and rate and block and per_second):
        raise UnreadableError(BROKEN)
    found.add(duration=length / per_second)
    if want_thumbnail:
        if form not in {_PCM, _FLOAT} or length < block or block > _MOST_FRAME_BYTES:
            raise UnreadableError(_NOT_DRAWN)
        found.thumbnail = waveform.draw(_wav_peaks(file, start, length, block, _sample(form, bits)))


def _wav_chunks(file: BinaryIO, end: int) -> tuple[bytes | None, int, int]:
    """The format, and where the samples begin and how many bytes they have, as far as the file goes."""
    shape: bytes | None = None
    place = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:  # noqa: PLR2004 - a name and a size
            break
        name, size = struct.unpack("<4sI", head)
        if name == b"fmt ":
            body = file.read(min(size, 64))
            shape = body if len(body) >= 16 else None  # noqa: PLR2004 - the least there is
        elif name == b"data":
            return shape, place + 8, min(size, end - place - 8)
        place += 8 + size + size % 2
    return None, 0, 0


def _sample(form: int, bits: int) -> tuple[str, int, float]:
    """How `array` reads a sample, its bytes, and the largest value. Raises `UnreadableError`."""
    known = {
        (_PCM, 8): ("B", 1, 128.0),
        (_PCM, 16): ("h", 2, 32768.0),
        (_PCM, 24): ("h", 3, 32768.0),
        (_PCM, 32): ("i", 4, 2147483648.0),
        (_FLOAT, 32): ("f", 4, 1.0),
        (_FLOAT, 64): ("d", 8, 1.0),
    }.get((form, bits))
    if known is None:
        raise UnreadableError(_NOT_DRAWN)
    return known


def _wav_peaks(file: BinaryIO, start: int, length: int, block: int, sample: tuple[str, int, float]) -> list[float]:
    """Of each column, the loudest sample of some frames at its place, 0 to 1."""
    code, width, full = sample
    frames = length // block
    peaks = []
    columns = min(waveform.COLUMNS, frames)
    for column in range(columns):
        file.seek(start + frames * column // columns * block)
        data = file.read(min(_COLUMN_FRAMES, frames // columns + 1) * block)
        data = data[: len(data) // block * block]
        values = _values(data, code, width)
        loudest = max(abs(max(values)), abs(min(values))) if values else 0.0
        peaks.append(min(1.0, loudest / full) if loudest <= 2 * full else 1.0)
    return peaks


def _values(data: bytes, code: str, width: int) -> Sequence[float]:
    """The samples; what is no number is silent."""
    if width == 3:  # noqa: PLR2004 - the two upper bytes of each will do
        upper = bytearray(len(data) // 3 * 2)
        upper[0::2], upper[1::2] = data[1::3], data[2::3]
        return array("h", bytes(upper))
    values = array(code, data)
    if code == "B":
        return [value - 128 for value in values]
    return values if code in {"h", "i"} else [value if math.isfinite(value) else 0.0 for value in values]


def flac(file: BinaryIO, found: Found) -> None:
    """STREAMINFO, which is the first block (RFC 9639 §8.2)."""
    file.seek(0)
    head = file.read(42)
    if len(head) < 42:  # noqa: PLR2004 - mark, block head, STREAMINFO
        raise UnreadableError(BROKEN)
    packed = int.from_bytes(head[18:26], "big")
    rate, channels, samples = packed >> 44, ((packed >> 41) & 7) + 1, packed & ((1 << 36) - 1)
    found.add(audio_codec="flac", sample_rate=rate or None, channels=channels)
    if rate and samples:
        found.add(duration=samples / rate)


def ogg(file: BinaryIO, found: Found) -> None:
    """Opus (RFC 7845) and Vorbis: the first page's header, and the last page's position."""
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(4096)
    file.seek(max(0, end - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    skipped = 0
    if (place := head.find(b"OpusHead")) >= 0:
        channels, skipped = struct.unpack_from("<BH", head, place + 9)
        codec, rate = "opus", _OPUS_RATE
    elif (place := head.find(b"\x01vorbis")) >= 0:
        channels, rate = struct.unpack_from("<BI", head, place + 11)
        codec = "vorbis"
    else:
        return
    found.add(audio_codec=codec, channels=channels or None, sample_rate=rate or None)
    last = tail.rfind(b"OggS")
    if last >= 0 and last + 14 <= len(tail) and rate:
        samples = struct.unpack_from("<q", tail, last + 6)[0] - skipped
        if samples > 0:
            found.add(duration=samples / rate)


_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MOST_FRAMES = 400_000


def mp3(file: BinaryIO, found: Found, *, complete: bool) -> None:
    """Layer III: the encoder's own count (Xing, Info), or the frames counted one by one (ISO 11172-3 §2.4)."""
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:  # noqa: PLR2004 - a tag's head; its size in four times seven bits
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    file.seek(start)
    first = file.read(4096)
    sync = next((place for place in range(len(first) - 4) if _mp3_frame(first[place : place + 4])), None)
    if sync is None:
        raise UnreadableError(BROKEN)
    size, samples, rate, channels = _mp3_frame(first[sync : sync + 4]) or (0, 0, 0, 0)
    found.add(audio_codec="mp3", sample_rate=rate, channels=channels)
    mark = max(first.find(b"Xing", sync, sync + size), first.find(b"Info", sync, sync + size))
    if mark >= 0 and len(first) >= mark + 12 and first[mark + 7] & 1:
        found.add(duration=int.from_bytes(first[mark + 8 : mark + 12], "big") * samples / rate)
    elif complete:
        _mp3_walk(file, start + sync, end, found)


def _mp3_walk(file: BinaryIO, place: int, end: int, found: Found) -> None:
    seconds = 0.0
    file.seek(place)
    data = memoryview(file.read(min(end - place, 64 << 20)))
    at = 0
    for _ in range(_MOST_FRAMES):
        frame = _mp3_frame(bytes(data[at : at + 4]))
        if frame is None:
            break
        seconds += frame[1] / frame[2]
        at += frame[0]
    if seconds and (at >= len(data) - 4096 or place + at >= end):
        found.add(duration=seconds)


def _mp3_frame(head: bytes) -> tuple[int, int, int, int] | None:
    """Bytes, samples, rate and channels of the Layer III frame with this head."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # noqa: PLR2004 - sync and layer
        return None
    version, bits, rates = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _RATES or bits in {0, 15} or rates == 3:  # noqa: PLR2004 - reserved values
        return None
    rate = _RATES[version][rates]
    kbits = (_KBITS_1 if version == 3 else _KBITS_2)[bits]  # noqa: PLR2004 - MPEG-1
    samples = 1152 if version == 3 else 576  # noqa: PLR2004 - likewise
    size = samples // 8 * kbits * 1000 // rate + (head[2] >> 1 & 1)
    return size, samples, rate, 1 if head[3] >> 6 == 3 else 2  # noqa: PLR2004 - single channel
