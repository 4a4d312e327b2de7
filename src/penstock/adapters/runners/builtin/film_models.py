"""The builtin models that make films. Runs in the child."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin import inputs as given
from penstock.adapters.runners.builtin import styles
from penstock.adapters.runners.builtin.camera import MOVES, TRAVELLING, Move, read_move
from penstock.adapters.runners.builtin.enlarging import enlarge_to
from penstock.adapters.runners.builtin.faults import UnusableInputError
from penstock.adapters.runners.builtin.films import FRAMES_PER_SECOND, film_format, film_writer
from penstock.adapters.runners.builtin.footage import is_film, open_footage, pictures
from penstock.adapters.runners.builtin.framing import framed
from penstock.adapters.runners.builtin.motion import film, film_along
from penstock.adapters.runners.builtin.painting import paint_landscape
from penstock.adapters.runners.builtin.pictures import read_photo
from penstock.adapters.runners.builtin.stylize import stylize
from penstock.adapters.runners.builtin.swaying import sway
from penstock.adapters.runners.builtin.wording import read_prompt

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.adapters.runners.builtin.footage import Footage
    from penstock.adapters.runners.builtin.inputs import Inputs, Reporter
    from penstock.adapters.runners.builtin.planes import Plane

SECONDS = (2, 10)
DEFAULT_SECONDS = 5
_SMALLEST, _LARGEST = 64, 1920
_PIXELS = 1280 * 720
_PAINTED_PIXELS = 960 * 540
_PAINTED_PER_SECOND = 8
"""Painted films show each picture for three frames, as hand-drawn ones do: a picture takes up to two seconds."""
_FILM_STYLE = "cartoon"
LARGEST_FILM = 2048
_SIDES = {"720p": 1280, "1k": 1024, "2k": 2048, "4k": 3840}
"""Pixels on a film's longer side."""
_LEAST_NAMED = 64
"""From here on the numbers of a ratio are pixels, as in `1280:720`; below, as in `16:9`, its shape alone."""


