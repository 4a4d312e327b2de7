"""Where in a photograph its subject is, without a trained model.

Four observations, in this order: background is what is widely connected to the picture's border (robust background
detection; Zhu, Liang, Wei and Sun, CVPR 2014); a subject may instead be what is in focus before a blurred background;
subjects are nearer to the middle, or stand on the bottom edge; a subject has its own colours, and nearby patches of
one colour belong together. A graph cut then draws the outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.superpixels import Patches, find_patches

if TYPE_CHECKING:
    from penstock.adapters.runners.builtin.planes import Plane

CLEAR_SUBJECT = 0.05
"""`Subject.clarity` below this: nothing stands out, and the caller should be told."""

# Measured on photographs: below this, texture marks the ground (a wooden table, a star field), not a subject in focus.
_TELLING_FOCUS = 0.15
_EVEN = 0.5
_SURELY_INSIDE = 0.6
_SURELY_OUTSIDE = 0.4
_CRUMB = 0.2
_HOLE = 0.1
_PINHOLE = 0.002
_FLAT = 1e-6
_CONTRAST = 8.0

_LIGHTNESS, _CHROMA = 0.8, 1.4
# Chroma counts more than lightness: shadows and highlights cross outlines, pigments rarely do.


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """`likely`: probability per pixel. `outline`: boolean mask. `clarity`: how far the subject stands out, 0..1."""

    likely: Plane
    outline: Plane
    clarity: float


def find_subject(bgr: Plane) -> Subject:
    """Find the subject of a small (≤ ~500 pixels a side) 8-bit BGR photograph."""
    lab = cv2.cvtColor(bgr.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    smooth = cv2.bilateralFilter(lab, 7, 12, 5) * np.array([_LIGHTNESS, _CHROMA, _CHROMA], dtype=np.float32)
    patches = find_patches(smooth)
    middle = _middle(*bgr.shape[:2])
    standing_out = patches.spread(_stretch(_stands_out(patches)))
    focused = _stretch(_focus(lab[..., 0]))
    by_colour = _credibility(standing_out, middle)
    by_focus = _credibility(focused, middle)
    if by_focus < _TELLING_FOCUS:
        by_focus = 0.0
    share = by_colour**2 / (by_colour**2 + by_focus**2 + 1e-9)
    prior = _stretch((share * standing_out + (1 - share) * focused) * (0.4 + 0.6 * middle))
    likely = _grow(patches, prior, focused=focused * (1 - share), border_penalty=0.2 * share)
    likely = np.clip(guided(bgr.astype(np.float32) / 255, likely, radius=6, smoothness=1e-3), 0, 1)
    # In a picture of hardly any contrast, whatever seems to stand out is noise.
    contrast = float(np.percentile(_distances(patches.colour), 95))
    clarity = float(max(by_colour, by_focus)) * min(1.0, contrast / _CONTRAST)
    outline = _outline(bgr, likely)
    return Subject(
        outline=_tidy(outline, likely) if clarity >= CLEAR_SUBJECT else outline, likely=likely, clarity=clarity
    )


def guided(guide: Plane, plane: Plane, *, radius: int, smoothness: float) -> Plane:
    """`plane` smoothed where `guide` (float32, 3 channels, 0..1) is smooth, with the guide's edges (guided filter)."""
    slope, offset = guided_model(guide, plane, radius=radius, smoothness=smoothness)
    return np.asarray((slope * guide).sum(axis=2) + offset)


def guided_model(guide: Plane, plane: Plane, *, radius: int, smoothness: float) -> tuple[Plane, Plane]:
    """The guided filter's linear model: slope (height × width × 3) and offset (He, Sun and Tang, ECCV 2010)."""
    size = (2 * radius + 1, 2 * radius + 1)

    def box(values: Plane) -> Plane:
        return cv2.boxFilter(values, -1, size, borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_plane = box(guide), box(plane)
    covariance = box(guide * plane[..., None]) - mean_guide * mean_plane[..., None]
    variance = np.empty((*guide.shape[:2], 3, 3), dtype=np.float32)
    for one in range(3):
        for other in range(one, 3):
            variance[..., one, other] = variance[..., other, one] = (
                box(guide[..., one] * guide[..., other]) - mean_guide[..., one] * mean_guide[..., other]
            )
    variance += smoothness * np.eye(3, dtype=np.float32)
    slope = np.linalg.solve(variance, covariance[..., None])[..., 0].astype(np.float32)
    offset = mean_plane - (slope * mean_guide).sum(axis=2)
    return box(slope), box(offset)


def _stands_out(patches: Patches) -> Plane:
    apart = _distances(patches.colour)
    nearest = np.where(patches.adjacent, apart, np.inf).min(axis=1)
    tolerance = nearest[np.isfinite(nearest)].mean() if np.isfinite(nearest).any() else 0.0
    background = _background(patches, np.maximum(0, apart - tolerance))
    nearness = np.exp(-(_distances(patches.spot) ** 2) / (2 * 0.4**2))
    contrast = _unit((apart * nearness * background).sum(axis=1))
    down, right = patches.place[:, 0] - 0.5, patches.place[:, 1] - 0.5
    central = np.exp(-((right / 0.3) ** 2 + (down / 0.45) ** 2) / 2)
    foreground = np.maximum(contrast, 0.8 * (1 - background) * central)
    alike = np.where(_within_two(patches.adjacent), np.exp(-(apart**2) / (2 * 7.0**2)) + 0.03, 0)
    return np.linalg.solve(np.diag(foreground + background) + _laplacian(alike), foreground)


def _background(patches: Patches, steps: Plane) -> Plane:
    """How much each patch is background: the border's share of all that one reaches from it without a colour step."""
    border = patches.on_border
    linked = patches.adjacent | (border[:, None] & border[None])
    reach = np.where(linked, steps, np.inf)
    np.fill_diagonal(reach, 0)
    for via in range(len(reach)):
        np.minimum(reach, reach[:, via, None] + reach[via], out=reach)
    same = np.exp(-(reach**2) / (2 * 7.0**2))
    connectivity = same[:, border].sum(axis=1) / np.sqrt(same.sum(axis=1))
    return np.asarray(1 - np.exp(-(connectivity**2) / 2))


def _grow(patches: Patches, prior: Plane, *, focused: Plane, border_penalty: float) -> Plane:
    """Let patches persuade patches: alike and near ones tend to the same side."""
    threshold = _otsu(prior) * 0.85
    start = patches.mean(prior)
    start = np.where(patches.on_upper_border, start * (1 - border_penalty), start)
    belief = first = 1 / (1 + np.exp(-8 * (start - threshold)))
    look = np.column_stack([patches.colour, patches.mean(focused) * 60])
    apart = _distances(look)
    near = _distances(patches.spot)
    kin = np.exp(-(apart**2) / (2 * 8.0**2) - near**2 / (2 * 0.2**2)) * patches.area
    bonds = np.where(patches.adjacent, np.exp(-(apart**2) / (2 * 12.0**2)), 0)
    smoothing = np.eye(len(start)) + _laplacian(bonds)
    for _ in range(8):
        inside, outside = kin @ belief, kin @ (1 - belief)
        evidence = _logit(inside / (inside + outside + 1e-9)) + 0.5 * _logit(first)
        belief = 1 / (1 + np.exp(-np.linalg.solve(smoothing, evidence)))
    return patches.spread(belief)


def _outline(bgr: Plane, likely: Plane) -> Plane:
    """A graph cut in a narrow band around the likely outline; the rest is settled."""
    reach = max(2, round(max(bgr.shape[:2]) * 0.012))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    hard = (likely > _EVEN).astype(np.uint8)
    trimap = np.where(hard > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[likely > _SURELY_INSIDE] = cv2.GC_FGD
    trimap[(cv2.dilate(hard, disc) == 0) & (likely < _SURELY_OUTSIDE)] = cv2.GC_BGD
    if not ((trimap == cv2.GC_FGD).any() and (trimap == cv2.GC_BGD).any()):
        return hard > 0
    cv2.setRNGSeed(1)
    cv2.grabCut(bgr, trimap, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    return np.asarray((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD))


def _tidy(outline: Plane, likely: Plane) -> Plane:
    """Without crumbs beside the subject, and without holes in it. A hole may open to the bottom edge."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(outline.astype(np.uint8), connectivity=4)
    if count == 1:  # label 0 is everything else
        return outline
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0
    tidy = np.isin(labels, np.flatnonzero(areas >= _CRUMB * areas.max()))
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~tidy).astype(np.uint8), connectivity=8)
    outside = {0, *labels[0], *labels[:, 0], *labels[:, -1]}
    room = float(tidy.sum())
    for label in set(range(len(stats))) - outside:
        hole = labels == label
        share = stats[label, cv2.CC_STAT_AREA] / room
        if share < _PINHOLE or (share < _HOLE and float(likely[hole].mean()) > _CRUMB):
            tidy |= hole
    return tidy


def _focus(lightness: Plane) -> Plane:
    """Fine texture around each pixel; a median keeps single sharp edges from counting as texture."""
    fine = np.abs(lightness * 2.55 - cv2.GaussianBlur(lightness * 2.55, (0, 0), 1.5))
    steps = np.clip(cv2.GaussianBlur(fine, (0, 0), 2) * 16, 0, 255).astype(np.uint8)
    return np.log1p(cv2.medianBlur(steps, 31).astype(np.float32) / 16)


def _middle(height: int, width: int) -> Plane:
    """1 in the middle, falling to the top and the sides, hardly to the bottom."""
    rows, columns = np.mgrid[0:height, 0:width]
    down = rows / height - 0.55
    down = np.where(down > 0, down / 0.8, down / 0.42)
    return np.asarray(np.exp(-(((columns / width - 0.5) / 0.38) ** 2 + down**2) / 2), dtype=np.float32)


def _credibility(plane: Plane, middle: Plane) -> float:
    """How far `plane` looks like a mask of one subject: in the middle, of a fair size, and in two clear classes."""
    if float(plane.std()) < _FLAT:
        return 0.0
    inside = plane > _otsu(plane)
    fraction = float(inside.mean())
    if not 0 < fraction < 1:
        return 0.0
    gap = float(plane[inside].mean() - plane[~inside].mean())
    apart = fraction * (1 - fraction) * gap**2 / float(plane.var())
    size = min(fraction / 0.2, 1) * min(max((0.85 - fraction) / 0.25, 0), 1)
    central = float(np.corrcoef(plane.ravel(), middle.ravel())[0, 1])
    return max(0.01, central) * size * apart


def _otsu(plane: Plane) -> float:
    level, _ = cv2.threshold((np.clip(plane, 0, 1) * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    return level / 255


def _stretch(values: Plane) -> Plane:
    low, high = np.percentile(values, (1, 99))
    return np.asarray(np.clip((values - low) / (high - low + 1e-6), 0, 1), dtype=np.float32)


def _unit(values: Plane) -> Plane:
    return np.asarray((values - values.min()) / (np.ptp(values) + 1e-9))


def _distances(rows: Plane) -> Plane:
    return np.asarray(np.linalg.norm(rows[:, None] - rows[None], axis=2))


def _within_two(adjacent: Plane) -> Plane:
    step = adjacent.astype(np.float32)
    return adjacent | (step @ step > 0)


def _laplacian(weights: Plane) -> Plane:
    weights = weights * (1 - np.eye(len(weights)))
    return np.diag(weights.sum(axis=1)) - weights


def _logit(chance: Plane) -> Plane:
    chance = np.clip(chance, 0.02, 0.98)
    return np.asarray(np.log(chance / (1 - chance)))
