"""Tags: clean, in lower case, each once."""

from __future__ import annotations

import pytest

from penstock.domain.errors import InvalidField
from penstock.domain.tags import MAX_TAG, MAX_TAGS, clean_tag, clean_tags


@pytest.mark.parametrize(("raw", "tag"), [(" Beach  Day ", "beach day"), ("Cafe\u0301", "café"), ("ÄRGER", "ärger")])
def test_a_tag_is_kept_in_lower_case_and_one_form(raw: str, tag: str) -> None:
    assert clean_tag(raw) == tag
    assert clean_tag(tag) == tag


@pytest.mark.parametrize("raw", ["", "  ", "x" * (MAX_TAG + 1), "a\u0000b", "a\u202eb", "\ud800"])
def test_what_is_no_tag_is_refused(raw: str) -> None:
    with pytest.raises(InvalidField):
        clean_tag(raw)


def test_tags_come_once_in_the_order_given() -> None:
    assert clean_tags(["b", "A", "B"]) == ("b", "a")


def test_a_wrong_tag_is_named_by_its_place() -> None:
    with pytest.raises(InvalidField) as caught:
        clean_tags(["fine", ""])

    assert caught.value.path == ("tags", 1)


def test_too_many_tags_are_refused_but_not_repetitions() -> None:
    assert len(clean_tags([str(number % MAX_TAGS) for number in range(200)])) == MAX_TAGS
    with pytest.raises(InvalidField):
        clean_tags([str(number) for number in range(MAX_TAGS + 1)])
