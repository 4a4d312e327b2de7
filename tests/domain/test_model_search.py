"""What models are found by."""

from __future__ import annotations

import pytest

from penstock.domain.errors import InvalidField
from penstock.domain.ids import AccountId
from penstock.domain.model_search import clauses_of, sort_name, terms_of
from penstock.domain.models import ModelQuery
from tests.support.records import make_card, make_model

ACME = AccountId("acme")


def test_a_model_is_found_by_words_of_its_name_air_label_tags_and_description() -> None:
    card = make_card(name="FooBar", version_label="v2", tags=("client a",), short_description="Große Flüsse.")

    terms = set(terms_of(make_model(12, ACME, card=card)))

    assert {"wfoobar", "wfoo", "wbar", "wacme", "w12", "w1", "wv2", "wclient", "tclient a", "wgrosse"} <= terms


def test_the_comment_of_its_owner_finds_nothing() -> None:
    terms = terms_of(make_model(1, ACME, card=make_card(comment="hush")))

    assert "whush" not in terms


def test_an_air_is_looked_for_as_its_parts() -> None:
    clauses = clauses_of(ModelQuery(text="acme:12@1"))

    assert [(clause.term, clause.prefix) for clause in clauses] == [("wacme", False), ("w12", False), ("w1", True)]


@pytest.mark.parametrize("text", ["a b c d e f g h i", "x" * 401])
def test_too_much_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        clauses_of(ModelQuery(text=text))


def test_names_are_sorted_without_case_and_accents() -> None:
    assert sort_name(make_model(1, ACME, card=make_card(name="Éclair"))) == "eclair"


def test_terms_that_no_database_tells_apart_are_one() -> None:
    """A row of each is kept under its text, in which NUL cannot stand."""
    model = make_model(1, ACME, card=make_card(tags=("a\0b", "a\ufffdb", "c\n", "c ")))

    assert [term for term in terms_of(model) if term.startswith("t")] == ["ta\ufffdb", "tc "]
    assert clauses_of(ModelQuery(tags=("a\0b", "c\n"))) == clauses_of(ModelQuery(tags=("a\ufffdb", "c ")))
