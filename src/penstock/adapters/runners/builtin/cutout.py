"""Background removal: the outline is found small, and drawn at full resolution with soft edges and clean colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.subject import CLEAR_SUBJECT, find_subject, guided_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.adapters.runners.builtin.planes import Plane

SEARCH_SIDE = 400
"""The subject is looked for at this many pixels along the longer side."""
MATTE_SIDE = 1024
"""Edges are modelled at this size; the model is then applied to every pixel of the original."""
_STRIP_ROWS = 256
_EVEN = 0.5
_MIXED = 0.05
_VEIL = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """`bgra`: the original pixels with alpha, edge colours cleaned. `clear`: whether a single subject stood out."""

    bgra: Plane
    clear: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matte:
    """How to get alpha and clean colours for any pixel; all planes are at `MATTE_SIDE`."""

    inside: Plane
    band: Plane
    slope: Plane
    offset: Plane
    foreground: Plane
    background: Plane


def remove_background(bgr: Plane, progress: Callable[[float], None]) -> Cutout:
    """Cut the subject out of an 8-bit BGR photograph. Memory beside input and output does not grow with the picture."""
    subject = find_subject(resized(bgr, SEARCH_SIDE))
    progress(0.5)
    matte = _model_edges(resized(bgr, MATTE_SIDE), subject.outline)
    progress(0.6)
    bgra = np.empty((*bgr.shape[:2], 4), dtype=np.uint8)
    for first, last in _strips(len(bgr)):
        bgra[first:last] = _paint_strip(bgr[first:last], matte, first, len(bgr))
        progress(0.6 + 0.3 * last / len(bgr))
    return Cutout(bgra=bgra, clear=subject.clarity >= CLEAR_SUBJECT)


def resized(picture: Plane, side: int) -> Plane:
    """`picture` with `side` pixels along its longer side."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _model_edges(bgr: Plane, outline: Plane) -> _Matte:
    height, width = bgr.shape[:2]
    inside = cv2.resize(outline.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    unit = max(height, width) / MATTE_SIDE
    inside = np.clip(cv2.GaussianBlur(inside, (0, 0), 1.5 * unit) * 2 - 0.5, 0, 1)
    reach = max(2, round(9 * unit))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    hard = (inside > _EVEN).astype(np.uint8)
    ring = cv2.dilate(hard, disc) - cv2.erode(hard, disc, borderValue=1)
    band = cv2.GaussianBlur(ring.astype(np.float32), (0, 0), reach / 3)
    guide = bgr.astype(np.float32) / 255
    slope, offset = guided_model(guide, inside, radius=reach, smoothness=2e-4)
    alpha = np.clip((slope * guide).sum(axis=2) + offset, 0, 1)
    foreground = _spread(guide, alpha > 1 - _MIXED, 3 * reach)
    background = _spread(guide, alpha < _MIXED, 3 * reach)
    return _Matte(inside=inside, band=band, slope=slope, offset=offset, foreground=foreground, background=background)


def _spread(guide: Plane, known: Plane, reach: int) -> Plane:
    """The mean colour of the `known` pixels near each pixel."""
    weight = known.astype(np.float32)
    size = (2 * reach + 1, 2 * reach + 1)
    total = cv2.blur(weight, size)
    return cv2.blur(guide * weight[..., None], size) / np.maximum(total, 1e-4)[..., None]


def _paint_strip(strip: Plane, matte: _Matte, first: int, full_height: int) -> Plane:
    height, width = strip.shape[:2]

    def full(plane: Plane) -> Plane:
        return _enlarged_rows(plane, first, height, full_height, width)

    guide = strip.astype(np.float32) / 255
    fitted = (full(matte.slope) * guide).sum(axis=2) + full(matte.offset)
    # A linear model never quite reaches 0 and 1: steepen it a little.
    soft = np.clip((fitted - 0.5) * 1.5 + 0.5, 0, 1)
    band = full(matte.band)
    alpha = band * soft + (1 - band) * full(matte.inside)
    alpha[alpha < _VEIL] = 0
    alpha[alpha > 1 - _VEIL] = 1
    clean = _decontaminated(guide, alpha, full(matte.foreground), full(matte.background))
    colour = np.where(((alpha > 0) & (alpha < 1))[..., None], clean, guide)
    colour[alpha == 0] = 0
    return np.asarray(np.rint(np.dstack([colour, alpha]) * 255), dtype=np.uint8)


def _decontaminated(observed: Plane, alpha: Plane, foreground: Plane, background: Plane) -> Plane:
    """The subject's own colour where it is mixed with the background's (one step of blur-fusion estimation)."""
    share = alpha[..., None]
    return np.asarray(np.clip(foreground + share * (observed - share * foreground - (1 - share) * background), 0, 1))


def _enlarged_rows(plane: Plane, first: int, rows: int, full_height: int, full_width: int) -> Plane:
    """Rows `first` … of `plane` as it would be at the full size, bilinear, without making the rest."""
    scale_y, scale_x = len(plane) / full_height, plane.shape[1] / full_width
    transform = np.array([[scale_x, 0, scale_x / 2 - 0.5], [0, scale_y, (first + 0.5) * scale_y - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plane, transform, (full_width, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _strips(height: int) -> Iterator[tuple[int, int]]:
    for first in range(0, height, _STRIP_ROWS):
        yield first, min(first + _STRIP_ROWS, height)
