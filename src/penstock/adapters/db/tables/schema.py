"""What all tables belong to, and what SQLAlchemy has no one word for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Index, MetaData

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, TextClause

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def partial_index(
    name: str, *columns: Column[Any], where: ColumnElement[bool] | TextClause, unique: bool = False
) -> Index:
    """An index of those rows alone, on either database."""
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)
