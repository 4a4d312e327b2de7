"""The vocabulary of errors: stable words, and messages that say the same of foreign and unknown things (P11)."""

from __future__ import annotations

import inspect

import pytest

from penstock.domain import errors
from penstock.domain.errors import InternalError, InvalidField, InvalidFields, NotFound, PenstockError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PenstockError)]


def test_every_error_has_a_word_of_its_own() -> None:
    words = [kind.code for kind in CLASSES]

    assert len(set(words)) == len(words)
    assert all(word == word.lower() and word.replace("_", "").isalpha() for word in words)


def test_the_tree_at_the_top_of_the_module_names_every_error() -> None:
    drawn = inspect.getdoc(errors) or ""

    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in drawn] == []


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if issubclass(kind, NotFound)])
def test_what_is_not_found_is_named_as_it_was_asked_for(kind: type[NotFound]) -> None:
    assert kind("7").message == f"no such {kind.noun}: 7"
    assert kind().message == f"no such {kind.noun}"


def test_wrong_fields_are_told_in_order() -> None:
    error = InvalidFields((InvalidField(("a", 0), "is required"), InvalidField((), "must be an object")))

    assert error.message == "a.0: is required; must be an object"


def test_a_field_keeps_what_is_known_of_it_wherever_it_stands() -> None:
    error = InvalidField(("steps",), "must be 1 to 100", rule="range", facts={"least": 1, "most": 100})

    moved = error.below("body", 0)

    assert (moved.path, moved.rule, moved.facts) == (("body", 0, "steps"), "range", {"least": 1, "most": 100})


def test_a_fault_of_ours_tells_nothing_of_the_inside() -> None:
    assert "request id" in InternalError().message


def test_a_wrong_field_can_be_said_to_stand_inside_others() -> None:
    inner = InvalidField(("seed",), "must be at least 0", rule="type").below("input", 3)

    assert (inner.path, inner.reason, inner.rule) == (("input", 3, "seed"), "must be at least 0", "type")
    assert inner.message == "input.3.seed: must be at least 0"
