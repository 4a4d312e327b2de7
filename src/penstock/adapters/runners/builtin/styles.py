"""Painted styles.

Each takes a float32 BGR picture (0..1, 900 to 1600 pixels along the longer side) and returns one of the same shape.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.texture import along_flow, clouds, flow, hatching, paper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.adapters.runners.builtin.planes import Plane

    Style = Callable[[Plane, np.random.Generator], Plane]

_REPAINT = 0.045
"""Mean colour error above which a place gets another, smaller brush stroke."""


def oil(picture: Plane, rng: np.random.Generator) -> Plane:
    """Layers of curved brush strokes, coarse to fine (Hertzmann, SIGGRAPH 1998), lit as thick paint."""
    side = max(picture.shape[:2])
    source = (np.clip(_saturated(picture, 1.2), 0, 1) * 255).astype(np.uint8)
    angle = flow(_lightness(picture), sigma=side / 200)
    canvas = cv2.GaussianBlur(source, (0, 0), side / 50)
    relief = np.full(picture.shape[:2], 128, dtype=np.uint8)
    for radius in (side / 55, side / 110, side / 220, side / 440):
        _stroke_layer(canvas, relief, cv2.GaussianBlur(source, (0, 0), radius / 2), angle, radius, rng)
    bristles = along_flow(rng.random(picture.shape[:2], dtype=np.float32), angle, steps=max(6, side // 90))
    height = cv2.GaussianBlur(relief.astype(np.float32) / 255, (0, 0), 0.8) * 0.6 + bristles * 0.3
    return _lit(canvas.astype(np.float32) / 255, height, strength=0.3)


def watercolour(picture: Plane, rng: np.random.Generator) -> Plane:
    """Flat washes that bleed and gather at their rims, granulating on rough paper, with unpainted margins."""
    shape = picture.shape[:2]
    side = max(shape)
    washes = _flat(picture, rounds=3)
    washes = _wobbled(washes, rng, reach=side / 160, size=side / 25)
    washes = _levels(_saturated(washes, 1.25), 7, softness=0.35)
    rims = _rims(washes, width=side / 350)
    bleeding = clouds(shape, rng, size=side / 6, octaves=5) - 0.5
    grain = paper(shape, rng, size=side / 1400)
    density = np.clip(0.68 + 1.2 * bleeding + 0.8 * rims + 0.08 * grain, 0.15, 2.4)
    light = np.clip(0.10 + 0.95 * washes, 0.02, 1)
    painted = light ** density[..., None]
    sheet = 0.985 + 0.012 * grain
    cover = _margin(shape, rng, width=side / 28)[..., None]
    return np.asarray(np.clip((painted * cover + (1 - cover)) * sheet[..., None], 0, 1))


def pencil(picture: Plane, rng: np.random.Generator) -> Plane:
    """Graphite on paper: contours, and hatching that gets denser and crosses in the dark."""
    shape = picture.shape[:2]
    side = max(shape)
    tone = _evened(_lightness(_flat(picture, rounds=1)))
    grain = paper(shape, rng, size=side / 1600)
    length = max(9, side // 40)
    marks = np.ones(shape, dtype=np.float32)
    for angle, start, depth in ((-0.8, 0.92, 0.5), (-0.55, 0.62, 0.45), (0.75, 0.4, 0.45), (-1.2, 0.22, 0.5)):
        wanted = np.clip((start - tone) / start, 0, 1)
        lines = hatching(shape, rng, angle=angle, length=length) + 0.05 * grain
        marks *= 1 - depth * _step(wanted * 1.15 - lines, width=0.12)
    contour = _contours(_lightness(picture), sigma=side / 900, strength=0.98)
    faint = _dodged(_lightness(picture), sigma=side / 160)
    drawn = marks * (0.35 + 0.65 * faint) * (0.12 + 0.88 * contour)
    drawn = 1 - (1 - drawn) * np.clip(0.93 + 0.13 * grain, 0, 1)
    return np.repeat(np.clip(drawn * 0.97, 0, 1)[..., None], 3, axis=2)


def ink(picture: Plane, rng: np.random.Generator) -> Plane:
    """Pen and ink: black contours, solid shadows, and engraved lines between them on cream paper."""
    shape = picture.shape[:2]
    side = max(shape)
    tone = _evened(_lightness(_flat(picture, rounds=2)))
    contour = _contours(_lightness(picture), sigma=side / 800, strength=0.99)
    contour = _step(contour - 0.55, width=0.15)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    bend = (clouds(shape, rng, size=side / 4, octaves=2) - 0.5) * side / 30
    pitch = side / 160
    drawn = contour
    for turn, start in ((0.6, 0.75), (-0.9, 0.45)):
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * (columns * math.sin(turn) + rows * math.cos(turn) + bend) / pitch)
        wanted = np.clip((start - tone) / start, 0, 1)
        drawn = drawn * (1 - _step(wanted * 1.1 - wave, width=0.18))
    drawn = drawn * _step(tone - 0.12, width=0.06)
    cream = np.array([0.90, 0.96, 0.98], dtype=np.float32)
    black = np.array([0.10, 0.08, 0.08], dtype=np.float32)
    return np.asarray(black + np.clip(drawn, 0, 1)[..., None] * (cream - black))


def cartoon(picture: Plane, rng: np.random.Generator) -> Plane:
    """Flat bright colours in few steps, with black outlines."""
    del rng  # nothing is left to chance
    side = max(picture.shape[:2])
    flat = _levels(_saturated(_flat(picture, rounds=5), 1.5), 6, softness=0.12)
    contour = _contours(_lightness(_flat(picture, rounds=2)), sigma=side / 600, strength=0.985)
    line = _step(contour - 0.6, width=0.12)
    return np.asarray(np.clip(flat * 1.06, 0, 1) * (0.06 + 0.94 * line)[..., None])


def pop_art(picture: Plane, rng: np.random.Generator) -> Plane:
    """A screen print: four loud inks by tone, halftone dots between them, black outlines."""
    shape = picture.shape[:2]
    side = max(shape)
    palettes = (
        ((0.35, 0.05, 0.25), (0.55, 0.10, 0.95), (0.10, 0.80, 1.00), (0.80, 0.98, 1.00)),
        ((0.35, 0.10, 0.10), (0.95, 0.60, 0.05), (0.65, 0.45, 1.00), (0.85, 0.98, 1.00)),
        ((0.25, 0.05, 0.30), (0.20, 0.20, 0.95), (0.20, 0.85, 1.00), (0.95, 0.95, 0.80)),
    )
    inks = np.array(palettes[int(rng.integers(len(palettes)))], dtype=np.float32)
    tone = _evened(_lightness(_flat(picture, rounds=4)))
    place = np.clip(tone * 1.05, 0, 0.999) * (len(inks) - 1)
    lower = place.astype(np.int32)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    pitch = side / 110
    turned_x, turned_y = (columns + rows) * 0.7071, (rows - columns) * 0.7071
    dots = 0.5 + 0.25 * (np.cos(2 * np.pi * turned_x / pitch) + np.cos(2 * np.pi * turned_y / pitch))
    upper = _step((place - lower) - (1 - dots), width=0.1)[..., None]
    printed = inks[lower] * (1 - upper) + inks[np.minimum(lower + 1, len(inks) - 1)] * upper
    line = _step(_contours(_lightness(picture), sigma=side / 450, strength=0.985) - 0.5, width=0.12)
    return np.asarray(printed * (0.05 + 0.95 * line)[..., None])


def mosaic(picture: Plane, rng: np.random.Generator) -> Plane:
    """Tiles of one colour each, bevelled, set in grey grout."""
    shape = picture.shape[:2]
    pitch = max(shape) / 95
    points = _jittered_grid(shape, pitch, rng, jitter=0.32)
    seeds = np.ones(shape, dtype=np.uint8)
    seeds[points[:, 1], points[:, 0]] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    flat = labels.ravel()
    members = np.maximum(np.bincount(flat), 1)
    colours = np.column_stack([np.bincount(flat, picture[..., channel].ravel()) / members for channel in range(3)])
    colours = np.clip(_saturated(colours[None].astype(np.float32), 1.3)[0] + rng.normal(0, 0.03, colours.shape), 0, 1)
    edge = np.zeros(shape, dtype=np.uint8)
    edge[:, 1:] |= (labels[:, 1:] != labels[:, :-1]).astype(np.uint8)
    edge[1:] |= (labels[1:] != labels[:-1]).astype(np.uint8)
    inward = cv2.distanceTransform(1 - edge, cv2.DIST_L2, 3)
    tiles = _lit(colours[labels].astype(np.float32), np.minimum(inward / (0.22 * pitch), 1), strength=0.25)
    grout = _step(inward - 0.07 * pitch, width=0.08 * pitch)[..., None]
    return np.asarray(tiles * grout + 0.32 * (1 - grout))


def pointillism(picture: Plane, rng: np.random.Generator) -> Plane:
    """Dots of pure colour on primed canvas, large ones first; hues scatter around the seen one."""
    shape = picture.shape[:2]
    side = max(shape)
    source = _saturated(picture, 1.35)
    canvas = np.full((*shape, 3), (205, 222, 228), dtype=np.uint8)
    detail = cv2.GaussianBlur(np.abs(cv2.Laplacian(_lightness(picture), cv2.CV_32F, ksize=5)), (0, 0), side / 200)
    busy = detail > np.percentile(detail, 45)
    for radius, everywhere in ((side / 130, True), (side / 200, True), (side / 340, False)):
        points = _jittered_grid(shape, radius * 1.55, rng, jitter=0.5)
        if not everywhere:
            points = points[busy[points[:, 1], points[:, 0]]]
        rng.shuffle(points)
        seen = cv2.GaussianBlur(source, (0, 0), radius / 2)[points[:, 1], points[:, 0]]
        hues = np.clip(seen + rng.normal(0, 0.075, seen.shape), 0, 1) * 255
        for (x, y), colour in zip(points.tolist(), hues.tolist(), strict=True):
            cv2.circle(canvas, (x, y), max(1, round(radius)), colour, cv2.FILLED, cv2.LINE_AA)
    return np.asarray(canvas.astype(np.float32) / 255)


BY_NAME: Mapping[str, Style] = {
    "oil": oil,
    "watercolour": watercolour,
    "pencil": pencil,
    "ink": ink,
    "cartoon": cartoon,
    "pop-art": pop_art,
    "mosaic": mosaic,
    "pointillism": pointillism,
}


def _stroke_layer(
    canvas: Plane, relief: Plane, source: Plane, angle: Plane, radius: float, rng: np.random.Generator
) -> None:
    height, width = canvas.shape[:2]
    error = cv2.blur(cv2.absdiff(canvas, source).mean(axis=2).astype(np.float32) / 255, (5, 5))
    points = _jittered_grid((height, width), radius * 1.1, rng, jitter=0.5)
    points = points[error[points[:, 1], points[:, 0]] > _REPAINT]
    rng.shuffle(points)
    if not len(points):
        return
    seen = source[points[:, 1], points[:, 0]].astype(np.float32)
    colours = np.clip(seen + rng.normal(0, 5, seen.shape) + rng.normal(0, 6, (len(seen), 1)), 0, 255)
    heights = rng.integers(70, 190, len(points))
    paths = _curves(points, angle, radius * rng.uniform(0.7, 1.5, len(points)))
    thickness = max(2, round(radius * 1.7))
    for path, colour, raised in zip(
        np.rint(paths * 8).astype(np.int32), colours.tolist(), heights.tolist(), strict=True
    ):
        cv2.polylines(canvas, [path], isClosed=False, color=colour, thickness=thickness, lineType=cv2.LINE_AA, shift=3)
        cv2.polylines(relief, [path], isClosed=False, color=raised, thickness=thickness, lineType=cv2.LINE_8, shift=3)


def _curves(points: Plane, angle: Plane, steps: Plane) -> Plane:
    """Paths of five points (count × 5 × 2, as x, y) through `points`, along the field of angles."""
    height, width = angle.shape
    halves = []
    for way in (1.0, -1.0):
        place = points.astype(np.float32)
        turn = angle[points[:, 1], points[:, 0]]
        heading = np.column_stack([np.cos(turn), np.sin(turn)]) * way
        half = []
        for _ in range(2):
            place = np.clip(place + heading * steps[:, None], 0, (width - 1, height - 1))
            half.append(place)
            turn = angle[place[:, 1].astype(int), place[:, 0].astype(int)]
            fresh = np.column_stack([np.cos(turn), np.sin(turn)])
            fresh *= np.where((fresh * heading).sum(axis=1) < 0, -1, 1)[:, None]
            heading = fresh
        halves.append(half)
    ahead, behind = halves
    return np.stack([behind[1], behind[0], points.astype(np.float32), ahead[0], ahead[1]], axis=1)


def _jittered_grid(shape: tuple[int, int], pitch: float, rng: np.random.Generator, *, jitter: float) -> Plane:
    """Points (count × 2, as x, y) about `pitch` pixels apart."""
    height, width = shape
    rows, columns = np.mgrid[pitch / 2 : height : pitch, pitch / 2 : width : pitch]
    grid = np.column_stack([columns.ravel(), rows.ravel()])
    grid += rng.uniform(-jitter, jitter, grid.shape) * pitch
    return np.asarray(np.clip(grid, 0, (width - 1, height - 1)).astype(np.int32))


def _lightness(picture: Plane) -> Plane:
    return np.asarray(cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_BGR2GRAY))


def _evened(tone: Plane) -> Plane:
    """Tones spread so that the picture uses the whole range, dark pictures included."""
    low, middle, high = np.percentile(tone, (1, 50, 99))
    spread = np.clip((tone - low) / max(1e-3, high - low), 0, 1)
    centre = min(max((middle - low) / max(1e-3, high - low), 0.15), 0.85)
    return np.asarray(spread ** (math.log(0.55) / math.log(centre) * 0.7 + 0.3))


def _saturated(picture: Plane, factor: float) -> Plane:
    grey = _lightness(picture)[..., None]
    return np.asarray(np.clip(grey + (picture - grey) * factor, 0, 1), dtype=np.float32)


def _flat(picture: Plane, *, rounds: int) -> Plane:
    """Smooth inside, sharp at edges."""
    result = np.asarray(picture, dtype=np.float32)
    for _ in range(rounds):
        result = np.asarray(cv2.bilateralFilter(result, 9, 0.12, 5), dtype=np.float32)
    return result


def _levels(picture: Plane, count: int, *, softness: float) -> Plane:
    """Lightness in `count` steps with soft edges; colour is scaled along."""
    grey = _lightness(picture)
    scaled = grey * count
    base = np.floor(scaled)
    stepped = (base + _step(scaled - base - 0.5, width=softness)) / count
    mixed = 0.75 * stepped + 0.25 * grey
    return np.asarray(np.clip(picture * ((mixed + 0.02) / (grey + 0.02))[..., None], 0, 1), dtype=np.float32)


def _contours(lightness: Plane, *, sigma: float, strength: float) -> Plane:
    """1 on plain ground, towards 0 on lines: an extended difference of Gaussians (Winnemöller, 2011)."""
    narrow = cv2.GaussianBlur(lightness, (0, 0), max(0.5, sigma))
    wide = cv2.GaussianBlur(lightness, (0, 0), max(0.8, sigma * 1.6))
    difference = narrow - strength * wide
    return np.asarray(np.clip(1 + np.tanh(np.minimum(0, difference) * 45), 0, 1))


def _dodged(lightness: Plane, *, sigma: float) -> Plane:
    """Lightness against its surroundings: 1 on plain ground, darker at shapes."""
    return np.asarray(np.clip((lightness + 0.02) / (cv2.GaussianBlur(lightness, (0, 0), sigma) + 0.02), 0, 1))


def _rims(picture: Plane, *, width: float) -> Plane:
    """Where washes end, 0..1."""
    grey = cv2.GaussianBlur(_lightness(picture), (0, 0), max(0.8, width))
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return np.asarray(np.tanh(slope * 3))


def _wobbled(picture: Plane, rng: np.random.Generator, *, reach: float, size: float) -> Plane:
    shape = picture.shape[:2]
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    x = columns + (clouds(shape, rng, size=size) - 0.5) * 2 * reach
    y = rows + (clouds(shape, rng, size=size) - 0.5) * 2 * reach
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def _margin(shape: tuple[int, int], rng: np.random.Generator, *, width: float) -> Plane:
    """1 where paint is, falling to 0 in a ragged border about `width` pixels wide."""
    inside = np.zeros(shape, dtype=np.uint8)
    inside[1:-1, 1:-1] = 1
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    ragged = distance - width * (0.15 + 1.3 * clouds(shape, rng, size=width * 4, octaves=5))
    return _step(ragged, width=width / 5)


def _lit(picture: Plane, height: Plane, *, strength: float) -> Plane:
    """The picture with `height` (0..1) as relief, lit from the upper left."""
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) + cv2.Sobel(height, cv2.CV_32F, 0, 1)
    return np.asarray(np.clip(picture * (1 + strength * np.clip(slope, -1, 1))[..., None], 0, 1), dtype=np.float32)


def _step(values: Plane, *, width: float) -> Plane:
    """0 below, 1 above, smooth over `width`."""
    place = np.clip(values / width + 0.5, 0, 1)
    return np.asarray(place * place * (3 - 2 * place), dtype=np.float32)
