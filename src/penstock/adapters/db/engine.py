"""Engines for the two databases, and what their failures mean to us."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from penstock.domain.errors import DatabaseUnavailable, StorageFull, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

BUSY_SECONDS = 15
"""How long a transaction waits for another one before it gives up."""
_POSTGRES_DISK_FULL = "53100"
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-2000",
    "PRAGMA journal_size_limit=67108864",
)


def parse_url(url: str) -> URL:
    """The URL of a database. Raises `ValueError` unless it names a SQLite file or a PostgreSQL database."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    msg = f"not a SQLite file and not PostgreSQL: {parsed.render_as_string(hide_password=True)}"
    raise ValueError(msg)


def sqlite_engine(url: URL, *, connections: int, pragmas: Sequence[str] = ()) -> Engine:
    """SQLite in WAL mode, durable at each commit (P1), transactions begun by us alone."""
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for pragma in (*_SQLITE_PRAGMAS, *pragmas):
            connection.execute(pragma)

    return engine


def postgres_engine(url: URL, *, connections: int, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """PostgreSQL, durable at each commit (P1), transactions begun by us alone."""
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_seconds,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": 5,
            "application_name": "penstock",
            "options": f"-c synchronous_commit=on -c lock_timeout={round(busy_seconds * 1000)}",
        },
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.autocommit = True

    return engine


@contextmanager
def translated() -> Iterator[None]:
    """Turn the library's words for "it does not answer" into ours. Violated constraints pass: they are mistakes."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise unavailable(error) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:
            raise
        raise unavailable(error) from error


def unavailable(error: BaseException) -> Unavailable:
    """`StorageFull` when the disk is, otherwise `DatabaseUnavailable`; neither tells statements or values."""
    original = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(original, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL or getattr(original, "sqlstate", None) == _POSTGRES_DISK_FULL:
        return StorageFull("there is no room left for the database")
    return DatabaseUnavailable("the database does not answer")


def is_busy(error: DBAPIError) -> bool:
    """Whether SQLite refused because another connection holds the lock."""
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY
