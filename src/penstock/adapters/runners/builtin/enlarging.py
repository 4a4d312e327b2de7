"""Enlarging a picture without inventing anything: Lanczos, corrected until it shrinks back to the original."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.faults import UnusableInputError
from penstock.adapters.runners.builtin.pictures import MAX_SIDE

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.adapters.runners.builtin.planes import Plane

FACTORS = ("2", "4", "8", "16")
_TILE, _MARGIN = 256, 12
"""Pixels of the original that are worked on at once, and those around them that are looked at as well."""
_ROUNDS = 2
_CRISP = 0.25


def check_enlarged(shape: tuple[int, ...], factor: int, *, max_pixels: int) -> None:
    """Raises `UnusableInputError` when the result would be larger than a picture may be."""
    height, width = shape[0] * factor, shape[1] * factor
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise UnusableInputError(
            f"scale_factor: the result would be {width} × {height} pixels; {max_pixels / 1e6:g} million are possible, "
            f"and {MAX_SIDE} on a side"
        )


def enlarge(bgr: Plane, factor: int, *, denoise: bool, progress: Callable[[float], None]) -> Plane:
    """An 8-bit picture `factor` times as wide and high. Memory beside input and output does not grow with it."""
    source = cv2.bilateralFilter(bgr, 5, 18, 2) if denoise else bgr
    height, width = source.shape[:2]
    result = np.empty((height * factor, width * factor, source.shape[2]), dtype=np.uint8)
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            bottom, right = min(height, top + _TILE), min(width, left + _TILE)
            first, begin = max(0, top - _MARGIN), max(0, left - _MARGIN)
            tile = _enlarged(source[first : bottom + _MARGIN, begin : right + _MARGIN], factor)
            down, across = (top - first) * factor, (left - begin) * factor
            result[top * factor : bottom * factor, left * factor : right * factor] = tile[
                down : down + (bottom - top) * factor, across : across + (right - left) * factor
            ]
        progress(min(1.0, (top + _TILE) / height))
    return result


def enlarge_to(bgr: Plane, size: tuple[int, int]) -> Plane:
    """An 8-bit picture in `size` (width, height), quickly: for the many pictures of a film."""
    large = cv2.resize(bgr, size, interpolation=cv2.INTER_LANCZOS4)
    return cv2.addWeighted(large, 1.35, cv2.GaussianBlur(large, (0, 0), 1.2), -0.35, 0)


def enlarge_plane(alpha: Plane, factor: int) -> Plane:
    """One 8-bit channel, smoothly."""
    return cv2.resize(alpha, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def _enlarged(tile: Plane, factor: int) -> Plane:
    """Iterative back-projection (Irani and Peleg, 1991), then a little more contrast at the finest edges."""
    wanted = tile.astype(np.float32)
    size = (tile.shape[1] * factor, tile.shape[0] * factor)
    large: Plane = cv2.resize(wanted, size, interpolation=cv2.INTER_LANCZOS4)
    for _ in range(_ROUNDS):
        shrunk = cv2.resize(large, (tile.shape[1], tile.shape[0]), interpolation=cv2.INTER_AREA)
        large += cv2.resize(wanted - shrunk, size, interpolation=cv2.INTER_CUBIC)
    lightness = cv2.cvtColor(large, cv2.COLOR_BGR2GRAY)
    detail = lightness - cv2.GaussianBlur(lightness, (0, 0), 0.6 * factor)
    # Bounded, so that strong edges get no halo.
    large += _CRISP * np.clip(detail, -12, 12)[..., None]
    lowest, highest = _neighbourhood(wanted, size)
    return np.asarray(np.rint(np.clip(large, np.maximum(lowest - 6, 0), np.minimum(highest + 6, 255))), dtype=np.uint8)


def _neighbourhood(tile: Plane, size: tuple[int, int]) -> tuple[Plane, Plane]:
    """The darkest and lightest of the original's pixels around each: nothing rings beyond them."""
    window = np.ones((3, 3), dtype=np.uint8)
    return (
        cv2.resize(cv2.erode(tile, window), size, interpolation=cv2.INTER_NEAREST),
        cv2.resize(cv2.dilate(tile, window), size, interpolation=cv2.INTER_NEAREST),
    )
