"""A still picture as a film: the camera's frame cut out of it, once for every moment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.camera import frame_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.adapters.runners.builtin.camera import Frame, Move
    from penstock.adapters.runners.builtin.planes import Plane

_MOST_ROOM = 0.35
"""How far the frame's middle may leave the picture's, in widths (heights) of the frame."""


def film(bgr: Plane, move: Move, *, size: tuple[int, int], frames: int, phase: float) -> Iterator[Plane]:
    """The frames (8-bit BGR) of `size` (width, height) that a camera sees which makes `move` over the picture.

    The frame never leaves the picture, which is cut to the film's shape around its middle where it has another.
    """
    return film_along(bgr, [frame_at(move, index / max(1, frames - 1), phase=phase) for index in range(frames)], size)


def film_along(bgr: Plane, path: Sequence[Frame], size: tuple[int, int]) -> Iterator[Plane]:
    """The frames that a camera sees which is at each place of `path` in turn; as `film`."""
    spare = max(_spare(bgr, size, frame) for frame in path)
    closest = spare * max(frame.zoom for frame in path)
    stage = _stage(bgr, size, closest)
    for frame in path:
        yield _seen(stage, frame, size, spare)


def _view(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[float, float]:
    """The largest frame (width, height) of the film's shape that fits into the picture."""
    height, width = shape[:2]
    across = min(float(width), height * size[0] / size[1])
    return across, across * size[1] / size[0]


def _spare(bgr: Plane, size: tuple[int, int], frame: Frame) -> float:
    """How much closer the camera has to be for a rolled frame to stay inside the picture."""
    across, down = (length / frame.zoom for length in _view(bgr.shape, size))
    cosine, sine = math.cos(frame.roll), abs(math.sin(frame.roll))
    height, width = float(bgr.shape[0]), float(bgr.shape[1])
    return max(1.0, (across * cosine + down * sine) / width, (across * sine + down * cosine) / height)


def _stage(bgr: Plane, size: tuple[int, int], closest: float) -> Plane:
    """The picture no larger than the closest frame needs it."""
    across, _ = _view(bgr.shape, size)
    scale = size[0] * closest / across
    if scale >= 1:
        return bgr
    shape = (max(1, round(bgr.shape[1] * scale)), max(1, round(bgr.shape[0] * scale)))
    return cv2.resize(bgr, shape, interpolation=cv2.INTER_AREA)


def _seen(stage: Plane, frame: Frame, size: tuple[int, int], spare: float) -> Plane:
    height, width = stage.shape[:2]
    across, down = (length / (frame.zoom * spare) for length in _view(stage.shape, size))
    cosine, sine = math.cos(frame.roll), math.sin(frame.roll)
    reach_x = (across * cosine + down * abs(sine)) / 2
    reach_y = (across * abs(sine) + down * cosine) / 2
    x = width / 2 + frame.right * min(max(0.0, width / 2 - reach_x), _MOST_ROOM * across)
    y = height / 2 + frame.down * min(max(0.0, height / 2 - reach_y), _MOST_ROOM * down)
    scale = across / size[0]
    # Film pixel → stage pixel: middle to middle, turned and scaled.
    turn = np.array([[cosine, -sine], [sine, cosine]]) * scale
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    transform = np.column_stack([turn, np.array([x - 0.5, y - 0.5]) - turn @ middle])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(stage, transform, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
