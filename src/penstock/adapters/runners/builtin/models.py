"""The builtin models: from checked inputs to a picture file. Runs in the child."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from penstock.adapters.runners.builtin import pictures, styles
from penstock.adapters.runners.builtin.cutout import remove_background
from penstock.adapters.runners.builtin.faults import UnusableInputError
from penstock.adapters.runners.builtin.painting import paint_landscape
from penstock.adapters.runners.builtin.stylize import stylize
from penstock.adapters.runners.builtin.wording import DEFAULT_STYLE, read_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.adapters.runners.builtin.planes import Plane

    Inputs = Mapping[str, object]

_PAINTING_PIXELS = 1024 * 1024
_DEFAULT_QUALITY = 90
_SUBJECT_SIZES = (64, 2048)


class Reporter(Protocol):
    """The child's words to its parent."""

    def log(self, message: str, *, level: str = "info") -> None: ...

    def progress(self, fraction: float) -> None: ...


def cut_out(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`remove-background`: write the cut-out to `result`; returns its title and file extension."""
    extension = _choice(inputs, "output_format", ("png", "webp"), "png")
    photo = _photo(inputs, reporter, max_pixels=max_pixels)
    if photo is None:
        raise UnusableInputError("image: a picture is needed")
    reporter.progress(0.2)
    if photo.alpha is not None:
        reporter.log("the picture is already transparent; its background was left as it is", level="warning")
        bgra = np.dstack([photo.bgr, photo.alpha])
    else:
        cutout = remove_background(photo.bgr, lambda done: reporter.progress(0.2 + 0.6 * done))
        if not cutout.clear:
            reporter.log(
                "no single subject stands out in this picture; what differs from its ground was kept", level="warning"
            )
        bgra = cutout.bgra
    _write(bgra, result, extension, quality=_DEFAULT_QUALITY, profile=photo.profile)
    return "cutout", extension


def repaint(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`stylize`: write the painted picture to `result`; returns its title and file extension."""
    extension = _choice(inputs, "output_format", ("png", "jpeg", "jpg", "webp"), "png")
    prompt = inputs.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise UnusableInputError("prompt: a text is needed")
    wishes = read_prompt(prompt)
    chosen = inputs.get("style") or wishes.style
    style = _choice({"style": chosen}, "style", tuple(styles.BY_NAME), DEFAULT_STYLE)
    seed = _whole(inputs, "seed", 0)
    photo = _photo(inputs, reporter, max_pixels=max_pixels)
    if photo is None:
        reporter.log(
            "no picture was given: this is a demo painting, drawn by rules from the words of the prompt; "
            "it is not generative AI and shows no more than a landscape"
        )
        source = np.rint(paint_landscape(prompt, wishes, _canvas(inputs), seed) * 255).astype(np.uint8)
        profile = None
    else:
        source, profile = _over_white(photo), photo.profile
    reporter.log(f"painting in {style}" + ("" if chosen else ", the default, as the prompt names no style"))
    reporter.progress(0.3)
    tones = tuple(tone for tone in wishes.tones if photo is not None or tone not in {"warm", "cool"})
    painted = stylize(source, style, tones=tones, strength=_fraction(inputs, "strength", 1.0), seed=seed)
    reporter.progress(0.8)
    quality = min(100, max(1, _whole(inputs, "output_quality", _DEFAULT_QUALITY)))
    _write(painted, result, extension, quality=quality, profile=profile)
    return style, "jpg" if extension == "jpeg" else extension


MODELS: Mapping[str, Callable[..., tuple[str, str]]] = {"remove-background": cut_out, "stylize": repaint}


def _photo(inputs: Inputs, reporter: Reporter, *, max_pixels: int) -> pictures.Photo | None:
    path = inputs.get("image")
    if path is None:
        return None
    if not isinstance(path, Path):
        raise UnusableInputError("image: a file is needed")
    photo = pictures.read_photo(path, max_pixels=max_pixels)
    if photo.frames > 1:
        reporter.log(f"the picture has {photo.frames} frames; the first was taken", level="warning")
    return photo


def _over_white(photo: pictures.Photo) -> Plane:
    if photo.alpha is None:
        return photo.bgr
    share = photo.alpha[..., None].astype(np.float32) / 255
    return np.asarray(np.rint(photo.bgr * share + 255 * (1 - share)), dtype=np.uint8)


def _canvas(inputs: Inputs) -> tuple[int, int]:
    """Height and width of a picture painted from nothing: as asked, or about a million pixels in the aspect ratio."""
    width, height = _whole(inputs, "width", 0), _whole(inputs, "height", 0)
    smallest, largest = _SUBJECT_SIZES
    if width and height:
        return min(largest, max(smallest, height)), min(largest, max(smallest, width))
    across, _, down = str(inputs.get("aspect_ratio", "1:1")).partition(":")
    ratio = int(across) / int(down) if across.isdigit() and down.isdigit() and int(across) and int(down) else 1.0
    return round(math.sqrt(_PAINTING_PIXELS / ratio) / 16) * 16, round(math.sqrt(_PAINTING_PIXELS * ratio) / 16) * 16


def _write(pixels: Plane, result: Path, extension: str, *, quality: int, profile: bytes | None) -> None:
    if extension == "png":
        pictures.write_png(pixels, result, profile=profile)
    elif extension == "webp":
        pictures.write_webp(pixels, result, quality=quality, profile=profile)
    else:
        pictures.write_jpeg(pixels, result, quality=quality, profile=profile)


def _choice(inputs: Inputs, name: str, choices: tuple[str, ...], default: str) -> str:
    value = inputs.get(name)
    if value is None:
        return default
    if value not in choices:
        raise UnusableInputError(f"{name}: one of {', '.join(choices)} is needed")
    return str(value)


def _whole(inputs: Inputs, name: str, default: int) -> int:
    value = inputs.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnusableInputError(f"{name}: a whole number is needed")
    return value


def _fraction(inputs: Inputs, name: str, default: float) -> float:
    value = inputs.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableInputError(f"{name}: a number is needed")
    return min(1.0, max(0.0, float(value)))
