"""A sound's picture: one bar per column, as long as the sound is loud there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from penstock.adapters.media.pictures import SIDE, write

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEIGHT = 160
_STEP = 4
COLUMNS = SIDE // _STEP
_COLOUR = (79, 70, 229, 255)


def draw(peaks: Sequence[float]) -> bytes:
    """WebP, on nothing; `peaks` from 0 to 1, at most `COLUMNS` of them."""
    image = Image.new("RGBA", (SIDE, _HEIGHT), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(image)
    middle = _HEIGHT / 2
    for column, peak in enumerate(peaks):
        left = column * SIDE // len(peaks)
        half = max(1.0, peak * (middle - 2))
        canvas.rectangle((left, middle - half, left + _STEP - 2, middle + half), fill=_COLOUR)
    return write(image)
