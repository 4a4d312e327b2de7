"""What listings are asked for: the `q` expression, sorting, pages (concepts/requests).

`q` is `field:value` and comparisons, joined by AND. That names are searched by words is inferred; OR and NOT, which the
product has as well, are refused: no index here answers them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

from fastapi import Query

from penstock.dialects.runflow.wire.common import parse_folder
from penstock.domain.errors import FolderNotFound, InvalidField
from penstock.domain.folders import FolderFilter
from penstock.domain.library import MAX_QUERY, AssetFilter, check_filter
from penstock.domain.media_types import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.domain.ids import FolderId

MOST = 500
DEFAULT = 50
"""Items of a page where nothing is said (inferred)."""

Limit = Annotated[int, Query(ge=1, le=MOST)]
Text = str | None

_TERM = re.compile(
    r"""\s*(?:(?P<field>[A-Za-z_]+)\s*(?P<operator>:|>=|<=|=|>|<)\s*(?P<value>"[^"]*"|[^\s"()]+)"""
    r"""|(?P<word>"[^"]*"|[^\s"():<>=]+))(?=\s|\Z)"""
)
_JOINED = frozenset({"OR", "NOT"})
_MOMENT = timedelta(microseconds=1)
_LARGEST = 2**63 - 1
_YEARS = range(1970, 9999)
_EQUAL = frozenset({":", "="})


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition; without a field it is a word of the name."""

    field: str
    operator: str
    value: str


def asset_filter(q: str | None, sort_by: str | None) -> AssetFilter:
    """What a listing of assets is asked for. Raises `InvalidField`."""
    wanted = AssetFilter(ascending=_is_ascending(sort_by))
    for term in _terms(q, _ASSET_FIELDS):
        wanted = _ASSET_FIELDS[term.field](wanted, term)
    check_filter(wanted, fields=dict.fromkeys(("query", "content_type", "min_size"), "q"))
    return wanted


def folder_filter(q: str | None) -> FolderFilter:
    """What a listing of folders is asked for. Raises `InvalidField`."""
    wanted = FolderFilter()
    for term in _terms(q, _FOLDER_FIELDS):
        wanted = _FOLDER_FIELDS[term.field](wanted, term)
    return wanted


def _is_ascending(sort_by: str | None) -> bool:
    match sort_by:
        case None | "created_at:desc":
            return False
        case "created_at:asc" | "created_at":
            return True
        case _:
            raise InvalidField(("sort_by",), "must be created_at:desc or created_at:asc")


def _terms(q: str | None, known: Mapping[str, object]) -> list[Term]:
    found: list[Term] = []
    words: list[str] = []
    at, text = 0, (q or "").rstrip()
    if len(text) > MAX_QUERY * 4:
        _refuse(f"at most {MAX_QUERY * 4} characters")
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            _refuse("must be field:value, joined by AND")
        at, word = match.end(), match["word"]
        if word in _JOINED:
            _refuse(f"{word} is not supported on this server")
        if word is not None:
            words += [] if word == "AND" else [word.strip('"')]
            continue
        term = Term(field=match["field"], operator=match["operator"], value=match["value"].strip('"'))
        if term.field not in known:
            _refuse(f"there is no field {term.field!r} to search by; known are {', '.join(sorted(known))}")
        if any((one.field, one.operator) == (term.field, term.operator) for one in found):
            _refuse(f"{term.field}{term.operator} stands there twice")
        found.append(term)
    if words:
        found.append(Term(field="name", operator=":", value=" ".join(words)))
    return found


def _by_name(wanted: AssetFilter, term: Term) -> AssetFilter:
    return replace(wanted, query=_words(term, beside=wanted.query))


def _by_type(wanted: AssetFilter, term: Term) -> AssetFilter:
    _require(term, _EQUAL)
    if wanted.content_type is not None:
        _refuse("give one of asset_type and mime_type")
    if term.field == "mime_type":
        return replace(wanted, content_type=term.value)
    if term.value not in {kind.value for kind in Kind}:
        _refuse(f"asset_type is one of {', '.join(kind.value for kind in Kind)}")
    # The three that types are named after are told by the type (`asset_type_of`), so they are found by it.
    if term.value in {Kind.IMAGE, Kind.VIDEO, Kind.AUDIO}:
        return replace(wanted, content_type=f"{term.value}/*")
    return replace(wanted, kind=Kind(term.value))


def _by_folder(wanted: AssetFilter, term: Term) -> AssetFilter:
    folder_id = _folder(term)
    return replace(wanted, folder_id=folder_id, at_top=folder_id is None)


def _by_size(wanted: AssetFilter, term: Term) -> AssetFilter:
    if not term.value.isascii() or not term.value.isdigit():
        _refuse("size_bytes is compared with a whole number")
    size = min(int(term.value[:20]), _LARGEST - 1)
    match term.operator:
        case ">" | ">=":
            return replace(wanted, min_size=size + (term.operator == ">"))
        case "<" | "<=":
            return replace(wanted, max_size=size - (term.operator == "<"))
        case _:
            return replace(wanted, min_size=size, max_size=size)


def _by_time(wanted: AssetFilter, term: Term) -> AssetFilter:
    _require(term, frozenset({"<", "<=", ">", ">="}))
    time = _time(term.value)
    if term.operator.startswith(">"):
        return replace(wanted, created_from=time + _MOMENT if term.operator == ">" else time)
    return replace(wanted, created_before=time + _MOMENT if term.operator == "<=" else time)


def _folder_by_name(wanted: FolderFilter, term: Term) -> FolderFilter:
    return replace(wanted, query=_words(term, beside=wanted.query))


def _folder_by_parent(wanted: FolderFilter, term: Term) -> FolderFilter:
    parent_id = _folder(term)
    return replace(wanted, parent_id=parent_id, at_top=parent_id is None)


def _words(term: Term, *, beside: str | None) -> str:
    _require(term, frozenset({":"}))
    return term.value if beside is None else f"{beside} {term.value}"


def _folder(term: Term) -> FolderId | None:
    """A folder's id, or `null` for the top."""
    _require(term, _EQUAL)
    if term.value == "null":
        return None
    try:
        return parse_folder(term.value)
    except FolderNotFound:
        _refuse(f"{term.field} must be a folder's id, or null")


def _time(text: str) -> datetime:
    """A time, or a day's beginning; without an offset it is UTC (inferred)."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        _refuse("created_at is compared with a time such as 2026-05-06T10:00:00Z")
    if time.year not in _YEARS:
        _refuse("created_at is out of range")
    return time.astimezone(UTC) if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _require(term: Term, operators: frozenset[str]) -> None:
    if term.operator not in operators:
        _refuse(f"{term.field} takes {' and '.join(sorted(operators))}")


def _refuse(reason: str) -> NoReturn:
    raise InvalidField(("q",), reason)


_ASSET_FIELDS: Mapping[str, Callable[[AssetFilter, Term], AssetFilter]] = {
    "name": _by_name,
    "asset_type": _by_type,
    "mime_type": _by_type,
    "folder_id": _by_folder,
    "size_bytes": _by_size,
    "created_at": _by_time,
}
_FOLDER_FIELDS: Mapping[str, Callable[[FolderFilter, Term], FolderFilter]] = {
    "name": _folder_by_name,
    "parent_id": _folder_by_parent,
}
