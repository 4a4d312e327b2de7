"""Repaint a photograph, or a landscape made from the words of the prompt, in the style that the prompt asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin import styles
from penstock.adapters.runners.builtin.cutout import resized
from penstock.adapters.runners.builtin.painting import chance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.adapters.runners.builtin.planes import Plane

SMALLEST_CANVAS, LARGEST_CANVAS = 900, 1600
"""Strokes and grain are sized for canvases of this many pixels along the longer side."""


def stylize(bgr: Plane, style: str, *, tones: Sequence[str], strength: float, seed: int) -> Plane:
    """An 8-bit BGR picture in one of `styles.BY_NAME`, of the same size. `strength` 0 changes nothing but the tones."""
    height, width = bgr.shape[:2]
    side = min(LARGEST_CANVAS, max(SMALLEST_CANVAS, height, width))
    canvas = _toned(resized(bgr, side).astype(np.float32) / 255, tones)
    painted = styles.BY_NAME[style](np.clip(canvas, 0, 1), chance(style, seed))
    painted = _toned(painted, [tone for tone in tones if tone in {"black-and-white", "sepia"}])
    mixed = canvas + strength * (painted - canvas)
    eight_bits = np.rint(np.clip(mixed, 0, 1) * 255).astype(np.uint8)
    shrinks = height * width < eight_bits.shape[0] * eight_bits.shape[1]
    return np.asarray(
        cv2.resize(eight_bits, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    )


def _toned(picture: Plane, tones: Sequence[str]) -> Plane:
    for tone in tones:
        picture = np.clip(_with_tone(picture, tone), 0, 1)
    return np.asarray(picture, dtype=np.float32)


def _with_tone(picture: Plane, tone: str) -> Plane:
    grey = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_BGR2GRAY)[..., None]
    if tone == "black-and-white":
        return np.repeat(grey, 3, axis=2)
    if tone == "sepia":
        return np.asarray(grey * np.array([0.68, 0.88, 1.06], dtype=np.float32))
    if tone == "warm":
        return np.asarray(picture * np.array([0.78, 0.98, 1.12], dtype=np.float32))
    if tone == "cool":
        return np.asarray(picture * np.array([1.14, 1.0, 0.8], dtype=np.float32))
    factor = 1.45 if tone == "vivid" else 0.55
    lifted = picture if tone == "vivid" else 0.88 * picture + 0.1
    grey = grey if tone == "vivid" else 0.88 * grey + 0.1
    return np.asarray(grey + (lifted - grey) * factor)
