"""Styles on real photographs: other than the source, still its picture, and each what its name says."""

from __future__ import annotations

import functools
from itertools import combinations
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from penstock.adapters.runners.builtin import styles
from penstock.adapters.runners.builtin.painting import paint_landscape
from penstock.adapters.runners.builtin.pictures import read_photo
from penstock.adapters.runners.builtin.stylize import stylize
from penstock.adapters.runners.builtin.wording import STYLES, read_prompt

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.adapters.runners.builtin.planes import Plane

GREY = ("pencil", "ink")
COLOURED = tuple(style for style in STYLES if style not in GREY and style != "pop-art")


def photo(path: Path) -> Plane:
    return read_photo(path, max_pixels=10**7).bgr


@functools.cache
def repainted(path: Path, style: str, *tones: str) -> Plane:
    return painted(photo(path), style, *tones)


def painted(picture: Plane, style: str, *tones: str, strength: float = 1.0, seed: int = 0) -> Plane:
    return stylize(picture, style, tones=tones, strength=strength, seed=seed)


def structure(one: Plane, other: Plane) -> float:
    """Correlation of the two pictures' lightness, seen from afar."""
    seen = [
        cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (0, 0), 6).astype(np.float64).ravel()
        for picture in (one, other)
    ]
    return float(np.corrcoef(seen[0], seen[1])[0, 1])


def difference(one: Plane, other: Plane) -> float:
    """Mean absolute difference, 0..255."""
    return float(np.abs(one.astype(np.int16) - other).mean())


def mean_bgr(picture: Plane) -> list[float]:
    return [float(value) for value in picture.reshape(-1, 3).mean(axis=0)]


def detail(picture: Plane) -> float:
    """Mean strength of the finest lightness changes."""
    return float(np.abs(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.CV_32F)).mean())


def test_the_prompt_knows_exactly_the_styles_that_can_be_painted() -> None:
    assert tuple(styles.BY_NAME) == STYLES


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("subject", ["cat", "coffee"])
def test_a_style_changes_the_photograph_and_keeps_its_structure(
    style: str, subject: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(subject)
    source = photo(path)

    result = repainted(path, style)

    assert result.shape == source.shape
    assert result.dtype == np.uint8
    assert difference(result, source) > 5
    inner = (slice(len(source) // 8, -len(source) // 8), slice(source.shape[1] // 8, -source.shape[1] // 8))
    assert structure(result[inner], source[inner]) > 0.8


def test_no_two_styles_look_alike(cat: Path) -> None:
    results = {style: repainted(cat, style) for style in STYLES}

    assert min(difference(results[one], results[other]) for one, other in combinations(STYLES, 2)) > 8


def test_pencil_is_grey(cat: Path) -> None:
    result = repainted(cat, "pencil").astype(np.int16)

    assert int(np.ptp(result, axis=2).max()) <= 2


def test_pencil_leaves_much_of_the_paper_white(coffee: Path) -> None:
    assert float((repainted(coffee, "pencil") > 215).mean()) > 0.15


def test_ink_is_nearly_two_tones(cat: Path) -> None:
    small = photo(cat)
    result = cv2.cvtColor(painted(cv2.resize(small, (1200, 798)), "ink"), cv2.COLOR_BGR2GRAY)

    assert float(((result < 70) | (result > 200)).mean()) > 0.75


def test_watercolour_leaves_a_white_margin(coffee: Path) -> None:
    result = repainted(coffee, "watercolour")
    edge = np.concatenate([result[0], result[-1], result[:, 0], result[:, -1]])

    assert edge.mean() > 240
    assert result[150:250, 200:300].mean() < 200


def test_cartoon_has_flat_areas(cat: Path) -> None:
    source = photo(cat)
    areas = (slice(60, 280), slice(20, 300))

    drawn, seen = (
        float(np.median(np.abs(cv2.Laplacian(picture[areas], cv2.CV_32F))))
        for picture in (repainted(cat, "cartoon"), source)
    )

    assert drawn < 0.6 * seen


def test_pop_art_uses_a_handful_of_loud_colours(coffee: Path) -> None:
    result = repainted(coffee, "pop-art")
    saturation = cv2.cvtColor(result, cv2.COLOR_BGR2HSV)[..., 1]

    assert float((saturation > 120).mean()) > 0.7


@pytest.mark.parametrize("style", ["oil", "mosaic", "pointillism"])
def test_painted_surfaces_show_their_marks(coffee: Path, style: str) -> None:
    smooth = (slice(300, 380), slice(200, 340))
    source = photo(coffee)

    assert detail(repainted(coffee, style)[smooth]) > 1.3 * detail(source[smooth])


@pytest.mark.parametrize("style", COLOURED)
def test_warm_is_redder_and_cool_is_bluer(cat: Path, style: str) -> None:
    warm, plain, cool = (mean_bgr(repainted(cat, style, *tones)) for tones in (("warm",), (), ("cool",)))

    assert warm[2] - warm[0] > plain[2] - plain[0] + 8
    assert cool[2] - cool[0] < plain[2] - plain[0] - 8


@pytest.mark.parametrize("style", STYLES)
def test_black_and_white_is_grey_in_every_style(cat: Path, style: str) -> None:
    result = repainted(cat, style, "black-and-white").astype(np.int16)

    assert int(np.ptp(result, axis=2).max()) <= 2


def test_vivid_is_more_and_muted_less_saturated(cat: Path) -> None:
    vivid, plain, muted = (
        float(cv2.cvtColor(repainted(cat, "cartoon", *tones), cv2.COLOR_BGR2HSV)[..., 1].mean())
        for tones in (("vivid",), (), ("muted",))
    )

    assert vivid > plain + 5 > muted + 10


def test_strength_goes_from_the_photograph_to_the_full_style(cat: Path) -> None:
    source = cv2.resize(photo(cat), (1200, 798))
    steps = [difference(painted(source, "oil", strength=strength), source) for strength in (0.0, 0.5, 1.0)]

    assert steps[0] < 1
    assert steps[0] < steps[1] < steps[2]


def test_one_seed_gives_one_picture_and_another_seed_another(cat: Path) -> None:
    source = photo(cat)

    assert (painted(source, "oil", seed=7) == painted(source, "oil", seed=7)).all()
    assert (painted(source, "oil", seed=7) != painted(source, "oil", seed=8)).any()


def landscape(prompt: str, seed: int = 0) -> Plane:
    picture = paint_landscape(prompt, read_prompt(prompt), (256, 384), seed)
    assert picture.shape == (256, 384, 3)
    return np.asarray(picture * 255, dtype=np.uint8)


def test_a_landscape_follows_from_its_prompt_and_seed() -> None:
    assert (landscape("a lake") == landscape("a lake")).all()
    assert difference(landscape("a lake"), landscape("a forest")) > 5
    assert difference(landscape("a lake"), landscape("a lake", seed=1)) > 1


def test_night_is_darker_than_day() -> None:
    assert landscape("a city at night").mean() < landscape("a snowy meadow").mean() - 40


@pytest.mark.parametrize(("word", "channel"), [("red", 2), ("green", 1), ("blue", 0)])
def test_a_colour_word_colours_the_landscape(word: str, channel: int) -> None:
    means = mean_bgr(landscape(f"{word} hills"))

    assert means[channel] == max(means)


@pytest.mark.parametrize(
    "prompt", ["sea", "mountains", "forest", "meadow", "city", "desert dunes", "winter", "autumn wood", "x"]
)
def test_every_kind_of_landscape_has_light_and_form(prompt: str) -> None:
    picture = landscape(prompt)

    assert float(picture.std()) > 15
