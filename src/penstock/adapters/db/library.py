"""Listings of assets under any filter, each page a bounded piece of work.

One condition leads: an index in the listing's order says which assets may fit, and the others are looked up on these
alone. Where several can lead, it is the one whose next candidates reach furthest. So many candidates are looked at and
no more; a page that is not full by then says where to go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, or_, select

from penstock.adapters.db.leads import AFTER_ALL, Lead, any_of, beginning, exactly, is_rare, listed, terms_between
from penstock.adapters.db.rows import Rows, to_change
from penstock.adapters.db.tables import IN_TRASH, LISTED, asset_leases, asset_terms, assets
from penstock.adapters.db.terms import Holds
from penstock.domain.assets import Asset
from penstock.domain.library import clauses_of
from penstock.ports.library import Found

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select
    from sqlalchemy.sql.selectable import TextualSelect

    from penstock.domain.ids import AccountId, AssetId, FolderId
    from penstock.domain.library import AssetFilter, Clause
    from penstock.ports.positions import Position

_WINDOWS = (32, 128, 512)
"""Candidates looked at in one statement, in turn."""
_WIDEST = 8192
"""Places of an index looked at in one statement, as far as a page allows."""
_FEW = 128
"""How far ahead leads are compared."""
_MOST_WORDS = 200
"""A beginning that so many words share is followed word by word."""
_RARE = 2000
"""A beginning in so many places is looked through as a whole."""

_ROWS = Rows(Asset, assets)
_MANY = _ROWS.select().order_by(assets.c.id)
_LEASED = exists().where(asset_leases.c.asset_id == assets.c.id)


class SqlLibrary:
    """Implements `LibraryRepository`."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._writes = writes

    def find(
        self, account_id: AccountId, wanted: AssetFilter, *, past: Position | None, limit: int, now: datetime
    ) -> Found:
        """Window by window until there are enough, or enough was looked at."""
        clauses = clauses_of(wanted)
        lead = self._lead(account_id, wanted, clauses, past)
        fits = _fits(account_id, wanted, clauses, now=now)
        found: list[Asset] = []
        for window in _windows(lead, limit):
            candidates = lead.page(wanted, past, limit=window)
            found += self._fitting(candidates, fits, wanted, limit=limit + 1 - len(found))
            if len(found) > limit:
                return Found(assets=found[:limit], rest=_position(found[limit - 1], wanted))
            end = self._connection.execute(lead.page(wanted, past, limit=1, offset=window - 1)).first()
            if end is None:
                return Found(assets=found, rest=None)
            past = (end.at, end.id)
        return Found(assets=found, rest=past)

    def many(self, account_id: AccountId, asset_ids: Iterable[AssetId]) -> Mapping[AssetId, Asset]:
        """In the order of their ids, so that two transactions that want some of the same never wait in a ring."""
        query = _MANY.where(assets.c.account_id == account_id, assets.c.id.in_(list(asset_ids)))
        return {asset.id: asset for asset in self._all(query)}

    def in_folder(self, account_id: AccountId, folder_id: FolderId, *, limit: int) -> Sequence[Asset]:
        """Found by the folder's term."""
        inside = (
            select(asset_terms.c.asset_id)
            .where(asset_terms.c.account_id == account_id, asset_terms.c.term == f"f{folder_id}")
            .limit(limit)
        )
        return self._all(_MANY.where(assets.c.id.in_(inside), assets.c.folder_id == folder_id, LISTED))

    def tags(self, account_id: AccountId, *, prefix: str, past: str, limit: int) -> Sequence[str]:
        """One look-up each."""
        first = max(f"t{prefix}", f"t{past}\x01" if past else "")
        found = terms_between(self._connection, account_id, first, f"t{prefix}{AFTER_ALL}", limit=limit)
        return [term[1:] for term in found]

    def _all(self, query: Select[Any]) -> list[Asset]:
        return _ROWS.all(self._connection, to_change(query) if self._writes else query, {})

    def _lead(
        self, account_id: AccountId, wanted: AssetFilter, clauses: Sequence[Clause], past: Position | None
    ) -> Lead:
        """The condition that leaves the least to look at."""
        if wanted.deleted:
            return listed(account_id, wanted)
        leads = [exactly(account_id, clause.term) for clause in clauses if not clause.prefix]
        for clause in clauses:
            if clause.prefix and clause.indexed:
                last = clause.term + AFTER_ALL
                terms = terms_between(self._connection, account_id, clause.term, last, limit=_MOST_WORDS + 1)
                if len(terms) <= _MOST_WORDS:
                    leads.append(any_of(self._connection, account_id, terms))
                elif is_rare(self._connection, account_id, clause.term, at_most=_RARE):
                    return beginning(account_id, clause.term)
        if not leads:
            return listed(account_id, wanted)
        return leads[0] if len(leads) == 1 else self._furthest(leads, wanted, past)

    def _furthest(self, leads: Sequence[Lead], wanted: AssetFilter, past: Position | None) -> Lead:
        """The lead whose candidates are over soon, or whose next ones lie furthest on."""
        ends = [lead.page(wanted, past, limit=1, offset=_FEW - 1).subquery() for lead in leads]
        reaches = self._connection.execute(select(*(select(end.c.at).scalar_subquery() for end in ends))).one()
        for lead, reach in zip(leads, reaches, strict=True):
            if reach is None:
                return lead
        best = max(reaches) if wanted.ascending else min(reaches)
        return leads[list(reaches).index(best)]

    def _fitting(
        self,
        candidates: Select[Any] | TextualSelect,
        fits: Sequence[ColumnElement[bool]],
        wanted: AssetFilter,
        *,
        limit: int,
    ) -> Sequence[Asset]:
        looked = candidates.cte("looked").prefix_with("MATERIALIZED", dialect="postgresql")
        order = (column.asc() if wanted.ascending else column.desc() for column in (looked.c.at, looked.c.id))
        query = _ROWS.select().join(looked, looked.c.id == assets.c.id).where(*fits).order_by(*order).limit(limit)
        return _ROWS.all(self._connection, query, {})


