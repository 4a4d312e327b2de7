"""Films and sounds: facts from their headers, the same with and without a decoder; posters and waveforms with one."""

from __future__ import annotations

import io
import math
import os
import wave
from array import array
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from penstock.adapters.media import boxes, matroska, sounds
from penstock.adapters.media.found import Found

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.ports.media import Inspection
    from tests.adapters.media.conftest import Look

FILMS = {
    "video/mp4": ("mp4", "libx264", "h264"),
    "video/quicktime": ("mov", "mpeg4", "mpeg4"),
    "video/webm": ("webm", "libvpx-vp9", "vp9"),
    "video/x-matroska": ("matroska", "mpeg4", "mpeg4"),
    "video/avi": ("avi", "mpeg4", "mpeg4"),
}
SOUNDS = {
    "audio/mpeg": ("mp3", "libmp3lame", "s16p", 44_100),
    "audio/flac": ("flac", "flac", "s16", 44_100),
    "audio/ogg": ("ogg", "libopus", "s16", 48_000),
    "audio/mp4": ("ipod", "aac", "fltp", 44_100),
}


def av() -> Any:  # noqa: ANN401 - a module
    """PyAV; in CI it must be there."""
    if "CI" in os.environ:
        import av  # noqa: PLC0415 - an extra

        return av
    return pytest.importorskip("av")


def film(kind: str) -> bytes:
    form, codec, _ = FILMS[kind]
    target = io.BytesIO()
    with av().open(target, "w", format=form) as made:
        stream = made.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(25):
            made.mux(stream.encode(av().VideoFrame.from_image(Image.new("RGB", (320, 240), (200, 20, 20)))))
        made.mux(stream.encode())
    return target.getvalue()


def sound(kind: str) -> bytes:
    form, codec, samples, rate = SOUNDS[kind]
    target = io.BytesIO()
    with av().open(target, "w", format=form) as made:
        stream = made.add_stream(codec, rate=rate)
        frame = av().AudioFrame(format="s16", layout="mono", samples=rate * 2)
        frame.planes[0].update(tone(rate * 2))
        frame.sample_rate = rate
        fifo = av().AudioFifo()
        for part in av().AudioResampler(format=samples, layout="stereo", rate=rate).resample(frame):
            part.pts = None
            fifo.write(part)
        while (part := fifo.read(stream.codec_context.frame_size or 1024, partial=True)) is not None:
            made.mux(stream.encode(part))
        made.mux(stream.encode())
    return target.getvalue()


def tone(samples: int) -> bytes:
    return array("h", [int(20_000 * math.sin(place / 20)) for place in range(samples)]).tobytes()


def wav(*, seconds: int = 2, width: int = 2, channels: int = 1) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as made:
        made.setnchannels(channels)
        made.setsampwidth(width)
        made.setframerate(8000)
        made.writeframes(tone(8000 * seconds * channels * width // 2))
    return target.getvalue()


def bars(seen: Inspection) -> int:
    """How many columns of a waveform are not empty."""
    assert seen.problem is None
    assert seen.thumbnail is not None
    image = Image.open(io.BytesIO(seen.thumbnail), formats=["WEBP"]).convert("RGBA")
    assert image.size == (512, 160)
    return sum(1 for opacity in image.getchannel("A").crop((0, 80, 512, 81)).tobytes()[1::4] if opacity)


@pytest.mark.parametrize("kind", FILMS)
def test_a_film_has_facts_and_a_poster(look: Look, kind: str) -> None:
    seen = look(film(kind), kind)

    assert seen.problem is None
    assert seen.facts is not None
    assert (seen.facts.width, seen.facts.height, seen.facts.video_codec) == (320, 240, FILMS[kind][2])
    assert seen.facts.duration == pytest.approx(1.0, abs=0.05)
    assert seen.facts.fps == pytest.approx(25, abs=1.1)
    assert seen.thumbnail is not None
    poster = Image.open(io.BytesIO(seen.thumbnail), formats=["WEBP"]).convert("RGB")
    red, green, blue = poster.getpixel((160, 120))  # type: ignore[misc]  # three bands
    assert (poster.size, red > 150, green < 70, blue < 70) == ((320, 240), True, True, True)


@pytest.mark.parametrize("kind", SOUNDS)
def test_a_compressed_sound_has_facts_and_a_waveform(look: Look, kind: str) -> None:
    seen = look(sound(kind), kind)

    assert bars(seen) > 80
    assert seen.facts is not None
    assert (seen.facts.channels, seen.facts.sample_rate) == (2, SOUNDS[kind][3])
    assert seen.facts.duration == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("kind", ["video/mp4", "video/quicktime", "video/webm", "video/x-matroska"])
def test_headers_alone_tell_of_a_film(kind: str) -> None:
    found = Found()

    (boxes if kind in {"video/mp4", "video/quicktime"} else matroska).film(io.BytesIO(film(kind)), found)

    assert (found.facts["width"], found.facts["height"], found.facts["video_codec"]) == (320, 240, FILMS[kind][2])
    assert found.facts["duration"] == pytest.approx(1.0, abs=0.05)


HEADERS: dict[str, Callable[[io.BytesIO, Found], None]] = {
    "audio/mpeg": lambda file, found: sounds.mp3(file, found, complete=True),
    "audio/flac": sounds.flac,
    "audio/ogg": sounds.ogg,
    "audio/mp4": boxes.film,
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_alone_tell_of_a_sound(kind: str) -> None:
    found = Found()

    HEADERS[kind](io.BytesIO(sound(kind)), found)

    assert (found.facts["channels"], found.facts["sample_rate"]) == (2, SOUNDS[kind][3])
    assert found.facts["duration"] == pytest.approx(2.0, abs=0.1)


def test_mp3_frames_are_counted_where_nothing_says_how_many_there_are() -> None:
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    found = Found()

    sounds.mp3(io.BytesIO(frame * 100), found, complete=True)

    assert found.facts["duration"] == pytest.approx(100 * 1152 / 44_100)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_wav_is_drawn_without_a_decoder(look: Look, width: int) -> None:
    seen = look(wav(width=width, channels=2), "audio/wav")

    assert bars(seen) == 128
    assert seen.facts is not None
    assert (seen.facts.duration, seen.facts.channels, seen.facts.sample_rate) == (2.0, 2, 8000)
    assert seen.facts.audio_codec == "pcm"
