"""Setting a cut-out into another picture: shadows where it stands, a touch of the new light, and then the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from penstock.adapters.runners.builtin.planes import Plane

_SIDE = 1024
"""Shadows are drawn at this many pixels along the longer side."""
_STRIP_ROWS = 256
_SOLID = 0.5
_TOUCHING = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where a subject is. `base` and `middle`: its lowest row and middle column, as fractions. `cut`: by the bottom."""

    base: float
    middle: float
    cut: bool


def find_stand(alpha: Plane) -> Stand:
    """Where the subject of an 8-bit alpha plane stands; an empty plane stands in the middle of the bottom."""
    solid = _small(alpha) > _SOLID
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not len(rows):
        return Stand(base=1.0, middle=0.5, cut=True)
    base = (int(rows[-1]) + 1) / len(solid)
    middle = float(columns[0] + columns[-1] + 1) / 2 / solid.shape[1]
    return Stand(base=base, middle=middle, cut=base > 1 - _TOUCHING)


def place(bgra: Plane, background: Plane, *, tint: float) -> Plane:
    """Lay 8-bit `bgra` over a float32 BGR `background` (0..1, any size), with its shadow. Returns 8-bit BGR.

    `tint`: how far the subject takes on the background's cast, 0 for not at all.
    """
    height, width = bgra.shape[:2]
    alpha = _small(bgra[..., 3])
    stand = find_stand(bgra[..., 3])
    shade = cv2.resize(_shadow(alpha, stand), background.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    dimmed = np.rint(np.clip(background * (1 - shade[..., None]), 0, 1) * 255).astype(np.uint8)
    ground: Plane = cv2.resize(dimmed, (width, height), interpolation=cv2.INTER_CUBIC)
    gain = _cast(background, tint)
    for first in range(0, height, _STRIP_ROWS):
        strip = bgra[first : first + _STRIP_ROWS]
        share = strip[..., 3:].astype(np.float32) / 255
        subject = np.clip(strip[..., :3] * gain, 0, 255) if tint else strip[..., :3]
        mixed = subject * share + ground[first : first + _STRIP_ROWS] * (1 - share)
        ground[first : first + _STRIP_ROWS] = np.rint(mixed)
    return ground


def _small(alpha: Plane) -> Plane:
    scale = min(1.0, _SIDE / max(alpha.shape))
    size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
    return cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _shadow(alpha: Plane, stand: Stand) -> Plane:
    """How dark the ground is, 0..1: a soft shadow close around the subject, and one that lies on the floor."""
    height, width = alpha.shape
    side = max(alpha.shape)
    if stand.cut:  # no floor in sight; a faint one on the wall behind
        return np.asarray(0.12 * cv2.GaussianBlur(_moved(alpha, side / 60, side / 90), (0, 0), side / 30))
    base = stand.base * height
    # Flattened to the floor: everything above the base lies down behind it, a little to the right.
    flat = np.array([[1, -0.35, 0.35 * base], [0, 0.16, base * 0.84]], dtype=np.float32)
    lying = cv2.warpAffine(alpha, flat, (width, height), flags=cv2.INTER_AREA)
    long = cv2.GaussianBlur(lying, (0, 0), side / 45)
    close = cv2.GaussianBlur(_moved(alpha, side / 220, side / 110), (0, 0), side / 110)
    return np.asarray(np.clip(1 - (1 - 0.36 * long) * (1 - 0.42 * close), 0, 1), dtype=np.float32)


def _moved(plane: Plane, right: float, down: float) -> Plane:
    transform = np.array([[1, 0, right], [0, 1, down]], dtype=np.float32)
    return cv2.warpAffine(plane, transform, plane.shape[::-1])


def _cast(background: Plane, tint: float) -> Plane:
    """A gain per channel towards the background's mean colour, of unchanged brightness."""
    mean = np.array(background.reshape(-1, 3).mean(axis=0), dtype=np.float32) + 1e-3
    return np.asarray(1 + tint * (mean / mean.mean() - 1), dtype=np.float32)
