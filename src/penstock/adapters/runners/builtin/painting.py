"""A landscape from the words of a prompt, drawn by rules and chance. A demo painting, not generative AI."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.texture import clouds

if TYPE_CHECKING:
    from penstock.adapters.runners.builtin.planes import Plane
    from penstock.adapters.runners.builtin.wording import Wishes

_GROUNDS = ("sea", "mountains", "forest", "meadow", "city", "desert")
# Hue in degrees of the colour words.
_HUES = {"red": 2, "orange": 26, "yellow": 48, "green": 125, "teal": 178, "blue": 215, "purple": 275, "pink": 328}
_NIGHT, _SUNSET, _DAY = "night", "sunset", "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Palette:
    """Colours as BGR, 0..1."""

    zenith: Plane
    horizon: Plane
    light: Plane
    haze: Plane
    earth: Plane
    water: Plane


def paint_landscape(prompt: str, wishes: Wishes, shape: tuple[int, int], seed: int) -> Plane:
    """A float32 BGR picture (0..1) of `shape` (height, width); the same arguments give the same picture."""
    rng = chance(prompt, seed)
    hour = next((name for name in wishes.scene if name in {_NIGHT, _SUNSET}), None) or str(
        rng.choice([_DAY, _DAY, _SUNSET])
    )
    grounds = [name for name in wishes.scene if name in _GROUNDS] or [str(rng.choice(_GROUNDS))]
    palette = _palette(hour, wishes, rng)
    horizon = round(shape[0] * (0.52 + 0.1 * rng.random()))
    picture = _sky(shape, horizon, hour, palette, rng)
    if "mountains" in grounds or rng.random() < 0.5:  # noqa: PLR2004 - every other picture
        _ridges(picture, horizon, palette, rng, snow="winter" in wishes.scene or "mountains" in grounds)
    if "city" in grounds:
        _skyline(picture, horizon, palette, rng, lit=hour != _DAY)
    _land(picture, horizon, grounds, wishes, palette, rng)
    return np.asarray(np.clip(picture, 0, 1), dtype=np.float32)


def chance(prompt: str, seed: int) -> np.random.Generator:
    """The source of chance of a prompt and a seed."""
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _palette(hour: str, wishes: Wishes, rng: np.random.Generator) -> _Palette:
    drift = float(rng.uniform(-14, 14))
    if hour == _NIGHT:
        palette = (_hsv(228 + drift, 0.75, 0.16), _hsv(212 + drift, 0.55, 0.42), _hsv(50, 0.12, 0.98))
        earth, water = _hsv(215 + drift, 0.45, 0.17), _hsv(215 + drift, 0.6, 0.28)
    elif hour == _SUNSET:
        palette = (_hsv(250 + drift, 0.5, 0.55), _hsv(24 + drift, 0.72, 0.98), _hsv(44, 0.4, 1.0))
        earth, water = _hsv(18 + drift, 0.5, 0.32), _hsv(250 + drift, 0.35, 0.5)
    else:
        palette = (_hsv(210 + drift, 0.62, 0.85), _hsv(200 + drift, 0.18, 0.97), _hsv(52, 0.15, 1.0))
        earth, water = _hsv(96 + 2 * drift, 0.5, 0.5), _hsv(200 + drift, 0.6, 0.62)
    if "autumn" in wishes.scene:
        earth = _hsv(28 + drift, 0.72, 0.6)
    if "desert" in wishes.scene:
        earth = _hsv(34 + drift, 0.55, 0.82 if hour != _NIGHT else 0.35)
    if "winter" in wishes.scene:
        earth = _hsv(210, 0.08, 0.92 if hour == _DAY else 0.6)
    zenith, horizon, light = palette
    hues = [_HUES[name] for name in wishes.colours]
    if hues:
        zenith, horizon = _tinted(zenith, hues[0]), _tinted(horizon, hues[min(1, len(hues) - 1)])
        earth, water = _tinted(earth, hues[-1]), _tinted(water, hues[0])
    return _Palette(
        zenith=zenith, horizon=horizon, light=light, haze=0.7 * horizon + 0.3 * zenith, earth=earth, water=water
    )


def _sky(shape: tuple[int, int], horizon: int, hour: str, palette: _Palette, rng: np.random.Generator) -> Plane:
    height, width = shape
    side = max(shape)
    down = np.clip(np.arange(height, dtype=np.float32) / horizon, 0, 1)[:, None, None] ** 1.3
    picture = np.broadcast_to(palette.zenith * (1 - down) + palette.horizon * down, (height, width, 3)).copy()
    sun_x = float(rng.uniform(0.18, 0.82)) * width
    sun_y = horizon * (0.82 if hour == _SUNSET else float(rng.uniform(0.22, 0.45)))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot(columns - sun_x, rows - sun_y) / side
    glow = np.exp(-distance / (0.16 if hour == _SUNSET else 0.07))[..., None] * (0.75 if hour == _SUNSET else 0.45)
    picture += glow * (palette.light - picture)
    if hour == _NIGHT:
        _stars(picture, horizon, rng)
    radius = 0.045 if hour == _SUNSET else 0.032
    disc = np.clip((radius - distance) * side / 2 + 0.5, 0, 1)[..., None]
    picture += disc * (palette.light - picture)
    cover = clouds((height, width), rng, size=side / 3, octaves=6)
    cover = cv2.resize(cover[:, : max(8, width // 3)], (width, height), interpolation=cv2.INTER_CUBIC)
    strength = np.clip((cover - 0.5) * 4, 0, 1)[..., None] * (0.35 if hour == _NIGHT else 0.75)
    tint = palette.light * 0.75 + palette.horizon * 0.25 if hour != _NIGHT else palette.horizon
    picture += strength * (tint - picture)
    return picture


def _stars(picture: Plane, horizon: int, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    side = max(height, width)
    for _ in range(260):
        place = (int(rng.integers(width)), int(rng.integers(max(1, horizon))))
        brightness = float(rng.uniform(0.5, 1))
        cv2.circle(
            picture, place, max(1, round(side / 700 * rng.uniform(0.5, 1.8))), (brightness,) * 3, -1, cv2.LINE_AA
        )


def _ridges(picture: Plane, horizon: int, palette: _Palette, rng: np.random.Generator, *, snow: bool) -> None:
    height, width = picture.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    for layer, depth in enumerate((0.0, 0.4, 0.8)):
        rise = horizon * (0.55 - 0.16 * layer) * float(rng.uniform(0.8, 1.1))
        crest = horizon + 2 - rise * _ridge_line(width, rng, rough=0.75 - 0.2 * layer)
        cover = np.clip(rows - crest + 0.5, 0, 1)[..., None] * (rows < horizon + 4)[..., None]
        rock = (1 - 0.35 - 0.55 * depth) * palette.haze + (0.35 + 0.55 * depth) * palette.earth * 0.75
        shade = (clouds((height, width), rng, size=width / 14, octaves=5) - 0.5)[..., None]
        face = rock * (1 + 0.9 * shade)
        if snow and layer < 2:  # noqa: PLR2004 - the nearest ridge stays bare
            drop = (rows - crest) / (rise + 1) + 0.7 * shade[..., 0]
            face = (
                face + np.clip((0.2 - drop) * 8, 0, 1)[..., None] * (np.clip(palette.light * 0.96, 0, 1) - face) * 0.85
            )
        picture += cover * (face - picture)


def _ridge_line(width: int, rng: np.random.Generator, *, rough: float) -> Plane:
    """Heights 0..1 along the width: sums of ever finer random zigzags."""
    line = np.zeros(width, dtype=np.float32)
    weight = 1.0
    for knots in (4, 8, 16, 32, 64, 128):
        line += weight * np.interp(np.linspace(0, knots, width), np.arange(knots + 1), rng.random(knots + 1))
        weight *= rough
    return np.asarray((line - line.min()) / (np.ptp(line) + 1e-6))


def _skyline(picture: Plane, horizon: int, palette: _Palette, rng: np.random.Generator, *, lit: bool) -> None:
    width = picture.shape[1]
    unit = width / 40
    for depth in (0.35, 0.75):
        x = -unit
        while x < width:
            wide, tall = unit * rng.uniform(0.9, 2.2), horizon * rng.uniform(0.1, 0.55) * (1.1 - 0.4 * depth)
            wall = (1 - depth) * palette.haze * 0.85 + depth * palette.earth * 0.45 + palette.zenith * 0.08
            left, top = round(x), round(horizon - tall)
            cv2.rectangle(picture, (left, top), (round(x + wide), horizon + 4), wall.tolist(), cv2.FILLED)
            _windows(picture, (left, top, round(wide), horizon), wall, rng, glow=0.95 if lit else 0.25)
            x += wide * rng.uniform(0.8, 1.25)


def _windows(
    picture: Plane, wall: tuple[int, int, int, int], colour: Plane, rng: np.random.Generator, *, glow: float
) -> None:
    left, top, wide, foot = wall
    pitch = max(4, wide // 6)
    lamp = np.array([0.45, 0.8, 1.0]) * glow + colour * (1 - glow)
    for y in range(top + pitch, foot - pitch, pitch):
        for x in range(left + pitch // 2, left + wide - pitch // 2, pitch):
            if rng.random() < 0.55:  # noqa: PLR2004 - somewhat more than half of the windows
                cv2.rectangle(picture, (x, y), (x + pitch // 2, y + pitch // 2), lamp.tolist(), cv2.FILLED)


def _land(
    picture: Plane, horizon: int, grounds: list[str], wishes: Wishes, palette: _Palette, rng: np.random.Generator
) -> None:
    height, width = picture.shape[:2]
    below = height - horizon
    near = (np.arange(below, dtype=np.float32) / below)[:, None, None]
    if "sea" in grounds or grounds == ["city"]:
        mirrored = picture[horizon - min(below, horizon) : horizon][::-1]
        mirrored = cv2.resize(np.ascontiguousarray(mirrored), (width, below), interpolation=cv2.INTER_AREA)
        ripple = (
            cv2.resize(clouds((below, width), rng, size=width / 6, octaves=6)[::6], (width, below))[..., None] - 0.5
        )
        picture[horizon:] = (0.62 * mirrored + 0.38 * palette.water) * (1 - 0.25 * near) + 0.4 * ripple * near**0.5
        return
    texture = clouds((below, width), rng, size=width / 5, octaves=6)[..., None] - 0.5
    soil = palette.earth * (0.95 - 0.3 * near) + palette.haze * 0.25 * (1 - near)
    if "desert" in grounds:
        rows, columns = np.mgrid[0:below, 0:width].astype(np.float32)
        crest = 1.6 * np.sin(columns / width * 5 + 2) + 1.1 * np.sin(columns / width * 11 + rows / below * 3)
        phase = (26 * (rows / below) ** 0.6 + crest + 3 * texture[..., 0]) / (2 * np.pi) % 1
        texture = texture * 0.3 + 0.42 * (0.5 - phase[..., None]) * near**0.4
    picture[horizon:] = soil * (1 + 0.8 * texture)
    if "meadow" in grounds:
        _flowers(picture, horizon, wishes, rng)
    if "forest" in grounds:
        _trees(picture, horizon, palette, rng, autumn="autumn" in wishes.scene)


def _flowers(picture: Plane, horizon: int, wishes: Wishes, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    hues = [_HUES[name] for name in wishes.colours] or [0, 48, 285, 330]
    for nearness in np.sort(rng.random(1400) ** 0.7):
        y = horizon + nearness * (height - horizon)
        colour = _hsv(float(rng.choice(hues)) + rng.uniform(-12, 12), 0.75, 0.95).tolist()
        size = max(1, round(width / 170 * nearness))
        cv2.circle(picture, (int(rng.integers(width)), round(y)), size, colour, cv2.FILLED, cv2.LINE_AA)


def _trees(picture: Plane, horizon: int, palette: _Palette, rng: np.random.Generator, *, autumn: bool) -> None:
    height, width = picture.shape[:2]
    dim = float(np.clip(palette.horizon.mean() + 0.15, 0.35, 1))
    for nearness in np.sort(rng.random(110)) ** 1.4:
        foot = horizon + nearness * 0.75 * (height - horizon)
        tall = height * (0.07 + 0.4 * nearness) * rng.uniform(0.8, 1.2)
        x = rng.uniform(-0.05, 1.05) * width
        hue = rng.uniform(15, 48) if autumn else rng.uniform(95, 150)
        leaf = _hsv(hue, 0.6, dim * rng.uniform(0.35, 0.6)) * (0.45 + 0.55 * nearness) + palette.haze * 0.4 * (
            1 - nearness
        )
        for tier in range(5):
            top, wide = foot - tall * (1 - tier * 0.16), tall * (0.07 + 0.045 * tier)
            corners = np.array([[x, top], [x - wide, top + tall * 0.32], [x + wide, top + tall * 0.32]])
            shade = (leaf * (1.15 - 0.09 * tier)).tolist()
            cv2.fillPoly(picture, [np.rint(corners * 8).astype(np.int32)], shade, cv2.LINE_AA, shift=3)


def hue_colour(name: str, *, saturation: float, value: float) -> tuple[float, float, float]:
    """The BGR colour (0..1) of a colour word of `wording`."""
    blue, green, red = _hsv(_HUES[name], saturation, value).tolist()
    return blue, green, red


def _hsv(hue: float, saturation: float, value: float) -> Plane:
    """Hue in degrees; BGR, 0..1."""
    pixel = np.array([[[hue % 360, saturation, value]]], dtype=np.float32)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0])


def _tinted(colour: Plane, hue: float) -> Plane:
    value = float(colour.max())
    return np.asarray(0.35 * colour + 0.65 * _hsv(hue, 0.65, value))