def animate(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`image-to-video`: write the film to `result`; returns its title and file extension."""
    extension = film_format(given.choice(inputs, "output_format", ("mp4", "webm"), "") or None)
    prompt, seed = given.text(inputs, "prompt"), given.whole(inputs, "seed", 0)
    seconds = min(SECONDS[1], max(SECONDS[0], given.whole(inputs, "duration", DEFAULT_SECONDS)))
    photo = given.photo(inputs, reporter, max_pixels=max_pixels)
    if photo is None and not prompt.strip():
        raise UnusableInputError("image: a picture is needed, or a prompt to paint one from")
    size = film_size(given.text(inputs, "ratio"), None if photo is None else photo.bgr.shape)
    picture = _painted(prompt, size, seed, reporter) if photo is None else given.over_white(photo)
    move = _move(inputs, prompt, reporter)
    if move.name not in TRAVELLING and photo is not None:
        picture = framed(picture, size)
    frames = seconds * FRAMES_PER_SECOND
    reporter.progress(0.05)
    with film_writer(result, extension, size=size) as writer:
        for number, frame in enumerate(film(picture, move, size=size, frames=frames, phase=float(seed % 997)), start=1):
            writer.write(frame)
            reporter.progress(0.05 + 0.9 * number / frames)
    return move.name, extension


def restyle(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`video-to-video`: write the repainted film to `result`; returns its title and file extension."""
    del max_pixels  # films have a limit of their own
    extension = film_format(given.choice(inputs, "output_format", ("mp4", "webm"), "") or None)
    footage, seconds = _footage(inputs, "video", reporter)
    wishes = read_prompt(given.text(inputs, "prompt"))
    chosen = inputs.get("style") or wishes.style
    style = given.choice({"style": chosen}, "style", tuple(styles.BY_NAME), _FILM_STYLE)
    reporter.log(f"painting in {style}" + ("" if chosen else ", the default, as the prompt names no style"))
    size = film_size("", (footage.size[1], footage.size[0]), at_most=_PAINTED_PIXELS)
    seed, strength = given.whole(inputs, "seed", 0), given.fraction(inputs, "strength", 1.0)
    painted = pictures(footage, every=1 / _PAINTED_PER_SECOND, seconds=seconds)
    with film_writer(result, extension, size=size) as writer:
        for number, picture in enumerate(painted, start=1):
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            frame = stylize(small, style, tones=wishes.tones, strength=strength, seed=seed)
            for _ in range(FRAMES_PER_SECOND // _PAINTED_PER_SECOND):
                writer.write(frame)
            reporter.progress(min(0.95, number / (seconds * _PAINTED_PER_SECOND)))
    return style, extension


def enlarge_film(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`upscale-video`: write the enlarged film to `result`; returns its title and file extension."""
    del max_pixels  # films have a limit of their own
    extension = film_format(given.choice(inputs, "output_format", ("mp4", "webm"), "") or None)
    footage, seconds = _footage(inputs, "video", reporter)
    wanted = given.choice(inputs, "resolution", tuple(_SIDES), "2k")
    if _SIDES[wanted] > LARGEST_FILM:
        reporter.log(f"{wanted} is more than is made here; the film gets 2k", level="warning")
    scale = max(1.0, min(LARGEST_FILM, _SIDES[wanted]) / max(footage.size))
    width, height = (max(2, round(length * scale / 2) * 2) for length in footage.size)
    with film_writer(result, extension, size=(width, height)) as writer:
        shown = pictures(footage, every=1 / FRAMES_PER_SECOND, seconds=seconds)
        for number, picture in enumerate(shown, start=1):
            writer.write(enlarge_to(picture, (width, height)))
            reporter.progress(min(0.95, number / (seconds * FRAMES_PER_SECOND)))
    return "enlarged", extension


def transfer_motion(inputs: Inputs, result: Path, reporter: Reporter, *, max_pixels: int) -> tuple[str, str]:
    """`motion-transfer`: write the picture that moves as a film does to `result`; returns title and file extension."""
    extension = film_format(given.choice(inputs, "output_format", ("mp4", "webm"), "") or None)
    footage, seconds = _footage(inputs, "reference", reporter)
    character = _character(inputs, reporter, max_pixels=max_pixels)
    size = film_size(given.text(inputs, "ratio"), character.shape)
    character = framed(character, size)
    path = sway(pictures(footage, every=1 / FRAMES_PER_SECOND, seconds=seconds))
    reporter.progress(0.3)
    with film_writer(result, extension, size=size) as writer:
        for number, frame in enumerate(film_along(character, path, size), start=1):
            writer.write(frame)
            reporter.progress(0.3 + 0.65 * number / len(path))
    return "performance", extension


def film_size(ratio: str, shape: tuple[int, ...] | None, *, at_most: int = _PIXELS) -> tuple[int, int]:
    """Width and height in even pixels: as named (`1280:720`), in that shape (`16:9`), or in the picture's shape."""
    across, _, down = ratio.replace("x", ":").partition(":")
    if across.isdecimal() and down.isdecimal() and int(across) and int(down):
        width, height = int(across), int(down)
        if min(width, height) >= _LEAST_NAMED:
            return _even(width), _even(height)
        return _shaped(width / height, at_most)
    if ratio:
        raise UnusableInputError("ratio: two numbers are needed, as in 1280:720 or 16:9")
    return _shaped(16 / 9 if shape is None else shape[1] / shape[0], at_most)


def _footage(inputs: Inputs, name: str, reporter: Reporter) -> tuple[Footage, float]:
    """The film under `name`, and how many seconds of it are taken."""
    path = given.file(inputs, name)
    if path is None:
        raise UnusableInputError(f"{name}: a film is needed")
    footage = open_footage(path)
    if footage.seconds > SECONDS[1]:
        reporter.log(f"the film's first {SECONDS[1]} seconds were taken", level="warning")
    return footage, min(float(SECONDS[1]), footage.seconds or SECONDS[1])


def _character(inputs: Inputs, reporter: Reporter, *, max_pixels: int) -> Plane:
    """The picture under `character`, or the first of the film that it is."""
    path = given.file(inputs, "character")
    if path is None:
        raise UnusableInputError("character: a picture or a film is needed")
    if is_film(path):
        reporter.log("the character is a film; its first picture was taken", level="warning")
        return next(pictures(open_footage(path), every=1.0, seconds=1.0))
    return given.over_white(read_photo(path, max_pixels=max_pixels))


def _shaped(ratio: float, pixels: int) -> tuple[int, int]:
    return _even(math.sqrt(pixels * ratio)), _even(math.sqrt(pixels / ratio))


def _even(pixels: float) -> int:
    """Chroma is kept for every second pixel."""
    return min(_LARGEST, max(_SMALLEST, round(pixels / 2) * 2))


def _move(inputs: Inputs, prompt: str, reporter: Reporter) -> Move:
    asked = inputs.get("camera")
    move = read_move(prompt)
    if asked is not None:
        name = given.choice(inputs, "camera", MOVES, move.name)
        move = Move(name=name, strength=move.strength, asked=True)
    words = "" if move.asked else ", the default, as the prompt names no camera move"
    reporter.log(f"camera: {move.name}{words}")
    return move


def _painted(prompt: str, size: tuple[int, int], seed: int, reporter: Reporter) -> Plane:
    reporter.log(
        "no picture was given: this film shows a demo painting, drawn by rules from the words of the prompt; "
        "it is not generative AI"
    )
    landscape = paint_landscape(prompt, read_prompt(prompt), size[::-1], seed)
    return np.asarray(np.rint(landscape * 255), dtype=np.uint8)
