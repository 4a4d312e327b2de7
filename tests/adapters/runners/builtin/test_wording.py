from __future__ import annotations

import pytest

from penstock.adapters.runners.builtin.wording import Wishes, read_prompt


@pytest.mark.parametrize(
    ("prompt", "style"),
    [
        ("An OIL painting of my cat", "oil"),
        ("in the manner of Van Gogh", "oil"),
        ("watercolor", "watercolour"),
        ("a soft water colour", "watercolour"),
        ("pencil", "pencil"),
        ("charcoal portrait", "pencil"),
        ("pen and ink", "ink"),
        ("as a comic", "cartoon"),
        ("pop art!", "pop-art"),
        ("stained glass window", "mosaic"),
        ("pointillist harbour", "pointillism"),
        ("a sketch, then an oil painting", "pencil"),
    ],
)
def test_a_prompt_names_a_style_in_many_words(prompt: str, style: str) -> None:
    assert read_prompt(prompt).style == style


@pytest.mark.parametrize("prompt", ["a cat", "soil and foil", "drinking in the garden", "", "油画"])
def test_a_prompt_without_a_style_word_names_none(prompt: str) -> None:
    assert read_prompt(prompt).style is None


@pytest.mark.parametrize(
    ("prompt", "tones"),
    [
        ("black and white", ("black-and-white",)),
        ("B&W photo", ("black-and-white",)),
        ("warm, golden light", ("warm",)),
        ("an icy, vivid scene", ("cool", "vivid")),
        ("vintage sepia", ("sepia",)),
        ("in pastel colours", ("muted",)),
        ("a cat", ()),
    ],
)
def test_tones_are_read_in_the_order_of_the_prompt(prompt: str, tones: tuple[str, ...]) -> None:
    assert read_prompt(prompt).tones == tones


def test_a_whole_prompt_is_read_at_once() -> None:
    wishes = read_prompt("Watercolour of a purple\n mountain  lake at night, teal reflections")

    assert wishes == Wishes(
        style="watercolour", tones=(), scene=("mountains", "sea", "night"), colours=("purple", "teal")
    )
