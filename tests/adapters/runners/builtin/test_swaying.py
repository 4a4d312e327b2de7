"""A picture that moves as a film does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from penstock.adapters.runners.builtin.motion import film_along
from penstock.adapters.runners.builtin.pictures import read_photo
from penstock.adapters.runners.builtin.swaying import sway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.adapters.runners.builtin.planes import Plane


def moving(photo: Plane, *, right: float = 0, down: float = 0, turn: float = 0, grow: float = 0) -> Iterator[Plane]:
    """Thirteen pictures in which the photograph goes so many pixels, degrees and shares further each time."""
    height, width = photo.shape[:2]
    for step in range(13):
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -turn * step, 1 + grow * step)
        matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + np.array([right * step, down * step])])
        yield cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


def cup(coffee: Path) -> Plane:
    return read_photo(coffee, max_pixels=10**7).bgr


def test_the_camera_goes_against_what_it_shall_show_to_move(coffee: Path) -> None:
    path = sway(moving(cup(coffee), right=3, down=-2))

    rights, downs = [frame.right for frame in path], [frame.down for frame in path]
    assert rights == sorted(rights, reverse=True)
    assert downs == sorted(downs)
    assert rights[-1] < -0.2
    assert downs[-1] > 0.1


def test_what_nears_and_turns_in_the_film_does_so_before_the_camera(coffee: Path) -> None:
    first, *_, last = sway(moving(cup(coffee), turn=0.5, grow=0.01))

    assert last.zoom > 1.05 * first.zoom
    assert last.roll < first.roll - 0.05


def test_a_still_film_leaves_the_picture_still(coffee: Path) -> None:
    path = sway([cup(coffee)] * 4)

    assert all(abs(frame.right) < 0.01 and abs(frame.down) < 0.01 and abs(frame.roll) < 0.01 for frame in path)


def test_a_film_of_nothing_moves_nothing() -> None:
    path = sway([np.full((90, 160, 3), 128, dtype=np.uint8)] * 3)

    assert len(set(path)) == 1


def test_the_picture_goes_the_way_of_the_film(coffee: Path, cat: Path) -> None:
    character = read_photo(cat, max_pixels=10**7).bgr

    first, *_, last = film_along(character, sway(moving(cup(coffee), right=3)), (226, 150))

    grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32) for frame in (first, last)]
    (across, _), _ = cv2.phaseCorrelate(grey[0], grey[1])
    assert across > 4
