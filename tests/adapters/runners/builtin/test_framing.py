"""Pictures cut to another shape keep their subject."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from penstock.adapters.runners.builtin.framing import framed


@pytest.mark.parametrize(
    ("shape", "place", "size"),
    [((300, 300), (60, 150), (160, 90)), ((300, 300), (240, 150), (160, 90)), ((200, 600), (100, 480), (90, 90))],
    ids=["above", "below", "at the right"],
)
def test_a_subject_beside_the_middle_stays_in_the_picture(
    shape: tuple[int, int], place: tuple[int, int], size: tuple[int, int]
) -> None:
    picture = np.full((*shape, 3), (200, 190, 180), dtype=np.uint8)
    cv2.circle(picture, place[::-1], 45, (30, 60, 200), cv2.FILLED, cv2.LINE_AA)

    part = framed(picture, size)

    red = (part == (30, 60, 200)).all(axis=2).sum()
    assert part.shape[1] / part.shape[0] == pytest.approx(size[0] / size[1], rel=0.02)
    assert red > 0.95 * (picture == (30, 60, 200)).all(axis=2).sum()


def test_of_a_subject_that_does_not_fit_the_top_is_kept() -> None:
    picture = np.full((400, 240, 3), (200, 190, 180), dtype=np.uint8)
    cv2.ellipse(picture, (120, 260), (70, 140), 0, 0, 360, (30, 60, 200), cv2.FILLED)
    cv2.circle(picture, (120, 110), 40, (20, 160, 60), cv2.FILLED)

    part = framed(picture, (160, 90))

    green = (part == (20, 160, 60)).all(axis=2)
    assert green.sum() > 0.95 * (picture == (20, 160, 60)).all(axis=2).sum()
    assert np.flatnonzero(green.any(axis=1))[0] < 0.2 * len(part)


def test_a_picture_without_a_subject_is_cut_around_its_middle() -> None:
    picture = np.full((300, 300, 3), 128, dtype=np.uint8)

    part = framed(picture, (160, 90))

    part[:] = 0  # it is a view
    above, below = (int((half == 128).all(axis=(1, 2)).sum()) for half in (picture[:150], picture[150:]))
    assert len(part) == 169
    assert abs(above - below) <= 1


def test_a_picture_of_nearly_the_shape_is_left_as_it_is() -> None:
    picture = np.zeros((90, 162, 3), dtype=np.uint8)

    assert framed(picture, (1280, 720)) is picture
