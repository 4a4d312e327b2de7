"""The builtin models of pictures: from checked inputs to a picture file. Runs in the child."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin import inputs as given
from penstock.adapters.runners.builtin import pictures, styles
from penstock.adapters.runners.builtin.backdrops import LANDSCAPE, paint_backdrop, read_backdrop
from penstock.adapters.runners.builtin.cutout import remove_background
from penstock.adapters.runners.builtin.enlarging import FACTORS, check_enlarged, enlarge, enlarge_plane
from penstock.adapters.runners.builtin.faults import UnusableInputError
from penstock.adapters.runners.builtin.film_models import animate, enlarge_film, restyle, transfer_motion
from penstock.adapters.runners.builtin.painting import paint_landscape
from penstock.adapters.runners.builtin.placing import find_stand, place
from penstock.adapters.runners.builtin.preview import preview
from penstock.adapters.runners.builtin.stylize import stylize
from penstock.adapters.runners.builtin.wording import DEFAULT_STYLE, read_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from penstock.adapters.runners.builtin.inputs import Inputs, Reporter
    from penstock.adapters.runners.builtin.planes import Plane

_PAINTING_PIXELS = 1024 * 1024
_BACKDROP_SIDE = 1600
_DEFAULT_QUALITY = 90
_SUBJECT_SIZES = (64, 2112)
_FORMATS = ("png", "jpeg", "jpg", "webp")
_DEFAULT_BACKDROP = "white studio"
_CAST = 0.12
_LEAST_NAMED = 64


def cut_out(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`remove-background`: write the cut-out to `result`; returns its title and file extension."""
    extension = given.choice(inputs, "output_format", ("png", "webp"), "png")
    photo = given.needed_photo(inputs, reporter, max_pixels=max_pixels)
    reporter.progress(0.2)
    bgra = _subject(photo, reporter, "its background was left as it is", until=0.8)
    _write(bgra, result, extension, quality=_DEFAULT_QUALITY, profile=photo.profile)
    return "cutout", extension


