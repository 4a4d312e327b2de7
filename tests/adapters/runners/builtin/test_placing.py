"""Setting a cut-out into another picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from penstock.adapters.runners.builtin.placing import find_stand, place

if TYPE_CHECKING:
    from penstock.adapters.runners.builtin.planes import Plane


def disc(*, down: int = 100) -> Plane:
    """A red disc of radius 40 in the middle of 300 × 200, `down` pixels from the top, cut out."""
    bgra = np.zeros((200, 300, 4), dtype=np.uint8)
    cv2.circle(bgra, (150, down), 40, (20, 30, 200, 255), cv2.FILLED)
    return bgra


GREY = np.full((100, 150, 3), 0.5, dtype=np.float32)


def test_the_subject_keeps_its_pixels_and_the_rest_is_the_background() -> None:
    placed = place(disc(), GREY, tint=0)

    assert placed.shape == (200, 300, 3)
    assert placed[100, 150].tolist() == [20, 30, 200]
    assert placed[5, 5].tolist() == [128, 128, 128]


def test_a_standing_subject_throws_a_shadow_below_it_and_none_far_above() -> None:
    placed = place(disc(), GREY, tint=0)

    assert placed[145, 150].max() < 115
    assert placed[20, 150].tolist() == [128, 128, 128]


def test_a_tint_gives_the_subject_the_cast_of_its_background() -> None:
    warm = np.full((100, 150, 3), (0.2, 0.4, 0.8), dtype=np.float32)

    plain, tinted = place(disc(), warm, tint=0), place(disc(), warm, tint=0.2)

    assert tinted[100, 150, 0] < plain[100, 150, 0]


@pytest.mark.parametrize(("down", "base", "cut"), [(100, 0.705, False), (180, 1.0, True)])
def test_a_subject_stands_where_it_ends_below_unless_the_picture_cuts_it(down: int, base: float, cut: bool) -> None:
    found = find_stand(disc(down=down)[..., 3])

    assert found.base == pytest.approx(base, abs=0.01)
    assert found.middle == pytest.approx(0.5017, abs=0.01)
    assert found.cut is cut


def test_an_empty_cut_out_gives_the_background_alone() -> None:
    assert place(np.zeros((200, 300, 4), dtype=np.uint8), GREY, tint=0.1).tolist()[0][0] == [128, 128, 128]
