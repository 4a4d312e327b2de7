"""Cutting a picture to another shape so that its subject stays in it: of a person, the head rather than the feet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from penstock.adapters.runners.builtin.cutout import SEARCH_SIDE, resized
from penstock.adapters.runners.builtin.subject import find_subject

if TYPE_CHECKING:
    from penstock.adapters.runners.builtin.planes import Plane

_NEARLY = 1.03
_FAINT = 0.005
"""`Subject.clarity` from which a subject counts here: to frame it, less will do than to cut it out."""
_CRUMB = 0.02
"""Rows and columns with less of the subject than this share are not looked at."""
_HEADROOM = 0.06


def framed(bgr: Plane, size: tuple[int, int]) -> Plane:
    """The part of an 8-bit picture that has the shape of `size` (width, height) and its subject, or its middle."""
    height, width = bgr.shape[:2]
    ratio = size[0] / size[1]
    wide, tall = width / (height * ratio), height * ratio / width
    if max(wide, tall) < _NEARLY:
        return bgr
    subject = find_subject(resized(bgr, SEARCH_SIDE))
    clear = subject.clarity >= _FAINT
    if wide > 1:
        across = max(1, round(height * ratio))
        left = (
            _start(subject.outline.mean(axis=0), across / width, headroom=False) if clear else (1 - across / width) / 2
        )
        first = round(left * width)
        return bgr[:, first : first + across]
    down = max(1, round(width / ratio))
    top = _start(subject.outline.mean(axis=1), down / height, headroom=True) if clear else (1 - down / height) / 2
    first = round(top * height)
    return bgr[first : first + down]


def _start(shares: Plane, window: float, *, headroom: bool) -> float:
    """Where a window (a share of the whole) begins that shows the subject; one that does not fit shows its top."""
    seen = np.flatnonzero(shares > _CRUMB)
    if not len(seen):
        return (1 - window) / 2
    begin, end = float(seen[0]) / len(shares), float(seen[-1] + 1) / len(shares)
    if headroom and end - begin > window * (1 - 2 * _HEADROOM):
        start = begin - _HEADROOM * window
    else:
        start = (begin + end - window) / 2
    return min(1 - window, max(0.0, start))
