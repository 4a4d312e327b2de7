"""Reading the inputs of a run in the child: what the catalog let through is still checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from penstock.adapters.runners.builtin import pictures
from penstock.adapters.runners.builtin.faults import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.adapters.runners.builtin.planes import Plane

    Inputs = Mapping[str, object]


class Reporter(Protocol):
    """The child's words to its parent."""

    def log(self, message: str, *, level: str = "info") -> None: ...

    def progress(self, fraction: float) -> None: ...


def photo(inputs: Inputs, reporter: Reporter, *, max_pixels: int, name: str = "image") -> pictures.Photo | None:
    """The picture under `name`; None where there is none. Raises `UnusableInputError`."""
    path = file(inputs, name)
    if path is None:
        return None
    found = pictures.read_photo(path, max_pixels=max_pixels)
    if found.frames > 1:
        reporter.log(f"the picture has {found.frames} frames; the first was taken", level="warning")
    return found


def needed_photo(inputs: Inputs, reporter: Reporter, *, max_pixels: int) -> pictures.Photo:
    """The picture under `image`. Raises `UnusableInputError`, also where there is none."""
    found = photo(inputs, reporter, max_pixels=max_pixels)
    if found is None:
        raise UnusableInputError("image: a picture is needed")
    return found


def file(inputs: Inputs, name: str) -> Path | None:
    """The file under `name`; None where there is none. Raises `UnusableInputError`."""
    path = inputs.get(name)
    if path is not None and not isinstance(path, Path):
        raise UnusableInputError(f"{name}: a file is needed")
    return path


def over_white(photo: pictures.Photo) -> Plane:
    """The picture without transparency, 8-bit BGR."""
    if photo.alpha is None:
        return photo.bgr
    share = photo.alpha[..., None].astype(np.float32) / 255
    return np.asarray(np.rint(photo.bgr * share + 255 * (1 - share)), dtype=np.uint8)


def text(inputs: Inputs, name: str) -> str:
    """The text under `name`, empty where there is none. Raises `UnusableInputError`."""
    value = inputs.get(name, "")
    if not isinstance(value, str):
        raise UnusableInputError(f"{name}: a text is needed")
    return value


def choice(inputs: Inputs, name: str, choices: tuple[str, ...], default: str) -> str:
    """One of `choices`. Raises `UnusableInputError`."""
    value = inputs.get(name)
    if value is None:
        return default
    if value not in choices:
        raise UnusableInputError(f"{name}: one of {', '.join(choices)} is needed")
    return str(value)


def whole(inputs: Inputs, name: str, default: int) -> int:
    """A whole number. Raises `UnusableInputError`."""
    value = inputs.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnusableInputError(f"{name}: a whole number is needed")
    return value


def fraction(inputs: Inputs, name: str, default: float) -> float:
    """A number, brought to 0..1. Raises `UnusableInputError`."""
    value = inputs.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableInputError(f"{name}: a number is needed")
    return min(1.0, max(0.0, float(value)))