def replace_background(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`replace-background`: write the subject before its new background to `result`; returns title and extension."""
    extension = given.choice(inputs, "output_format", _FORMATS, "png")
    prompt = given.text(inputs, "prompt").strip()
    seed = given.whole(inputs, "seed", 0)
    photo = given.needed_photo(inputs, reporter, max_pixels=max_pixels)
    behind = given.photo(inputs, reporter, max_pixels=max_pixels, name="background")
    reporter.progress(0.1)
    bgra = _subject(photo, reporter, "what is opaque in it was taken for its subject", until=0.6)
    if behind is None:
        backdrop = read_backdrop(prompt or _DEFAULT_BACKDROP)
        words = "" if backdrop.known else ", the default, as the prompt names nothing that can be drawn"
        reporter.log(f"background: {backdrop.words}{words}; drawn by rules, not generative AI")
        stand = find_stand(bgra[..., 3])
        ground = paint_backdrop(
            prompt or _DEFAULT_BACKDROP, _canvas_for(bgra), seed=seed, base=stand.base, middle=stand.middle
        )
        tint = _CAST if backdrop.kind == LANDSCAPE else 0.0
    else:
        ground, tint = _covering(given.over_white(behind), _canvas_for(bgra)), _CAST
    reporter.progress(0.8)
    composed = place(bgra, ground, tint=tint)
    reporter.progress(0.9)
    _write(composed, result, extension, quality=_quality(inputs), profile=photo.profile)
    return "new-background", "jpg" if extension == "jpeg" else extension


def upscale(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`upscale`: write the enlarged picture to `result`; returns its title and file extension."""
    extension = given.choice(inputs, "output_format", _FORMATS, "png")
    factor = given.whole(inputs, "scale_factor", 2)
    if str(factor) not in FACTORS:
        raise UnusableInputError(f"scale_factor: one of {', '.join(FACTORS)} is needed")
    photo = given.needed_photo(inputs, reporter, max_pixels=max_pixels)
    check_enlarged(photo.bgr.shape, factor, max_pixels=max_pixels)
    reporter.progress(0.1)
    denoise = inputs.get("flavor") == "photo_denoiser"
    large = enlarge(photo.bgr, factor, denoise=denoise, progress=lambda done: reporter.progress(0.1 + 0.7 * done))
    if photo.alpha is not None and extension in {"png", "webp"}:
        large = np.dstack([large, enlarge_plane(photo.alpha, factor)])
    _write(large, result, extension, quality=_quality(inputs), profile=photo.profile)
    return "enlarged", "jpg" if extension == "jpeg" else extension


def repaint(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`stylize`: write the painted picture to `result`; returns its title and file extension."""
    extension = given.choice(inputs, "output_format", _FORMATS, "png")
    prompt = given.text(inputs, "prompt")
    if not prompt.strip():
        raise UnusableInputError("prompt: a text is needed")
    wishes = read_prompt(prompt)
    chosen = inputs.get("style") or wishes.style
    style = given.choice({"style": chosen}, "style", tuple(styles.BY_NAME), DEFAULT_STYLE)
    seed = given.whole(inputs, "seed", 0)
    photo = given.photo(inputs, reporter, max_pixels=max_pixels)
    if photo is None:
        reporter.log(
            "no picture was given: this is a demo painting, drawn by rules from the words of the prompt; "
            "it is not generative AI and shows no more than a landscape"
        )
        source = np.rint(paint_landscape(prompt, wishes, _canvas(inputs), seed) * 255).astype(np.uint8)
        profile = None
    else:
        source, profile = given.over_white(photo), photo.profile
    reporter.log(f"painting in {style}" + ("" if chosen else ", the default, as the prompt names no style"))
    reporter.progress(0.3)
    tones = tuple(tone for tone in wishes.tones if photo is not None or tone not in {"warm", "cool"})
    strength = given.fraction(inputs, "strength", 1.0)
    painted = stylize(source, style, tones=tones, strength=strength, seed=seed)
    reporter.progress(0.8)
    _write(painted, result, extension, quality=_quality(inputs), profile=profile)
    return style, "jpg" if extension == "jpeg" else extension


MODELS: Mapping[str, Callable[..., tuple[str, str]]] = {
    "remove-background": cut_out,
    "replace-background": replace_background,
    "upscale": upscale,
    "stylize": repaint,
    "image-to-video": animate,
    "video-to-video": restyle,
    "upscale-video": enlarge_film,
    "motion-transfer": transfer_motion,
    "preview": preview,
}


def _subject(photo: pictures.Photo, reporter: Reporter, otherwise: str, *, until: float) -> Plane:
    """The photograph's subject, 8-bit BGRA. Transparency that it has already is taken for the outline."""
    if photo.alpha is not None:
        reporter.log(f"the picture is already transparent; {otherwise}", level="warning")
        return np.dstack([photo.bgr, photo.alpha])
    cutout = remove_background(photo.bgr, lambda done: reporter.progress(0.2 + (until - 0.2) * done))
    if not cutout.clear:
        reporter.log(
            "no single subject stands out in this picture; what differs from its ground was kept", level="warning"
        )
    return cutout.bgra


def _canvas_for(picture: Plane) -> tuple[int, int]:
    """Height and width of the picture's shape, at most `_BACKDROP_SIDE` on a side."""
    height, width = picture.shape[:2]
    scale = min(1.0, _BACKDROP_SIDE / max(height, width))
    return max(16, round(height * scale)), max(16, round(width * scale))


def _covering(bgr: Plane, shape: tuple[int, int]) -> Plane:
    """The middle of `bgr` that fills `shape` (height, width), float32 0..1."""
    height, width = shape
    scale = max(height / bgr.shape[0], width / bgr.shape[1])
    rows, columns = min(bgr.shape[0], round(height / scale)), min(bgr.shape[1], round(width / scale))
    top, left = (bgr.shape[0] - rows) // 2, (bgr.shape[1] - columns) // 2
    part = bgr[top : top + rows, left : left + columns]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width, height), interpolation=how), dtype=np.float32) / 255


def _canvas(inputs: Inputs) -> tuple[int, int]:
    """Height and width of a picture painted from nothing: as asked, or about a million pixels in the aspect ratio."""
    width, height = given.whole(inputs, "width", 0), given.whole(inputs, "height", 0)
    across, _, down = str(inputs.get("aspect_ratio", "1:1")).partition(":")
    named = int(across) if across.isdecimal() else 0, int(down) if down.isdecimal() else 0
    if not (width and height) and min(named) >= _LEAST_NAMED:  # 1920:1080 is a size, 16:9 a shape
        width, height = named
    smallest, largest = _SUBJECT_SIZES
    if width and height:
        return min(largest, max(smallest, height)), min(largest, max(smallest, width))
    ratio = named[0] / named[1] if min(named) else 1.0
    return round(math.sqrt(_PAINTING_PIXELS / ratio) / 16) * 16, round(math.sqrt(_PAINTING_PIXELS * ratio) / 16) * 16


def _write(pixels: Plane, result: Path, extension: str, *, quality: int, profile: bytes | None) -> None:
    if extension == "png":
        pictures.write_png(pixels, result, profile=profile)
    elif extension == "webp":
        pictures.write_webp(pixels, result, quality=quality, profile=profile)
    else:
        pictures.write_jpeg(pixels, result, quality=quality, profile=profile)


def _quality(inputs: Inputs) -> int:
    return min(100, max(1, given.whole(inputs, "output_quality", _DEFAULT_QUALITY)))
