"""Listings by (created_at, id), newest first. Keyset pages: nothing is repeated or skipped by inserting (F34)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, tuple_

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Select, Table


class Listing:
    """The two queries of a listing: its first page, and the page below a position."""

    def __init__(self, query: Select[Any], table: Table) -> None:
        self._first = (
            query.where(table.c.account_id == bindparam("account_id"))
            .order_by(table.c.created_at.desc(), table.c.id.desc())
            .limit(bindparam("limit", type_=Integer))
        )
        position = tuple_(
            bindparam("below_at", type_=table.c.created_at.type), bindparam("below_id", type_=table.c.id.type)
        )
        self._below = self._first.where(tuple_(table.c.created_at, table.c.id) < position)

    def page(
        self, account_id: str, *, below: tuple[datetime, str] | None, limit: int, **more: object
    ) -> tuple[Select[Any], dict[str, object]]:
        """The query and its parameters."""
        parameters: dict[str, object] = {"account_id": account_id, "limit": limit, **more}
        if below is None:
            return self._first, parameters
        return self._below, {**parameters, "below_at": below[0], "below_id": below[1]}
