"""Writing films. Frames are 8-bit BGR of one shape with even sides.

VP9 in WebM needs nothing but OpenCV. With the extra `media` (PyAV, whose wheels hold GPL encoders) the same is written
several times faster, and H.264 in MP4 as well.
"""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import cv2

from penstock.adapters.runners.builtin.faults import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from penstock.adapters.runners.builtin.planes import Plane

FRAMES_PER_SECOND = 24
_INSTALLED = find_spec("av") is not None
"""Whether there is PyAV. It is imported on first use: most runs make no film."""
NO_MP4 = "output_format: this server can write WebM only; its operator can add MP4: pip install 'penstock[media]'"
_UNWRITABLE = "the film could not be written"
_THREADS = 2
# Speed before size: this is a demo on a CPU.
_CODECS = {
    "mp4": ("libx264", {"preset": "veryfast", "crf": "20"}, {"movflags": "+faststart"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "30", "b": "0"}, {}),
}
_BT709 = 1


class FilmWriter(Protocol):
    """Takes one frame after the other."""

    def write(self, image: Plane, /) -> object: ...


def film_format(wanted: str | None) -> str:
    """The format to write: the one wanted, else MP4 where it can be written, else WebM.

    Raises `UnusableInputError` where the one wanted cannot be.
    """
    if wanted is None:
        return "mp4" if _INSTALLED else "webm"
    if wanted == "mp4" and not _INSTALLED:
        raise UnusableInputError(NO_MP4)
    return wanted


def film_writer(path: Path, extension: str, *, size: tuple[int, int]) -> AbstractContextManager[FilmWriter]:
    """A writer of frames of `size` (width, height), `FRAMES_PER_SECOND`; the file is whole when the block has ended."""
    return av_writer(path, extension, size=size) if _INSTALLED else opencv_writer(path, size=size)


@contextlib.contextmanager
def opencv_writer(path: Path, *, size: tuple[int, int]) -> Iterator[FilmWriter]:
    """VP9 in WebM. Some five frames of 1280 × 720 a second per core; its encoder cannot be told to hurry."""
    named = path.with_name(f"{path.name}.webm")  # OpenCV takes the container from the name
    film = cv2.VideoWriter(str(named), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP90"), FRAMES_PER_SECOND, size)
    if not film.isOpened():
        raise UnusableInputError(_UNWRITABLE)
    try:
        yield film
    finally:
        film.release()
    named.replace(path)


@contextlib.contextmanager
def av_writer(path: Path, extension: str, *, size: tuple[int, int]) -> Iterator[FilmWriter]:
    """VP9 in WebM or H.264 in MP4, by PyAV."""
    film = _AvFilm(path, extension, size=size)
    yield film
    film.close()


class _AvFilm:
    def __init__(self, path: Path, extension: str, *, size: tuple[int, int]) -> None:
        import av  # noqa: PLC0415 - an extra that not everybody installs
        import av.logging  # noqa: PLC0415 - likewise
        from av.video.reformatter import ColorRange, Colorspace  # noqa: PLC0415 - likewise

        av.logging.set_level(None)
        codec, options, container = _CODECS[extension]
        self._file = av.open(str(path), "w", format=extension, options=container)
        stream = self._file.add_stream(codec, rate=FRAMES_PER_SECOND, options=options)
        if not isinstance(stream, av.VideoStream):
            raise UnusableInputError(_UNWRITABLE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        coder = stream.codec_context
        coder.thread_count = _THREADS
        # Said, because players guess by the size what is left open.
        coder.colorspace = coder.color_primaries = coder.color_trc = _BT709
        coder.color_range = ColorRange.MPEG
        self._stream = stream
        self._picture = av.VideoFrame.from_ndarray
        self._space = Colorspace.ITU709

    def write(self, image: Plane, /) -> None:
        picture = self._picture(image, format="bgr24")
        self._file.mux(self._stream.encode(picture.reformat(format="yuv420p", dst_colorspace=self._space)))

    def close(self) -> None:
        self._file.mux(self._stream.encode(None))
        self._file.close()
