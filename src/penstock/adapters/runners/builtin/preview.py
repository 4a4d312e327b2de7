"""`preview`: what a run asked for, drawn as a picture that says of itself that no model was run. Runs in the child.

Everything that would steer an inference goes into one hash, and the hash into the pattern: the same request gives the
same picture, any other another one. The bars at the foot are the hash of the weights' header.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin import inputs as given
from penstock.adapters.runners.builtin import pictures
from penstock.adapters.runners.builtin.faults import UnusableInputError

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.adapters.runners.builtin.inputs import Inputs, Reporter
    from penstock.adapters.runners.builtin.planes import Plane

NOTICE = "PREVIEW, NOT AN INFERENCE"
_FORMATS = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "webp": "webp"}
_SIDE = 512
_SIDES = (64, 2048)
_CELLS = 6
_QUALITY = 90
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LINE_LETTERS = 48
_MOST_LINES = 4
"""Of one thing that is told: a longer prompt ends in dots."""
_WORDS = ("prompt", "negative_prompt", "scheduler")
_NUMBERS = ("seed", "steps", "cfg", "strength", "width", "height")
_MODELS = ("weights", "loras", "embeddings", "controlnets", "vae")


def preview(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """Write the preview to `result`; returns its title and file extension."""
    wanted = given.text(inputs, "output_format").lower() or "png"
    if wanted not in _FORMATS:
        raise UnusableInputError(f"output_format: one of {', '.join(_FORMATS)} is needed")
    height, width = _side(inputs, "height"), _side(inputs, "width")
    photo = given.photo(inputs, reporter, max_pixels=max_pixels, name="seed_image")
    reporter.log("this picture is a preview: no model was run, and none of its weights but their header were read")
    canvas = _pattern(_seed_of(inputs, photo), height, width)
    if photo is not None:
        strength = given.fraction(inputs, "strength", 0.8)
        below = cv2.resize(given.over_white(photo), (width, height), interpolation=cv2.INTER_AREA)
        canvas = cv2.addWeighted(canvas, strength, below, 1 - strength, 0)
    reporter.progress(0.5)
    _bars(canvas, str(_model(inputs, "weights").get("header_sha256", "")))
    _write_lines(canvas, [NOTICE, *_lines(inputs)])
    _save(canvas, result, _FORMATS[wanted])
    return "preview", _FORMATS[wanted]


def _seed_of(inputs: Inputs, photo: pictures.Photo | None) -> int:
    said = {name: inputs.get(name) for name in (*_WORDS, *_NUMBERS, *_MODELS)}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    if photo is not None:
        digest.update(photo.bgr.tobytes())
    return int.from_bytes(digest.digest(), "big")


def _pattern(seed: int, height: int, width: int) -> Plane:
    """Soft fields of colour under a fine weave, 8-bit BGR."""
    chance = np.random.default_rng(seed)
    cells = chance.integers(40, 216, (_CELLS, _CELLS, 3)).astype(np.float32)
    field = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    across, down = chance.uniform(0.02, 0.2, 2)
    weave = np.sin(np.arange(width) * across)[None, :, None] * np.sin(np.arange(height) * down)[:, None, None]
    return np.asarray(np.clip(field + 24 * weave, 0, 255), dtype=np.uint8)


def _bars(canvas: Plane, digest: str) -> None:
    """One bar for each letter of a hexadecimal hash, along the lower edge."""
    height, width = canvas.shape[:2]
    for place, letter in enumerate(digest):
        left, right = place * width // len(digest), (place + 1) * width // len(digest)
        tall = max(1, height * int(letter, 16) // 150)
        cv2.rectangle(canvas, (left, height - tall), (max(left, right - 2), height), (255, 255, 255), cv2.FILLED)


def _lines(inputs: Inputs) -> list[str]:
    base = _model(inputs, "weights")
    told = [f"{base.get('air', 'no model')} ({base.get('architecture', '-')})"]
    told += _wrapped(" ".join(f"{name} {inputs[name]}" for name in _NUMBERS if inputs.get(name) is not None))
    told += _wrapped(str(inputs.get("prompt", "")))
    beside = inputs.get("loras")
    told += [
        f"+ {_model(lora, 'model').get('air')} x {lora.get('weight', 1)}"
        for lora in (beside if isinstance(beside, list) else [])
    ]
    told.append(f"header {str(base.get('header_sha256', '-'))[:16]}")
    return told


def _wrapped(words: str) -> list[str]:
    """In as many lines as they need, up to a few."""
    return textwrap.wrap(
        words[: _MOST_LINES * _LINE_LETTERS + 1], _LINE_LETTERS, max_lines=_MOST_LINES, placeholder=" ..."
    )


def _write_lines(canvas: Plane, lines: list[str]) -> None:
    """Each in white on a dark band, as large as the picture lets it be."""
    height, width = canvas.shape[:2]
    step = max(8, height // (len(lines) * 2 + 2))
    for place, line in enumerate(lines):
        text = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in line[:_LINE_LETTERS])
        (wide, tall), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
        scale = min(0.9 * width / max(1, wide), 0.7 * step / max(1, tall))
        foot = step * (place + 1) + place * step // 2
        canvas[max(0, foot - step) : foot + step // 3] //= 3
        cv2.putText(canvas, text, (width // 20, foot), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)


def _model(inputs: Inputs, name: str) -> Inputs:
    found = inputs.get(name)
    return found if isinstance(found, dict) else {}


def _side(inputs: Inputs, name: str) -> int:
    smallest, largest = _SIDES
    side = given.whole(inputs, name, _SIDE)
    if not smallest <= side <= largest:
        raise UnusableInputError(f"{name}: {smallest} to {largest} pixels are needed")
    return side


def _save(canvas: Plane, result: Path, extension: str) -> None:
    if extension == "png":
        pictures.write_png(canvas, result, profile=None)
    elif extension == "webp":
        pictures.write_webp(canvas, result, quality=_QUALITY, profile=None)
    else:
        pictures.write_jpeg(canvas, result, quality=_QUALITY, profile=None)
