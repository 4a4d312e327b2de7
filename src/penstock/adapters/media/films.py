"""Films and compressed sounds, by PyAV where it is installed: a poster frame, a waveform, and what headers left open.

FFmpeg gets bytes through an object of ours and nothing else: its demuxer is named by the type that the bytes show, any
other is off its list, no protocol is on one, and whatever wants to open a second file is refused (S13). No threads.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from penstock.adapters.media import pictures, waveform
from penstock.adapters.media.faults import BROKEN, UnreadableError

try:
    import av
    import av.error
    import av.logging
except ImportError:
    _INSTALLED = False  # an extra that not everybody installs
else:
    _INSTALLED = True

if TYPE_CHECKING:
    from penstock.adapters.media.found import Found

DEMUXERS = {
    **dict.fromkeys(("video/mp4", "video/quicktime", "video/3gpp", "audio/mp4"), "mov"),
    **dict.fromkeys(("video/webm", "video/x-matroska", "audio/webm"), "matroska"),
    "video/avi": "avi",
    "video/x-msvideo": "avi",
    "video/ogg": "ogg",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/aac": "aac",
}
_MOST_PACKETS = 5000
_MOST_SECONDS_HEARD = 600
_HEARD_RATE = 8000
_NO_AV = "no decoder for films and compressed sounds is installed on this server"


def installed() -> bool:
    """Whether there is PyAV."""
    return _INSTALLED


def version() -> str:
    """What opens films, in words."""
    return f"PyAV {av.__version__}" if _INSTALLED else "none"


def prepare() -> None:
    """What libraries do on first use is done now."""
    if not _INSTALLED:
        return
    av.logging.set_level(None)
    sample = io.BytesIO()
    with av.open(sample, "w", format="matroska") as made:
        stream = made.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.thread_type = "NONE"
        for _ in range(3):
            made.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        made.mux(stream.encode())
    sample.seek(0)
    with _opened(sample, "matroska") as film:
        _picture(film.streams.video[0], film, 64 * 64)
    made_of = av.AudioFrame(format="s16", layout="mono", samples=1024)
    made_of.sample_rate = 44_100
    _resampler().resample(made_of)


def look(file: BinaryIO, content_type: str, found: Found, *, pixels: int, want_thumbnail: bool) -> None:
    """What headers left open, and a picture. Raises `UnreadableError`."""
    if not _INSTALLED:
        raise UnreadableError(_NO_AV)
    try:
        with _opened(file, DEMUXERS[content_type]) as film:
            _facts(film, found)
            if not want_thumbnail:
                return
            pictured = [stream for stream in film.streams.video if stream.codec_context is not None]
            if pictured:
                found.thumbnail = _picture(pictured[0], film, pixels)
            elif film.streams.audio:
                found.thumbnail = _heard(film.streams.audio[0], film, found.facts.get("duration"))
    except (UnreadableError, MemoryError):
        raise
    except av.error.MemoryError as error:
        raise MemoryError from error
    except Exception as error:  # FFmpeg's errors, and what a hostile file makes of its values
        raise UnreadableError(BROKEN) from error


def _opened(file: BinaryIO, demuxer: str) -> Any:  # noqa: ANN401 - PyAV's container
    return av.open(
        _Source(file),
        format=demuxer,
        io_open=_refuse,
        options={
            "format_whitelist": demuxer if demuxer != "mov" else "mov,mp4,m4a,3gp,3g2,mj2",
            "protocol_whitelist": "none",
            "enable_drefs": "0",
            "use_absolute_path": "0",
            "threads": "1",
        },
        metadata_errors="ignore",
    )


class _Source:
    """The one file, reduced to what a demuxer needs of it."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


def _refuse(*_arguments: object) -> NoReturn:
    raise PermissionError


def _facts(film: Any, found: Found) -> None:  # noqa: ANN401 - PyAV's container
    def add(name: str, value: Any) -> None:  # noqa: ANN401 - a number or a word
        if value and name not in found.facts:
            found.add(**{name: value})

    if not (film.streams.video or film.streams.audio or film.streams.subtitles):
        raise UnreadableError(BROKEN)  # FFmpeg opens a file that ends within its index
    if film.duration is not None and film.duration > 0:
        add("duration", film.duration / av.time_base)
    for stream in film.streams.video[:1]:
        context = stream.codec_context
        add("video_codec", context.codec.canonical_name if context.codec else None)
        add("width", context.width)
        add("height", context.height)
        add("fps", round(float(stream.average_rate), 3) if stream.average_rate else None)
    for stream in film.streams.audio[:1]:
        context = stream.codec_context
        add("audio_codec", context.codec.canonical_name if context.codec else None)
        add("channels", context.channels)
        add("sample_rate", context.sample_rate)


def _picture(stream: Any, film: Any, pixels: int) -> bytes:  # noqa: ANN401 - PyAV's stream and container
    if stream.codec_context.width * stream.codec_context.height > pixels:
        raise UnreadableError(pictures.too_many(pixels))
    frame = _poster(stream, film)
    if frame.width * frame.height > pixels:  # it may change on the way
        raise UnreadableError(pictures.too_many(pixels))
    small = frame.reformat(**_fitting(frame), format="rgb24", threads=1).to_image()
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return pictures.write(pictures.shrunk(small.rotate(90 * turns, expand=True) if turns else small))


def _fitting(frame: Any) -> dict[str, int]:  # noqa: ANN401 - PyAV's frame
    """Twice the thumbnail at most, so that no frame becomes RGB at its full size."""
    scale = min(1.0, 2 * pictures.SIDE / max(frame.width, frame.height))
    return {"width": max(1, round(frame.width * scale)), "height": max(1, round(frame.height * scale))}


def _poster(stream: Any, film: Any) -> Any:  # noqa: ANN401 - PyAV's stream, container and frame
    """The first frame that can be decoded."""
    stream.thread_type = "NONE"
    for number, packet in enumerate(film.demux(stream)):
        for frame in packet.decode():
            return frame
        if number > _MOST_PACKETS:
            break
    raise UnreadableError(BROKEN)


def _resampler() -> Any:  # noqa: ANN401 - PyAV's
    return av.AudioResampler(format="s16", layout="mono", rate=_HEARD_RATE)


def _heard(stream: Any, film: Any, duration: float | None) -> bytes:  # noqa: ANN401 - PyAV's stream and container
    """The waveform of the whole, or of the first ten minutes of what is longer."""
    stream.thread_type = "NONE"
    resampler = _resampler()
    seconds = min(duration or _MOST_SECONDS_HEARD, _MOST_SECONDS_HEARD)
    per_column = max(1, int(seconds * _HEARD_RATE) // waveform.COLUMNS)
    peaks: list[int] = []
    pending = b""
    try:
        for packet in film.demux(stream):
            for frame in packet.decode():
                pending += b"".join(bytes(part.planes[0])[: part.samples * 2] for part in resampler.resample(frame))
            while len(pending) >= per_column * 2 and len(peaks) < waveform.COLUMNS:
                peaks.append(_loudest(pending[: per_column * 2]))
                pending = pending[per_column * 2 :]
            if len(peaks) == waveform.COLUMNS:
                break
    except av.error.FFmpegError:
        if not peaks:
            raise
    if not peaks and pending:
        peaks.append(_loudest(pending[: len(pending) // 2 * 2]))
    if not peaks:
        raise UnreadableError(BROKEN)
    return waveform.draw([peak / 32_768 for peak in peaks])


def _loudest(samples: bytes) -> int:
    return max(abs(int(sample)) for (sample,) in struct.iter_unpack("<h", samples))
