"""What can be asked of a library of assets, as terms: each asset has a set of them, a filter is a list of clauses.

A term is one letter for what it says and then its text: `w` a word of name or tags, `t` a tag, `k` the kind, `c` the
content type, `f` the folder (nothing: the top), `r` the run that made it, `n` the whole name, folded. Terms are looked
up in an index in order of creation, but `n`, which only confirms what words have found.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from penstock.domain.errors import InvalidField
from penstock.domain.search import fold, query_words, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.assets import Asset
    from penstock.domain.ids import FolderId, RunId
    from penstock.domain.media_types import Kind

MAX_QUERY = 200
MAX_QUERY_WORDS = 8
MAX_TAG_FILTERS = 8
NAME = "n"
NUL = "\0"
"""What no text holds in PostgreSQL, not even one that is only looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFilter:
    """What a listing shall show. Sizes in bytes, both ends included; times from (included) to (excluded).

    `query`: all its words in name or tags, the last one as a beginning. `name`: how the name begins. `content_type`:
    exact, or `image/*`. `tags`: all of them. `deleted`: the trash instead of the library.
    """

    query: str | None = None
    name: str | None = None
    content_type: str | None = None
    kind: Kind | None = None
    folder_id: FolderId | None = None
    at_top: bool = False
    tags: tuple[str, ...] = ()
    run_id: RunId | None = None
    min_size: int | None = None
    max_size: int | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    deleted: bool = False
    ascending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One condition: the asset has this term, or one that begins like it. Not `indexed`: it can only confirm."""

    term: str
    prefix: bool = False
    indexed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What shall change of an asset; what is None stays. `to_folder` says whether `folder_id` is meant."""

    name: str | None = None
    to_folder: bool = False
    folder_id: FolderId | None = None
    tags: tuple[str, ...] | None = None


def terms_of(asset: Asset) -> tuple[str, ...]:
    """All terms of an asset, each once."""
    terms = [f"w{word}" for word in words_of((asset.name, *asset.tags))]
    terms += [f"t{tag}" for tag in asset.tags]
    terms += [f"k{asset.kind.value}", f"c{asset.content_type}", f"f{asset.folder_id or ''}"]
    if asset.run_id is not None:
        terms.append(f"r{asset.run_id}")
    terms.append(NAME + fold(asset.name))
    return tuple(dict.fromkeys(term.replace("\n", " ") for term in terms))


def clauses_of(wanted: AssetFilter) -> tuple[Clause, ...]:
    """What an asset's terms must fulfil. Raises `InvalidField` for a query of too many words."""
    clauses = [*_query_clauses(wanted.query), *_name_clauses(wanted.name)]
    clauses += [Clause(term=f"t{tag}") for tag in wanted.tags]
    if wanted.folder_id is not None or wanted.at_top:
        clauses.append(Clause(term=f"f{wanted.folder_id or ''}"))
    if wanted.run_id is not None:
        clauses.append(Clause(term=f"r{wanted.run_id}"))
    if wanted.kind is not None:
        clauses.append(Clause(term=f"k{wanted.kind.value}"))
    if wanted.content_type is not None:
        clauses.append(_type_clause(wanted.content_type))
    return tuple(dict.fromkeys(clauses))


def fingerprint(wanted: AssetFilter) -> str:
    """What binds a cursor to its listing: the same for the same filter only."""
    return hashlib.blake2s(repr(astuple(wanted)).encode(), digest_size=6).hexdigest()


def check_filter(wanted: AssetFilter, *, fields: Mapping[str, str] | None = None) -> None:
    """Raises `InvalidField` for ranges that are upside down and for too much of anything."""
    named = fields or {}
    if wanted.min_size is not None and wanted.max_size is not None and wanted.min_size > wanted.max_size:
        raise InvalidField((named.get("min_size", "min_size"),), "must not be larger than the largest size asked for")
    if len(wanted.tags) > MAX_TAG_FILTERS:
        raise InvalidField((named.get("tags", "tag"),), f"at most {MAX_TAG_FILTERS} tags at once")
    for name, text in (("query", wanted.query), ("name", wanted.name), ("content_type", wanted.content_type)):
        if text is not None and len(text) > MAX_QUERY:
            raise InvalidField((named.get(name, name),), f"at most {MAX_QUERY} characters")
        if text is not None and NUL in text:
            raise InvalidField((named.get(name, name),), "must not hold the character NUL")


def _query_clauses(query: str | None) -> list[Clause]:
    if query is None:
        return []
    whole, last = query_words(query)
    if len(whole) + (last is not None) > MAX_QUERY_WORDS:
        raise InvalidField(("q",), f"at most {MAX_QUERY_WORDS} words")
    return [Clause(term=f"w{word}") for word in whole] + ([Clause(term=f"w{last}", prefix=True)] if last else [])


def _name_clauses(name: str | None) -> list[Clause]:
    """The beginning of a name, found through its words: all but the last are whole words of the name too."""
    if not name:
        return []
    whole, last = query_words(name)
    words = [Clause(term=f"w{word}") for word in whole[:MAX_QUERY_WORDS]]
    return [
        *words,
        *([Clause(term=f"w{last}", prefix=True)] if last else []),
        Clause(term=NAME + fold(name), prefix=True, indexed=False),
    ]


def _type_clause(content_type: str) -> Clause:
    text = content_type.strip().lower()
    if text.endswith("/*"):
        return Clause(term=f"c{text[:-1]}", prefix=True)
    return Clause(term=f"c{text}")