def _windows(lead: Lead, limit: int) -> Iterable[int]:
    """How many candidates to look at, in turn; of a wide lead, which costs so many times as much, fewer."""
    most = max(limit + 1, _WIDEST // max(1, lead.width))
    return dict.fromkeys(min(size, most) for size in _WINDOWS if size > limit)


def _fits(
    account_id: AccountId, wanted: AssetFilter, clauses: Sequence[Clause], *, now: datetime
) -> Sequence[ColumnElement[bool]]:
    """All that an asset must fulfil, also what led to it: an index may be behind its row for a moment, never ahead."""
    lives = or_(assets.c.expires_at.is_(None), assets.c.expires_at > now, _LEASED)
    kept = or_(assets.c.purge_at.is_(None), assets.c.purge_at > now)
    conditions = [assets.c.account_id == account_id, *((IN_TRASH, kept) if wanted.deleted else (LISTED, lives))]
    conditions += [Holds(assets.c.terms, f"\n{one.term}" + ("" if one.prefix else "\n")) for one in clauses]
    if wanted.min_size is not None:
        conditions.append(assets.c.size >= wanted.min_size)
    if wanted.max_size is not None:
        conditions.append(assets.c.size <= wanted.max_size)
    if wanted.deleted and wanted.created_from is not None:
        conditions.append(assets.c.created_at >= wanted.created_from)
    if wanted.deleted and wanted.created_before is not None:
        conditions.append(assets.c.created_at < wanted.created_before)
    return conditions


def _position(asset: Asset, wanted: AssetFilter) -> Position:
    at = asset.deleted_at if wanted.deleted else asset.created_at
    if at is None:
        msg = f"asset {asset.id} stands in the trash without having been deleted"
        raise AssertionError(msg)
    return at, asset.id
