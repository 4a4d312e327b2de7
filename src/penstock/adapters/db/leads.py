"""What can lead a listing: indexes that name assets in its order, and pages of candidates from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal, literal_column, select, text, tuple_, union

from penstock.adapters.db.tables import IN_TRASH, LISTED, asset_terms, assets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from penstock.domain.ids import AccountId
    from penstock.domain.library import AssetFilter
    from penstock.ports.database import Position

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Candidates of a listing, as queries of `at` and `id`, each in the listing's order by an index of its own."""

    queries: Sequence[Select[Any]]
    repeats: bool = False

    def page(self, wanted: AssetFilter, past: Position | None, *, limit: int, offset: int = 0) -> Select[Any]:
        """So many candidates past a position, in order. The numbers are literal: PostgreSQL plans for so few."""
        pages = [_ordered(_bounded(query, wanted, past), wanted) for query in self.queries]
        if len(pages) == 1:
            (page,) = pages
            return _cut(page.distinct() if self.repeats else page, limit, offset)
        merged = union(*(select(_cut(page, limit + offset).subquery()) for page in pages)).subquery()
        return _cut(_ordered(select(merged.c.at, merged.c.id), wanted), limit, offset)


def listed(account_id: AccountId, wanted: AssetFilter) -> Lead:
    """The whole library, or the whole trash."""
    at = assets.c.deleted_at if wanted.deleted else assets.c.created_at
    condition = IN_TRASH if wanted.deleted else LISTED
    return Lead(queries=[select(at.label("at"), assets.c.id).where(assets.c.account_id == account_id, condition)])


def exactly(account_id: AccountId, term: str) -> Lead:
    """The assets with a term."""
    return Lead(queries=[_postings(account_id).where(asset_terms.c.term == term)])


def any_of(account_id: AccountId, terms: Sequence[str]) -> Lead:
    """The assets with at least one of the terms."""
    return Lead(queries=[_postings(account_id).where(asset_terms.c.term == term) for term in terms])


def beginning(account_id: AccountId, prefix: str) -> Lead:
    """The assets with a term that begins so. Not in order by itself: for beginnings that few assets have."""
    return Lead(queries=[_postings(account_id).where(*_range(prefix))], repeats=True)


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
