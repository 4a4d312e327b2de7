"""How text becomes words that can be found: without case and accents, split where people and programs split names.

The same folding makes the words of an asset and those of a query, so nothing here depends on a database.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_WORDS = 150
"""Of one asset; a name alone never has more, so that only tags can lose some."""
_MAX_WORD = 40
_RUN = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Scripts without spaces between words: each character is a word.
_SYLLABLE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_PIECE = re.compile(f"{_SYLLABLE.pattern}|[^\\W_]+?(?={_SYLLABLE.pattern}|\\Z)")
_LEAST_PART = 2


def fold(text: str) -> str:
    """Text for comparison: compatibility forms, accents and case taken away (`Ångström` → `angstrom`)."""
    return _bare(text).casefold()


def words_of(texts: Iterable[str], *, most: int = MAX_WORDS) -> tuple[str, ...]:
    """The words under which texts are found, each once: runs of letters and digits, and the humps of camelCase.

    The first `most` of them.
    """
    found: dict[str, None] = {}
    for text in texts:
        for run in _RUN.findall(_bare(text)):
            humps = _HUMP.split(run)
            parts = [part for part in humps if len(part) >= _LEAST_PART] if len(humps) > 1 else ()
            for part in (run, *parts):
                found.update(dict.fromkeys(word[:_MAX_WORD] for word in _PIECE.findall(part.casefold())))
    return tuple(found)[:most]


def query_words(text: str) -> tuple[tuple[str, ...], str | None]:
    """The whole words of a query, and the last one where more letters may follow it."""
    words = [word[:_MAX_WORD] for run in _RUN.findall(_bare(text)) for word in _PIECE.findall(run.casefold())]
    open_ended = bool(words) and _RUN.fullmatch(_bare(text)[-1:]) is not None and not _SYLLABLE.match(words[-1])
    whole, last = (words[:-1], words[-1]) if open_ended else (words, None)
    return tuple(dict.fromkeys(whole)), last


def _bare(text: str) -> str:
    """Compatibility forms decomposed, marks dropped, composed again: case is still there."""
    if text.isascii():
        return text
    kept = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.category(c).startswith("M"))
    return unicodedata.normalize("NFC", "".join(kept))
