"""What models can be found by: each has a set of terms, a text to search for is a list of clauses (`library`).

A term is one letter for what it says and then its text: `w` a word of name, AIR, tags or description, `t` a tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.errors import InvalidField
from penstock.domain.library import Clause
from penstock.domain.search import fold, query_words, words_of

if TYPE_CHECKING:
    from penstock.domain.models import ModelQuery, RegisteredModel

MAX_TEXT = 400
MAX_TEXT_WORDS = 8
_MAX_WORDS = 1000
"""Of one model; only a very long description can have more."""


def terms_of(model: RegisteredModel) -> tuple[str, ...]:
    """All terms of a model, each once."""
    card = model.card
    texts = (model.air, card.name, card.version_label, *card.tags, card.short_description or "")
    terms = [f"w{word}" for word in words_of(texts, most=_MAX_WORDS)] + [f"t{tag}" for tag in card.tags]
    return tuple(dict.fromkeys(map(_plain, terms)))


def clauses_of(wanted: ModelQuery) -> tuple[Clause, ...]:
    """What a model's terms must fulfil. Raises `InvalidField` for a text that is too long, or of too many words."""
    clauses = [Clause(term=_plain(f"t{tag}")) for tag in wanted.tags]
    if wanted.text is not None:
        if len(wanted.text) > MAX_TEXT:
            raise InvalidField(("search",), f"at most {MAX_TEXT} characters")
        whole, last = query_words(wanted.text)
        if len(whole) + (last is not None) > MAX_TEXT_WORDS:
            raise InvalidField(("search",), f"at most {MAX_TEXT_WORDS} words")
        clauses += [Clause(term=f"w{word}") for word in whole]
        clauses += [Clause(term=f"w{last}", prefix=True)] if last else []
    return tuple(dict.fromkeys(clauses))


def sort_name(model: RegisteredModel) -> str:
    """What a listing by name goes by: case and accents do not matter."""
    return fold(model.card.name)


def _plain(term: str) -> str:
    """As it can stand in a line, and in a database's text: terms that are one there are one here."""
    return term.replace("\n", " ").replace("\0", "\ufffd")
