"""What can lead a listing: indexes that name assets in its order, and pages of candidates from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import bindparam, func, literal, literal_column, select, text, tuple_

from penstock.adapters.db.columns import LARGEST_INTEGER
from penstock.adapters.db.tables import IN_TRASH, LISTED, asset_terms, assets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Select
    from sqlalchemy.sql.selectable import TextualSelect
    from sqlalchemy.types import TypeEngine

    from penstock.domain.ids import AccountId
    from penstock.domain.library import AssetFilter
    from penstock.ports.positions import Position

AFTER_ALL = "\U0010ffff"
"""Sorts behind whatever may follow a prefix."""

_WORDS = text(
    "WITH RECURSIVE word (term) AS ("
    " SELECT MIN(term) FROM asset_terms WHERE account_id = :account_id AND term >= :first AND term < :last"
    " UNION ALL SELECT (SELECT MIN(term) FROM asset_terms"
    "  WHERE account_id = :account_id AND term > word.term AND term < :last)"
    " FROM word WHERE word.term IS NOT NULL"
    ") SELECT term FROM word WHERE term IS NOT NULL LIMIT :limit"
)


_MERGED = {
    "postgresql": (
        "SELECT few.at, few.id FROM unnest(CAST(:terms AS TEXT[])) AS wanted (term) CROSS JOIN LATERAL ("
        "SELECT one.created_at AS at, one.asset_id AS id FROM asset_terms AS one"
        ' WHERE one.account_id = :account_id AND one.term = wanted.term COLLATE "C" AND {bounds}'
        " ORDER BY one.created_at {way}, one.asset_id {way} LIMIT {each}"
        ") AS few GROUP BY few.at, few.id ORDER BY few.at {way}, few.id {way} LIMIT {limit} OFFSET {offset}"
    ),
    "sqlite": (
        "SELECT one.created_at AS at, one.asset_id AS id FROM json_each(:terms) AS wanted CROSS JOIN asset_terms AS one"
        " WHERE one.account_id = :account_id AND one.term = wanted.value AND {bounds}"
        " AND one.created_at {until} COALESCE(("
        "SELECT one.created_at FROM asset_terms AS one"
        " WHERE one.account_id = :account_id AND one.term = wanted.value AND {bounds}"
        " ORDER BY one.created_at {way}, one.asset_id {way} LIMIT 1 OFFSET {each} - 1"
        "), {end}) GROUP BY one.created_at, one.asset_id"
        " ORDER BY one.created_at {way}, one.asset_id {way} LIMIT {limit} OFFSET {offset}"
    ),
}
"""The first so many of each of many terms, merged."""


class Lead(Protocol):
    """Candidates of a listing, as a query of `at` and `id` in the listing's order."""

    @property
    def width(self) -> int:
        """From how many places of an index each page of candidates comes."""
        ...

    def page(
        self, wanted: AssetFilter, past: Position | None, *, limit: int, offset: int = 0
    ) -> Select[Any] | TextualSelect:
        """So many candidates past a position. The numbers are literal: PostgreSQL plans for so few."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLead:
    """A lead whose candidates an index has in order, or that are few enough to be sorted."""

    query: Select[Any]
    repeats: bool = False
    width: int = 1

    def page(self, wanted: AssetFilter, past: Position | None, *, limit: int, offset: int = 0) -> Select[Any]:
        """As it says."""
        page = _ordered(_bounded(self.query, wanted, past), wanted)
        return _cut(page.distinct() if self.repeats else page, limit, offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedLead:
    """The assets with at least one of the terms."""

    account_id: AccountId
    terms: Sequence[str]
    dialect: str

    @property
    def width(self) -> int:
        """One place per term."""
        return len(self.terms)

    def page(self, wanted: AssetFilter, past: Position | None, *, limit: int, offset: int = 0) -> TextualSelect:
        """So many of each term at most make so many of all."""
        values: dict[str, object] = {"account_id": self.account_id}
        types: dict[str, TypeEngine[Any]] = {}
        bounds = ["1 = 1"]
        since, until = wanted.created_from, wanted.created_before
        if past is not None:
            sign = ">" if wanted.ascending else "<"
            bounds.append(f"(one.created_at, one.asset_id) {sign} (:past_at, :past_id)")
            values |= {"past_at": past[0], "past_id": past[1]}
            types |= {"past_at": asset_terms.c.created_at.type, "past_id": asset_terms.c.asset_id.type}
        for name, sign, bound in (("since", ">=", since), ("until", "<", until)):
            if bound is not None:
                bounds.append(f"one.created_at {sign} :{name}")
                values[name] = bound
                types[name] = asset_terms.c.created_at.type
        values["terms"] = list(self.terms) if self.dialect == "postgresql" else json.dumps(self.terms)
        statement = text(
            _MERGED[self.dialect].format(
                bounds=" AND ".join(bounds),
                way="ASC" if wanted.ascending else "DESC",
                until="<=" if wanted.ascending else ">=",
                end=LARGEST_INTEGER if wanted.ascending else -LARGEST_INTEGER,
                each=limit + offset,
                limit=limit,
                offset=offset,
            )
        ).bindparams(*(bindparam(name, value, type_=types.get(name), unique=True) for name, value in values.items()))
        return statement.columns(at=asset_terms.c.created_at.type, id=asset_terms.c.asset_id.type)


def listed(account_id: AccountId, wanted: AssetFilter) -> Lead:
    """The whole library, or the whole trash."""
    at = assets.c.deleted_at if wanted.deleted else assets.c.created_at
    condition = IN_TRASH if wanted.deleted else LISTED
    return OneLead(query=select(at.label("at"), assets.c.id).where(assets.c.account_id == account_id, condition))


def exactly(account_id: AccountId, term: str) -> Lead:
    """The assets with a term."""
    return OneLead(query=_postings(account_id).where(asset_terms.c.term == term))


def any_of(connection: Connection, account_id: AccountId, terms: Sequence[str]) -> Lead:
    """The assets with at least one of the terms."""
    return MergedLead(account_id=account_id, terms=terms, dialect=connection.dialect.name)


def beginning(account_id: AccountId, prefix: str) -> Lead:
    """The assets with a term that begins so. Not in order by itself: for beginnings that few assets have."""
    return OneLead(query=_postings(account_id).where(*_range(prefix)), repeats=True)


def is_rare(connection: Connection, account_id: AccountId, prefix: str, *, at_most: int) -> bool:
    """Whether a beginning stands in no more places than that."""
    few: Select[Any] = select(literal_column("1")).where(asset_terms.c.account_id == account_id, *_range(prefix))
    some = select(func.count()).select_from(_cut(few, at_most + 1).subquery())
    return bool(connection.execute(some).scalar_one() <= at_most)


def terms_between(connection: Connection, account_id: AccountId, first: str, last: str, *, limit: int) -> Sequence[str]:
    """The different terms from `first` (included) to `last`, one index look-up each."""
    parameters = {"account_id": account_id, "first": first, "last": last, "limit": limit}
    return connection.execute(_WORDS, parameters).scalars().all()


def _postings(account_id: AccountId) -> Select[Any]:
    return select(asset_terms.c.created_at.label("at"), asset_terms.c.asset_id.label("id")).where(
        asset_terms.c.account_id == account_id
    )


def _range(prefix: str) -> Sequence[ColumnElement[bool]]:
    return asset_terms.c.term >= prefix, asset_terms.c.term < prefix + AFTER_ALL


def _bounded(query: Select[Any], wanted: AssetFilter, past: Position | None) -> Select[Any]:
    """What lies past the position and, but in the trash, whose order is another, within the times asked for."""
    at, identifier = _columns(query)
    since, until = (None, None) if wanted.deleted else (wanted.created_from, wanted.created_before)
    if past is not None:
        place = tuple_(at, identifier)
        here = tuple_(literal(past[0], at.type), literal(past[1], identifier.type))
        query = query.where(place > here if wanted.ascending else place < here)
    if since is not None and (past is None or not wanted.ascending):
        query = query.where(at >= since)
    if until is not None and (past is None or wanted.ascending):
        query = query.where(at < until)
    return query


def _ordered(query: Select[Any], wanted: AssetFilter) -> Select[Any]:
    return query.order_by(*(column.asc() if wanted.ascending else column.desc() for column in _columns(query)))


def _columns(query: Select[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    at, identifier = (getattr(column, "element", column) for column in query.selected_columns)
    return at, identifier


def _cut(query: Select[Any], limit: int, offset: int = 0) -> Select[Any]:
    cut = query.limit(literal_column(str(limit)))
    return cut.offset(literal_column(str(offset))) if offset else cut
