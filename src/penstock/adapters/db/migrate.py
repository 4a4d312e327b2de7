"""Bring a database's schema to what this code expects: one starter at a time, all or nothing (F40)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from penstock.adapters.db.engine import parse_url, postgres_engine, sqlite_engine, translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

REVISIONS: Sequence[str] = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")
"""Every schema version this code knows, oldest first; the last one is what it works with."""
_SCRIPTS = Path(__file__).parent / "migrations"
_POSTGRES_LOCK = 0x70656E73746F636B
"""The advisory lock of migrations: `penstock` in ASCII."""


class SchemaNewerError(Exception):
    """The database was migrated by a newer Penstock; this one must not touch it."""


def migrate(url: str) -> bool:
    """Bring the schema up to date; True when there was something to do. At the newest version it costs one query.

    Raises `SchemaNewerError` for a version that this code does not know, `DatabaseUnavailable` when another process
    holds the database's lock for too long or the database does not answer. On any failure the schema is as it was
    before.
    """
    parsed = parse_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    # Off, for a table is altered by copying it; checked as a whole before the commit.
    engine = (
        sqlite_engine(parsed, connections=1, pragmas=("PRAGMA foreign_keys=OFF",))
        if sqlite
        else postgres_engine(parsed, connections=1)
    )
    try:
        with translated(), engine.connect() as connection:
            if _is_current(connection):
                return False
            connection.rollback()
            connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN")
            if not sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _POSTGRES_LOCK})
            if _is_current(connection):
                return False
            _upgrade(connection)
            if sqlite:
                _check_foreign_keys(connection)
            connection.commit()
            return True
    finally:
        engine.dispose()


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if version is not None and version not in REVISIONS:
        msg = f"the database has schema {version}; this Penstock knows none after {REVISIONS[-1]} and must be upgraded"
        raise SchemaNewerError(msg)
    return version == REVISIONS[-1]


def _upgrade(connection: Connection) -> None:
    from alembic.config import Config  # noqa: PLC0415 - only a start that has something to do pays for it
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - likewise
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - likewise

    scripts = ScriptDirectory(str(_SCRIPTS))
    with EnvironmentContext(
        Config(),
        scripts,
        fn=lambda version, _: scripts._upgrade_revs(REVISIONS[-1], version),  # noqa: SLF001 - what alembic's own command calls
    ) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        msg = f"the migration would leave a broken reference in table {broken[0]}"
        raise AssertionError(msg)
