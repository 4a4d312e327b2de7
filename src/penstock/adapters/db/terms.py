"""The index of terms: each term of an asset that is not deleted, beside the asset's place in a listing.

What is posted there is known from the asset's own row (`terms`), so a change writes the difference alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, bindparam, delete, insert, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from penstock.adapters.db.tables import asset_terms, assets
from penstock.domain.library import NAME, terms_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.sql.compiler import SQLCompiler

    from penstock.domain.assets import Asset
    from penstock.domain.ids import AssetId

_POST = insert(asset_terms)
_TAKE_BACK = delete(asset_terms).where(
    asset_terms.c.account_id == bindparam("its_account"),
    asset_terms.c.term == bindparam("its_term"),
    asset_terms.c.created_at == bindparam("its_time"),
    asset_terms.c.asset_id == bindparam("its_id"),
)
_INDEXED = select(assets.c.account_id, assets.c.id, assets.c.created_at, assets.c.terms).where(
    assets.c.deleted_at.is_(None)
)
_INDEXED_ONE = _INDEXED.where(assets.c.id == bindparam("id"))
_INDEXED_MANY = _INDEXED.where(assets.c.id.in_(bindparam("ids", expanding=True)))


class Holds(FunctionElement[bool]):
    """Whether one text stands in another; both databases can tell, by different names."""

    type = Boolean()
    inherit_cache = True


@compiles(Holds, "sqlite")
def _holds_sqlite(element: Holds, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - the library's signature
    return f"instr({compiler.process(element.clauses, **kw)}) > 0"


@compiles(Holds, "postgresql")
def _holds_postgresql(element: Holds, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - the library's signature
    return f"strpos({compiler.process(element.clauses, **kw)}) > 0"


def lines_of(asset: Asset) -> str:
    """An asset's terms as its row has them: each between line feeds."""
    return "\n" + "".join(f"{term}\n" for term in terms_of(asset))


def post_new(connection: Connection, asset: Asset, lines: str) -> None:
    """Make a new asset findable."""
    if _is_listed(asset):
        _post(connection, asset, _posted(lines))


def post_changed(connection: Connection, asset: Asset, lines: str) -> None:
    """Make the index say what the asset's row is about to say. Call it before the row is written."""
    row = connection.execute(_INDEXED_ONE, {"id": asset.id}).first()
    before = _posted(row.terms) if row is not None else set()
    after = _posted(lines) if _is_listed(asset) else set()
    if row is not None and before - after:
        connection.execute(
            _TAKE_BACK,
            [_place(row.account_id, row.created_at, row.id, term) for term in sorted(before - after)],
        )
    if after - before:
        _post(connection, asset, after - before)


def take_back(connection: Connection, asset_ids: Sequence[AssetId]) -> None:
    """Make assets unfindable whose rows are about to go, or to be marked as deleted."""
    rows = connection.execute(_INDEXED_MANY, {"ids": list(asset_ids)}).all() if asset_ids else []
    places = [_place(row.account_id, row.created_at, row.id, term) for row in rows for term in _posted(row.terms)]
    if places:
        connection.execute(_TAKE_BACK, places)


def _is_listed(asset: Asset) -> bool:
    return asset.deleted_at is None and asset.purged_at is None


def _posted(lines: str) -> set[str]:
    return {term for term in lines.split("\n") if term and not term.startswith(NAME)}


def _post(connection: Connection, asset: Asset, terms: Iterable[str]) -> None:
    place = {"account_id": asset.account_id, "created_at": asset.created_at, "asset_id": asset.id}
    connection.execute(_POST, [{**place, "term": term} for term in sorted(terms)])


def _place(account_id: str, created_at: object, asset_id: str, term: str) -> dict[str, object]:
    return {"its_account": account_id, "its_time": created_at, "its_id": asset_id, "its_term": term}
