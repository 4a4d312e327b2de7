"""A new background from the words of a prompt: a studio, a table top, or a landscape. Drawn by rules and chance.

Prompts are read for English words only; one that names nothing known gets a plain studio.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.painting import chance, hue_colour, paint_landscape
from penstock.adapters.runners.builtin.texture import clouds
from penstock.adapters.runners.builtin.wording import read_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.adapters.runners.builtin.planes import Plane

STUDIO, SURFACE, LANDSCAPE = "studio", "surface", "landscape"

_STUDIO_WORDS = r"studio|plain|solid|seamless|backdrop|wall|infinity|gradient|cyclorama|catalog(?:ue)?|e-?commerce"
_MATERIAL_WORDS = {
    "marble": r"marble|granite",
    "wood": r"wooden|wood|oak|walnut|bamboo|plank(?:s)?",
    "concrete": r"concrete|cement|stone|slate|plaster",
    "linen": r"linen|fabric|cloth|textile|cotton",
}
_SHADES = {
    "white": (0.97, 0.97, 0.97),
    "black": (0.045, 0.045, 0.045),
    "grey": (0.55, 0.55, 0.55),
    "beige": (0.72, 0.83, 0.90),
    "brown": (0.22, 0.33, 0.47),
}
_SHADE_WORDS = {
    "white": r"white|bright|clean|ivory|snow white",
    "black": r"black|dark|onyx|jet",
    "grey": r"gr[ae]y|silver|neutral",
    "beige": r"beige|cream|sand-?coloured|tan|ecru",
    "brown": r"brown|chocolate|coffee-?coloured",
}
_PLAIN = (0.90, 0.90, 0.90)
_DARK = 0.2
_SATURATION, _PASTEL = 0.72, 0.28


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """What a prompt asks for. `colour` is BGR, 0..1; `material` is set for a surface; `known` when a word decided."""

    kind: str
    colour: tuple[float, float, float]
    material: str | None
    known: bool

    @property
    def words(self) -> str:
        """For the log."""
        return f"a {self.material} table top" if self.material else f"a {self.kind}"


def read_backdrop(prompt: str) -> Backdrop:
    """A table top where a material is named, else a landscape where a scene is and no studio, else a studio."""
    text = " ".join(prompt.casefold().split())
    material = _first(_MATERIAL_WORDS, text)
    colour = _colour(text)
    wants_studio = re.search(rf"\b(?:{_STUDIO_WORDS})\b", text) is not None
    if material:
        return Backdrop(kind=SURFACE, colour=colour or _PLAIN, material=material, known=True)
    if read_prompt(text).scene and not wants_studio:
        return Backdrop(kind=LANDSCAPE, colour=colour or _PLAIN, material=None, known=True)
    return Backdrop(kind=STUDIO, colour=colour or _PLAIN, material=None, known=wants_studio or colour is not None)


def paint_backdrop(prompt: str, shape: tuple[int, int], *, seed: int, base: float, middle: float) -> Plane:
    """A float32 BGR picture (0..1) of `shape` (height, width) for a subject to stand in.

    `base` is where the subject stands and `middle` its middle, as fractions of height and width.
    """
    backdrop = read_backdrop(prompt)
    rng = chance(prompt, seed)
    if backdrop.kind == LANDSCAPE:
        picture = paint_landscape(prompt, read_prompt(prompt), shape, seed)
        # Out of focus, as it would be behind a subject close to the lens.
        return cv2.GaussianBlur(picture, (0, 0), max(shape) / 180)
    if backdrop.kind == SURFACE:
        return _table(backdrop, shape, rng, base=base, middle=middle)
    return _studio(backdrop.colour, shape, base=base, middle=middle)


def _studio(colour: tuple[float, float, float], shape: tuple[int, int], *, base: float, middle: float) -> Plane:
    """A seamless sweep: a wall with a pool of light that runs into a floor without an edge."""
    height, width = shape
    side = max(shape)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    pool = np.exp(-(((columns - middle * width) / (0.55 * side)) ** 2 + ((rows - 0.42 * height) / (0.6 * side)) ** 2))
    bend = 1 / (1 + np.exp(-(rows / height - min(0.92, base - 0.06)) / 0.035))
    dark = max(colour) < _DARK
    wall, floor = (0.55 + 1.1 * pool, 0.8 + 0.9 * pool) if dark else (0.86 + 0.15 * pool, 0.95 + 0.06 * pool)
    light = wall + (floor - wall) * bend
    return np.asarray(np.clip(light[..., None] * np.array(colour, dtype=np.float32), 0, 1), dtype=np.float32)


def _table(
    backdrop: Backdrop, shape: tuple[int, int], rng: np.random.Generator, *, base: float, middle: float
) -> Plane:
    """A table top that runs away from the viewer, before a wall that is out of focus."""
    height, width = shape
    edge = round(height * min(0.86, max(0.35, base - 0.28)))
    wall_colour = tuple(0.55 * part + 0.35 for part in backdrop.colour)
    picture = _studio((wall_colour[0], wall_colour[1], wall_colour[2]), shape, base=2.0, middle=middle)
    below = height - edge
    texture = _MATERIALS[str(backdrop.material)]((below * 2, width * 2), rng)
    near, far = width * 2.0, width * 2.0
    corners = np.array([[0, 0], [far, 0], [near, below * 2], [0, below * 2]], dtype=np.float32)
    spread = 0.55 * width
    target = np.array([[0, 0], [width, 0], [width + spread, below], [-spread, below]], dtype=np.float32)
    top = cv2.warpPerspective(
        texture, cv2.getPerspectiveTransform(corners, target), (width, below), flags=cv2.INTER_AREA
    )
    away = np.linspace(0, 1, below, dtype=np.float32)[:, None, None]
    soft = cv2.GaussianBlur(top, (0, 0), max(1.0, max(shape) / 260))
    picture[edge:] = (soft + (top - soft) * away**0.5) * (0.86 + 0.14 * away)
    reach = max(3, round(height / 90)) | 1
    band = slice(max(0, edge - reach), min(height, edge + reach))
    picture[band] = cv2.GaussianBlur(picture, (0, 0), reach / 3)[band]
    return np.asarray(np.clip(picture, 0, 1), dtype=np.float32)


def _marble(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    side = max(shape)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    bend = clouds(shape, rng, size=side / 2.5, octaves=6) - 0.5
    phase = (columns * 0.8 + rows * 0.5) / side * 7 + bend * 9
    vein = np.clip(1 - np.abs(np.sin(np.pi * phase)) * 5, 0, 1) ** 1.5
    cloud = clouds(shape, rng, size=side / 4, octaves=5)
    tone = 0.95 - 0.10 * cloud - 0.30 * vein * (0.25 + 0.75 * clouds(shape, rng, size=side / 3))
    return np.asarray(tone[..., None] * np.array([1.0, 0.995, 0.985]), dtype=np.float32)


def _wood(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    height, width = shape
    planks = 7
    grain = np.empty(shape, dtype=np.float32)
    for plank in range(planks):
        left, right = plank * width // planks, (plank + 1) * width // planks
        part = (height, right - left)
        fine = cv2.resize(
            rng.random((max(4, height // 60), part[1]), dtype=np.float32), part[::-1], interpolation=cv2.INTER_CUBIC
        )
        rings = clouds(part, rng, size=max(part) / 2, octaves=3)
        waves = 0.5 + 0.5 * np.sin(2 * np.pi * rings * 9)
        grain[:, left:right] = 0.72 + 0.16 * rng.random() + 0.10 * waves * 0.6 - 0.22 * fine * rings
        grain[:, left : left + max(1, width // 500)] = 0.35
    return np.asarray(grain[..., None] * np.array([0.38, 0.58, 0.82]), dtype=np.float32)


def _concrete(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    side = max(shape)
    tone = 0.5 + 0.28 * clouds(shape, rng, size=side / 3, octaves=7) + 0.03 * rng.standard_normal(shape)
    return np.asarray(np.clip(tone, 0, 1)[..., None] * np.array([0.98, 1.0, 1.0]), dtype=np.float32)


def _linen(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    height, width = shape
    weft = cv2.GaussianBlur(rng.standard_normal((height, width), dtype=np.float32), (0, 0), sigmaX=9, sigmaY=0.8)
    warp = cv2.GaussianBlur(rng.standard_normal((height, width), dtype=np.float32), (0, 0), sigmaX=0.8, sigmaY=9)
    folds = clouds(shape, rng, size=max(shape) / 2, octaves=2) - 0.5
    tone = 0.86 + 0.18 * folds + 0.12 * (weft + warp)
    return np.asarray(np.clip(tone, 0, 1)[..., None] * np.array([0.86, 0.93, 0.97]), dtype=np.float32)


_MATERIALS: Mapping[str, Callable[[tuple[int, int], np.random.Generator], Plane]] = {
    "marble": _marble,
    "wood": _wood,
    "concrete": _concrete,
    "linen": _linen,
}


def _colour(text: str) -> tuple[float, float, float] | None:
    """The colour word that comes first, pale where the prompt wants it pale."""
    shade = _first(_SHADE_WORDS, text)
    wishes = read_prompt(text)
    pale = "muted" in wishes.tones or re.search(r"\b(?:light|soft|baby)\b", text) is not None
    if wishes.colours:
        dark = shade == "black"
        blue, green, red = hue_colour(
            wishes.colours[0], saturation=_PASTEL if pale else _SATURATION, value=0.3 if dark else 0.88
        )
        return blue, green, red
    return _SHADES[shade] if shade else None


def _first(table: Mapping[str, str], text: str) -> str | None:
    places = {name: match.start() for name, words in table.items() if (match := re.search(rf"\b(?:{words})\b", text))}
    return min(places, key=places.__getitem__, default=None)
