"""Backgrounds drawn from the words of a prompt."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.adapters.runners.builtin.backdrops import LANDSCAPE, STUDIO, SURFACE, paint_backdrop, read_backdrop


@pytest.mark.parametrize(
    ("prompt", "kind", "material"),
    [
        ("white studio", STUDIO, None),
        ("a plain wall in a forest green", STUDIO, None),
        ("on a marble table by the sea", SURFACE, "marble"),
        ("standing on wooden planks", SURFACE, "wood"),
        ("rough concrete", SURFACE, "concrete"),
        ("a linen cloth", SURFACE, "linen"),
        ("a beach at sunset", LANDSCAPE, None),
        ("snowy mountains", LANDSCAPE, None),
    ],
)
def test_a_prompt_names_a_studio_a_table_top_or_a_landscape(prompt: str, kind: str, material: str | None) -> None:
    backdrop = read_backdrop(prompt)

    assert (backdrop.kind, backdrop.material, backdrop.known) == (kind, material, True)


@pytest.mark.parametrize("prompt", ["", "something nice", "背景"])
def test_a_prompt_that_names_nothing_known_gets_a_plain_studio_and_says_so(prompt: str) -> None:
    backdrop = read_backdrop(prompt)

    assert (backdrop.kind, backdrop.known) == (STUDIO, False)


@pytest.mark.parametrize(
    ("prompt", "channel"), [("a blue studio", 0), ("green backdrop", 1), ("red wall", 2), ("soft pink, light", 2)]
)
def test_a_studio_has_the_colour_that_the_prompt_names(prompt: str, channel: int) -> None:
    picture = paint_backdrop(prompt, (60, 90), seed=0, base=0.8, middle=0.5)

    assert int(np.argmax(picture.reshape(-1, 3).mean(axis=0))) == channel


def test_white_is_bright_and_black_is_dark() -> None:
    white, black = (
        paint_backdrop(prompt, (60, 90), seed=0, base=0.8, middle=0.5) for prompt in ("white studio", "black studio")
    )

    assert white.min() > 0.7
    assert black.max() < 0.2


@pytest.mark.parametrize("prompt", ["white studio", "marble", "wood", "concrete", "linen", "a city at night"])
@pytest.mark.parametrize("shape", [(120, 90), (16, 400)])
def test_every_backdrop_fills_its_shape_and_repeats_itself(prompt: str, shape: tuple[int, int]) -> None:
    once, again = (paint_backdrop(prompt, shape, seed=3, base=0.7, middle=0.4) for _ in range(2))

    assert once.shape == (*shape, 3)
    assert once.dtype == np.float32
    assert once.min() >= 0
    assert once.max() <= 1
    assert (once == again).all()


def test_another_seed_draws_another_table() -> None:
    one, other = (paint_backdrop("a marble table", (120, 160), seed=seed, base=0.7, middle=0.5) for seed in (1, 2))

    assert np.abs(one - other).mean() > 0.001
