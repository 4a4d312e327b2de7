"""Reading films with OpenCV, frame by frame. What a file claims is checked before it is decoded (S12, S13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2

from penstock.adapters.runners.builtin.faults import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.adapters.runners.builtin.planes import Plane

LARGEST_SIDE = 4096
_NOT_A_FILM = "the file is not a film that can be read; MP4, MOV, WebM and Matroska can"
_HEAD = 12
_MATROSKA = b"\x1a\x45\xdf\xa3"
_MOST_FRAMES_SKIPPED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """A film that can be read. `size` is (width, height); `seconds` as its headers say, 0 when they do not."""

    path: Path
    size: tuple[int, int]
    rate: float
    seconds: float


def is_film(path: Path) -> bool:
    """Whether a file begins as a film of one of the two containers."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head[4:8] == b"ftyp" or head.startswith(_MATROSKA)


def open_footage(path: Path) -> Footage:
    """Look at a film's headers. Raises `UnusableInputError`.

    Only two containers are let through to the demuxers, by their first bytes: others can name further files to open.
    """
    if not is_film(path):
        raise UnusableInputError(_NOT_A_FILM)
    film = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not film.isOpened():
            raise UnusableInputError(_NOT_A_FILM)
        width, height = (int(film.get(what)) for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        rate, count = film.get(cv2.CAP_PROP_FPS), film.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        film.release()
    if min(width, height) < 1:
        raise UnusableInputError(_NOT_A_FILM)
    if max(width, height) > LARGEST_SIDE:
        raise UnusableInputError(f"the film is {width} × {height} pixels; a side may have at most {LARGEST_SIDE}")
    rate = rate if 1 <= rate <= 240 else 24.0  # noqa: PLR2004 - some headers say nothing, or nonsense
    return Footage(path=path, size=(width, height), rate=rate, seconds=max(0.0, count / rate))


def pictures(footage: Footage, *, every: float, seconds: float) -> Iterator[Plane]:
    """The film's picture at each multiple of `every` seconds, from its start for at most `seconds`. 8-bit BGR.

    Raises `UnusableInputError` when there is none at all.
    """
    film = cv2.VideoCapture(str(footage.path), cv2.CAP_FFMPEG)
    shown, wanted = 0, 0.0
    try:
        for index in range(_MOST_FRAMES_SKIPPED):
            moment = index / footage.rate
            if moment >= seconds or not film.grab():
                break
            if moment + 1e-6 < wanted:
                continue
            read, picture = film.retrieve()
            if not read:
                break
            shown += 1
            wanted += every
            yield picture
    finally:
        film.release()
    if not shown:
        raise UnusableInputError(_NOT_A_FILM)
