"""How what is in the middle of a film moves, as a path for a camera: it sways, nears, withdraws and turns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.camera import Frame
from penstock.adapters.runners.builtin.cutout import resized

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.adapters.runners.builtin.planes import Plane

_SIDE = 320
_ZOOM = 1.25
"""Room to move in: so much closer than the whole picture is the camera."""
_GAIN = 6.0
"""A way of a sixth of the film's width takes the camera about as far as there is room."""
_MOST_ROLL = math.radians(12)
_LEAST_POINTS = 6
_STILL = np.eye(3)


def sway(pictures: Iterable[Plane]) -> list[Frame]:
    """The camera's frames, one for each of a film's pictures (8-bit BGR, all of one size).

    The camera moves against what it shall show to move: what goes right in the film goes right before the camera.
    """
    path: list[Frame] = []
    position = _STILL
    before: Plane | None = None
    for picture in pictures:
        grey = cv2.cvtColor(resized(picture, _SIDE), cv2.COLOR_BGR2GRAY)
        if before is not None:
            position = _step(before, grey) @ position
        before = grey
        path.append(_frame(position, grey.shape))
    return path


def _step(before: Plane, after: Plane) -> Plane:
    """How the middle went from one picture to the next: a 3 × 3 matrix of moving, turning and growing."""
    middle = np.zeros_like(before)
    height, width = before.shape
    middle[height // 8 : height - height // 8, width // 5 : width - width // 5] = 255
    points = cv2.goodFeaturesToTrack(before, 150, 0.01, 6, mask=middle)
    if np.size(points) < 2 * _LEAST_POINTS:  # None where it found none, whatever its types say
        return _STILL
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, np.empty_like(points))
    kept = found.ravel() == 1
    if int(kept.sum()) < _LEAST_POINTS:
        return _STILL
    matrix, _ = cv2.estimateAffinePartial2D(points[kept], moved[kept], ransacReprojThreshold=1.5)
    return _STILL if matrix is None else np.vstack([matrix, [0, 0, 1]])


def _frame(position: Plane, shape: tuple[int, ...]) -> Frame:
    height, width = shape[:2]
    middle = np.array([width / 2, height / 2, 1.0])
    right, down = (position @ middle - middle)[:2] / width
    grown = math.hypot(position[0, 0], position[1, 0])
    roll = math.atan2(position[1, 0], position[0, 0])
    return Frame(
        right=-math.tanh(_GAIN * float(right)),
        down=-math.tanh(_GAIN * float(down)),
        zoom=_ZOOM * min(1.3, max(1 / _ZOOM, grown)),
        roll=-min(_MOST_ROLL, max(-_MOST_ROLL, roll)),
    )
