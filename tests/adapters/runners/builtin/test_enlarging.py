"""Enlarging real photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from penstock.adapters.runners.builtin.enlarging import check_enlarged, enlarge
from penstock.adapters.runners.builtin.faults import UnusableInputError
from penstock.adapters.runners.builtin.pictures import read_photo

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("factor", [2, 4])
def test_a_reduced_photograph_comes_back_nearer_to_the_original_than_by_bicubic_enlargement(
    cat: Path, factor: int
) -> None:
    original = read_photo(cat, max_pixels=10**7).bgr[:296, :448]
    small = cv2.resize(original, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    bicubic = cv2.resize(small, (448, 296), interpolation=cv2.INTER_CUBIC)

    large = enlarge(small, factor, denoise=False, progress=lambda _: None)

    assert large.shape == original.shape
    assert cv2.PSNR(large, original) > cv2.PSNR(bicubic, original)


def test_seams_between_tiles_cannot_be_seen(coffee: Path) -> None:
    photo = read_photo(coffee, max_pixels=10**7).bgr

    large = enlarge(photo, 2, denoise=False, progress=lambda _: None).astype(np.int16)

    steps = np.abs(np.diff(large, axis=1)).mean(axis=(0, 2))
    assert steps[511] < 1.5 * np.median(steps[480:540])


def test_a_flat_picture_stays_flat_and_an_edge_gets_no_halo() -> None:
    edge = np.full((40, 40, 3), 60, dtype=np.uint8)
    edge[:, 20:] = 190

    large = enlarge(edge, 8, denoise=False, progress=lambda _: None)

    assert (large[:, :100] == 60).all()
    assert large.min() >= 60 - 6
    assert large.max() <= 190 + 6


def test_denoising_smooths_grain_and_keeps_edges() -> None:
    noise = np.random.default_rng(1).normal(0, 6, (60, 60, 3))
    grainy = np.clip(np.where(np.arange(60)[None, :, None] < 30, 60, 190) + noise, 0, 255).astype(np.uint8)

    plain, smooth = (enlarge(grainy, 2, denoise=denoise, progress=lambda _: None) for denoise in (False, True))

    assert smooth[:, :40].std() < 0.8 * plain[:, :40].std()
    assert int(smooth[60, 80, 0]) - int(smooth[60, 40, 0]) > 110


@pytest.mark.parametrize(("shape", "factor"), [((4000, 4000), 2), ((10, 9000), 2), ((2000, 2000), 16)])
def test_what_would_be_too_large_is_refused_before_the_work(shape: tuple[int, int], factor: int) -> None:
    with pytest.raises(UnusableInputError, match="scale_factor: the result would be"):
        check_enlarged(shape, factor, max_pixels=50_000_000)
