"""Between domain values and rows: which columns make a value, and the statements that every repository needs."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import bindparam, select, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from _typeshed import DataclassInstance
    from sqlalchemy import ColumnElement, Connection, Select, Table, TextClause

    Parameters = Mapping[str, object]

T = TypeVar("T", bound="DataclassInstance")


class Rows(Generic[T]):
    """A domain type as rows of one table. Each field is the column of its name, or what `columns` says."""

    def __init__(self, kind: type[T], table: Table, columns: Mapping[str, ColumnElement[Any]] | None = None) -> None:
        self._kind = kind
        self._names = tuple(field.name for field in fields(kind))
        special = columns or {}
        self._columns = [special[name] if name in special else table.c[name] for name in self._names]

    @property
    def columns(self) -> Sequence[ColumnElement[Any]]:
        """The columns that make a value, in the order of its fields."""
        return self._columns

    def select(self) -> Select[Any]:
        """A query whose rows `one` and `all` understand."""
        return select(*self._columns)

    def values(self, value: T) -> dict[str, object]:
        """Field names and values, as parameters of an insert or an update."""
        return {name: getattr(value, name) for name in self._names}

    def one(self, connection: Connection, query: Select[Any], parameters: Parameters) -> T | None:
        """The value that a query for at most one row finds."""
        row = connection.execute(query, parameters).first()
        return None if row is None else self.made(row)

    def all(self, connection: Connection, query: Select[Any], parameters: Parameters) -> list[T]:
        """The values that a query finds."""
        return [self.made(row) for row in connection.execute(query, parameters)]

    def made(self, row: Sequence[Any]) -> T:
        """The value of one row."""
        return self._kind(**dict(zip(self._names, row, strict=True)))


def to_change(query: Select[Any]) -> Select[Any]:
    """The query, in a transaction that will write what it decides on the row it reads: nobody changes it meanwhile.

    NO KEY: rows that refer to this one can still be added. SQLite has one writer anyway and ignores it.
    """
    return query.with_for_update(key_share=True)


def insert_missing(table: Table) -> TextClause:
    """Insert a row unless one of the table's unique constraints has it already; returns a row only when it did insert.

    A concurrent transaction's uncommitted row is waited for. Unlike a caught violation, this leaves the transaction
    usable.
    """
    names = table.c.keys()
    return text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"  # noqa: S608 - names from the schema
        " ON CONFLICT DO NOTHING RETURNING 1"
    ).bindparams(*(bindparam(column.name, type_=column.type) for column in table.c))
