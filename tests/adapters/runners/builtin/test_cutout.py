"""Background removal on real photographs, against outlines drawn by hand."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from penstock.adapters.runners.builtin.cutout import Cutout, remove_background
from penstock.adapters.runners.builtin.pictures import read_photo

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.adapters.runners.builtin.planes import Plane

# Corners of the cat's outline in examples/chelsea.png, drawn by eye (its right ear, out of focus, included).
CAT_OUTLINE = [
    (0, 125), (28, 112), (38, 60), (42, 0), (395, 0), (385, 35), (358, 62), (365, 100), (360, 150), (340, 200),
    (320, 225), (318, 262), (300, 300), (0, 300),
]  # fmt: skip


@functools.cache
def cut(path: Path) -> Cutout:
    return remove_background(read_photo(path, max_pixels=10**7).bgr, lambda _: None)


def drawn_cat() -> Plane:
    mask = np.zeros((300, 451), dtype=np.uint8)
    cv2.fillPoly(mask, [np.array(CAT_OUTLINE)], 1)
    return mask > 0


def drawn_cup() -> Plane:
    """Cup, saucer and the spoon's handle in examples/coffee.png."""
    mask = np.zeros((400, 600), dtype=np.uint8)
    cv2.ellipse(mask, (278, 221), (201, 163), 6, 0, 360, 1, cv2.FILLED)
    cv2.ellipse(mask, (290, 110), (118, 92), 5, 0, 360, 1, cv2.FILLED)
    cv2.line(mask, (410, 80), (390, 180), 1, 22)
    return mask > 0


def overlap(alpha: Plane, drawn: Plane) -> float:
    """Intersection over union."""
    found = alpha >= 128
    return float((found & drawn).sum() / (found | drawn).sum())


def test_the_cup_is_cut_out_along_its_outline(coffee: Path) -> None:
    cutout = cut(coffee)

    assert cutout.clear
    assert overlap(cutout.bgra[..., 3], drawn_cup()) > 0.85  # the saucer's shadow stays with it


def test_the_cat_is_cut_out_along_its_outline(cat: Path) -> None:
    cutout = cut(cat)

    assert cutout.clear
    assert overlap(cutout.bgra[..., 3], drawn_cat()) > 0.92


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [
        (290, 25, "rim"),
        (285, 150, "coffee"),
        (110, 220, "saucer"),
        (365, 285, "spoon"),
        (230, 262, "handle"),
        (412, 82, "spoon's end"),
    ],
)
def test_every_part_of_the_cup_is_opaque(coffee: Path, x: int, y: int, part: str) -> None:
    assert cut(coffee).bgra[y, x, 3] == 255, part


@pytest.mark.parametrize(("x", "y"), [(0, 0), (599, 0), (599, 399), (0, 399), (540, 200), (40, 150)])
def test_the_table_is_transparent_and_keeps_no_colour(coffee: Path, x: int, y: int) -> None:
    assert cut(coffee).bgra[y, x].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("x", "y", "part"), [(165, 110, "left eye"), (320, 130, "right eye"), (265, 245, "nose"), (100, 180, "cheek")]
)
def test_the_cats_face_is_opaque(cat: Path, x: int, y: int, part: str) -> None:
    assert cut(cat).bgra[y, x, 3] == 255, part


@pytest.mark.parametrize(("x", "y"), [(440, 150), (400, 250), (440, 290), (5, 10)])
def test_the_blurred_bed_behind_the_cat_is_transparent(cat: Path, x: int, y: int) -> None:
    assert cut(cat).bgra[y, x, 3] == 0


def test_inside_the_subject_not_a_pixel_is_changed(coffee: Path) -> None:
    photo = read_photo(coffee, max_pixels=10**7)

    bgra = remove_background(photo.bgr, lambda _: None).bgra

    inside = bgra[..., 3] == 255
    assert (bgra[inside][:, :3] == photo.bgr[inside]).all()


def test_the_edge_is_soft_but_narrow(coffee: Path) -> None:
    alpha = cut(coffee).bgra[..., 3]

    mixed = (alpha > 0) & (alpha < 255)
    outline_length = cv2.arcLength(
        np.argwhere(cv2.Canny(alpha, 100, 200) > 0)[:, None].astype(np.float32), closed=False
    )
    assert 0 < mixed.sum() < 6 * outline_length
    assert mixed.mean() < 0.06


def test_the_picture_enlarged_sixfold_gives_the_same_cut(coffee: Path) -> None:
    photo = read_photo(coffee, max_pixels=10**7).bgr
    large = cv2.resize(photo, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)

    alpha = remove_background(large, lambda _: None).bgra[..., 3]

    assert alpha.shape == (2400, 3600)
    assert overlap(cv2.resize(alpha, (600, 400), interpolation=cv2.INTER_AREA), drawn_cup()) > 0.85


def test_the_same_photograph_gives_the_same_cut(cat: Path) -> None:
    again = remove_background(read_photo(cat, max_pixels=10**7).bgr, lambda _: None)

    assert (again.bgra == cut(cat).bgra).all()


def test_a_picture_of_one_colour_has_no_clear_subject() -> None:
    assert not remove_background(np.full((120, 200, 3), 90, dtype=np.uint8), lambda _: None).clear


def test_a_disc_on_a_plain_ground_is_cut_out_exactly() -> None:
    ground = np.full((300, 300, 3), (200, 190, 180), dtype=np.uint8)
    cv2.circle(ground, (150, 160), 80, (30, 60, 200), cv2.FILLED, cv2.LINE_AA)
    disc = np.zeros((300, 300), dtype=np.uint8)
    cv2.circle(disc, (150, 160), 80, 1, cv2.FILLED)

    assert overlap(remove_background(ground, lambda _: None).bgra[..., 3], disc > 0) > 0.97
