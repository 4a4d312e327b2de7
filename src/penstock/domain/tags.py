"""Tags: short labels of assets. Kept in NFC and lower case, so that `Beach` and `beach` are one tag."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from penstock.domain.errors import InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TAGS = 50
MAX_TAG = 100
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean_tag(raw: str) -> str:
    """One tag: NFC, lower case, inner white space single, nothing invisible. Raises `InvalidField`."""
    text = " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", raw).lower()).split())
    if not text:
        raise InvalidField((), "a tag must not be empty")
    if len(text) > MAX_TAG:
        raise InvalidField((), f"a tag has at most {MAX_TAG} characters")
    if any(unicodedata.category(c) in _INVISIBLE for c in text):
        raise InvalidField((), "a tag must not hold control or invisible characters")
    return text


def clean_tags(raw: Iterable[str], *, field: str = "tags") -> tuple[str, ...]:
    """Tags in the order given, each once. Raises `InvalidField` naming the place in `field`."""
    found: dict[str, None] = {}
    for place, one in enumerate(raw):
        try:
            found[clean_tag(one)] = None
        except InvalidField as error:
            raise error.below(field, place) from None
    return checked_number(tuple(found), field=field)


def checked_number(tags: tuple[str, ...], *, field: str = "tags") -> tuple[str, ...]:
    """The tags themselves when they are not too many. Raises `InvalidField`."""
    if len(tags) > MAX_TAGS:
        raise InvalidField((field,), f"an asset has at most {MAX_TAGS} tags")
    return tags
