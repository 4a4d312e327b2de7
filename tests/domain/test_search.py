"""Words as they are found: whatever case, accents and signs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.search import MAX_WORDS, fold, query_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IMG_2026-05 (1).JPG", {"img", "2026", "05", "1", "jpg"}),
        ("BeachSunset.png", {"beachsunset", "beach", "sunset", "png"}),
        ("HTMLFile2Copy", {"htmlfile2copy", "html", "file2", "copy"}),
        ("Ångström façade", {"angstrom", "facade"}),
        ("ﬁnal ①", {"final", "1"}),
        ("海辺の写真2026", {"海", "辺", "の", "写", "真", "2026"}),
        ("Ёлка", {"елка"}),
        ("_-. ", set()),
    ],
)
def test_text_is_taken_apart_into_words(text: str, words: set[str]) -> None:
    assert set(words_of([text])) == words


def test_words_of_several_texts_come_once_and_so_many() -> None:
    assert words_of(["a b", "B c"]) == ("a", "b", "c")
    assert len(words_of([" ".join(map(str, range(1000)))])) == MAX_WORDS


@pytest.mark.parametrize(
    ("query", "whole", "last"),
    [
        ("Beach sun", ("beach",), "sun"),
        ("beach ", ("beach",), None),
        ("a a b", ("a",), "b"),
        ("写真", ("写", "真"), None),
        ("", (), None),
        ("--", (), None),
    ],
)
def test_the_last_word_of_a_query_is_open_unless_something_follows(
    query: str, whole: tuple[str, ...], last: str | None
) -> None:
    assert query_words(query) == (whole, last)


@given(st.text(max_size=200))
def test_every_text_is_found_by_itself(text: str) -> None:
    found = set(words_of([text]))
    whole, last = query_words(text)

    assert len(found) == MAX_WORDS or set(whole) <= found
    assert len(found) == MAX_WORDS or last is None or any(word.startswith(last) for word in found)


@given(st.text(max_size=50))
def test_folding_twice_changes_nothing_for_case(text: str) -> None:
    assert fold(text.upper().lower()) == fold(fold(text.upper().lower()))
