"""What may be said of a model, and what an update makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import InvalidField, InvalidFields
from penstock.domain.model_cards import ARCHITECTURES, CONDITIONINGS, check_given, merged
from penstock.domain.weights import Category
from tests.support.records import make_card

if TYPE_CHECKING:
    from collections.abc import Mapping

NEW = {
    "category": "checkpoint",
    "type": "base",
    "architecture": "sdxl",
    "name": "Rivers",
    "version_label": "v1",
    "unique_identifier": "hash-1",
}
RIGHT: Mapping[str, tuple[object, ...]] = {
    "architecture": ARCHITECTURES,
    "conditioning": CONDITIONINGS,
    "default_steps": (1, 100),
    "default_cfg": (0, 30, 7.5),
    "default_strength": (0, 1),
    "default_weight": (-4, 4),
    "tags": ([], ["a" * 400], [str(number) for number in range(100)]),
    "positive_trigger_words": (["sharp"],),
    "short_description": ("ab", "a" * 40_000),
    "comment": ("ab", "a" * 1000),
    "hero_image_url": ("https://example.com/hero.png?a=b", "HTTP://example.com"),
    "private": (True, False),
}
WRONG: Mapping[str, tuple[object, ...]] = {
    "category": ("motion", "", None, 1),
    "type": ("positive ", 7),
    "architecture": ("sd2", "", None, ["sdxl"]),
    "conditioning": ("scribble", 1),
    "name": ("", None, 5, "a" * 1001, "a\0b"),
    "version_label": ("", None, "a" * 401),
    "unique_identifier": ("", None, "a" * 1001),
    "private": ("true", 1, None),
    "default_steps": (0, 101, 1.5, "20", True),
    "default_cfg": (-0.1, 30.1, "7"),
    "default_strength": (-0.01, 1.01),
    "default_weight": (-4.1, 4.1, False),
    "hero_image_url": ("ftp://example.com/a", "nothing", "", "http://", "https://[::1"),
    "tags": ("a", [1], ["\0"], ["a" * 401], [""], [str(number) for number in range(101)]),
    "positive_trigger_words": ("sharp", [""]),
    "short_description": ("a", "a" * 40_001),
    "comment": ("a", "a" * 1001),
    "owner": ("me",),
}


@pytest.mark.parametrize("name", RIGHT)
def test_each_limit_is_within(name: str) -> None:
    for value in RIGHT[name]:
        assert check_given({name: value}) == {name: value}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_of_its_field(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(InvalidField) as refusal:
            check_given({name: value})
        assert refusal.value.path == (name,), value


def test_several_wrong_fields_are_told_together() -> None:
    with pytest.raises(InvalidFields) as refusal:
        check_given({"default_steps": 0, "comment": "a"})

    assert [error.path for error in refusal.value.fields] == [("default_steps",), ("comment",)]


def test_what_the_category_does_not_have_is_left_aside_whatever_it_says() -> None:
    assert check_given({"category": "vae", "type": "nonsense", "default_steps": 0}) == {"category": "vae"}


def test_a_type_of_another_category_is_refused() -> None:
    with pytest.raises(InvalidField) as refusal:
        check_given({**NEW, "type": "positive"})

    assert refusal.value.facts == {"allowed": ("base", "inpainting", "refiner")}


def test_a_tag_that_is_said_twice_is_one() -> None:
    assert check_given({"tags": ["a", "b", "a"]}) == {"tags": ["a", "b"]}


@pytest.mark.statement("RU-28", part="what a new model has")
def test_a_new_checkpoint_has_the_defaults_and_is_private() -> None:
    card = merged(None, check_given(NEW))

    assert (card.default_steps, card.default_cfg, card.default_strength) == (20, 7.0, 0.8)
    assert (card.default_weight, card.default_scheduler, card.private) == (None, None, True)


@pytest.mark.statement("RU-28", part="what a new model has")
def test_a_new_lora_has_its_weight_alone() -> None:
    card = merged(None, check_given({**NEW, "category": "lora"}))

    assert (card.default_weight, card.default_steps, card.type) == (1.0, None, None)


def test_what_is_given_counts_more_than_a_default() -> None:
    assert merged(None, check_given({**NEW, "default_steps": 8})).default_steps == 8


@pytest.mark.parametrize("name", NEW)
def test_a_new_model_needs_each_of_these(name: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        merged(None, {key: value for key, value in NEW.items() if key != name})

    assert (refusal.value.path, refusal.value.rule) == ((name,), "missing")


def test_an_update_keeps_what_it_leaves_out() -> None:
    card = make_card()

    assert merged(card, {}) == card


def test_an_update_takes_back_what_it_says_to_be_nothing() -> None:
    given = check_given({"short_description": None, "tags": None, "default_steps": None})

    card = merged(make_card(), given)

    assert (card.short_description, card.tags, card.default_steps) == (None, (), None)


@pytest.mark.statement("RU-33")
@pytest.mark.parametrize(("name", "value"), [("category", "vae"), ("type", "refiner")])
def test_category_and_type_stay(name: str, value: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        merged(make_card(), {name: value})

    assert (refusal.value.path, refusal.value.rule) == ((name,), "immutable")


def test_an_update_of_a_category_without_types_ignores_one() -> None:
    card = make_card(category=Category.LORA, type=None)

    assert merged(card, {"type": "base", "default_steps": 3, "name": "New"}).name == "New"
