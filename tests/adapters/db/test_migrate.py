"""The schema's way from nothing, or from any older version, to what the code expects."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, create_engine, insert, table, text

from penstock.adapters.db import migrate as migrations
from penstock.adapters.db.database import open_database
from penstock.adapters.db.migrate import REVISIONS, SchemaNewerError, migrate
from penstock.adapters.db.rows import Rows
from penstock.adapters.db.tables import asset_terms, assets, metadata
from penstock.domain.accounts import Scope
from penstock.domain.assets import Asset
from penstock.domain.ids import AccountId
from penstock.domain.library import AssetFilter, terms_of
from tests.support.records import NOW, make_asset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[3]
SCRIPTS = Path(migrations.__file__).parent / "migrations"

# Runs the migration and dies by SIGKILL when the numbered statement has been executed.
KILLED_MIGRATION = """
import os, signal, sys
from sqlalchemy import Engine, event
from penstock.adapters.db.migrate import migrate
count = 0
@event.listens_for(Engine, "after_cursor_execute")
def die(*_):
    global count
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
migrate(sys.argv[1])
"""


def test_the_known_versions_are_those_of_the_scripts() -> None:
    scripts = ScriptDirectory(str(SCRIPTS))

    assert list(REVISIONS) == [script.revision for script in reversed(list(scripts.walk_revisions()))]


def test_the_migrated_schema_is_the_code_s(empty_database_url: str) -> None:
    migrate(empty_database_url)

    with _connected(empty_database_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrated_sqlite_schema_is_to_the_letter_the_code_s(tmp_path: Path) -> None:
    created, migrated = f"sqlite:///{tmp_path / 'created.db'}", f"sqlite:///{tmp_path / 'migrated.db'}"

    migrate(migrated)
    with _connected(created) as connection:
        metadata.create_all(connection)
        connection.commit()

    assert _sqlite_schema(migrated) == _sqlite_schema(created)


def test_the_migrated_postgres_schema_is_to_the_letter_the_code_s(empty_postgres_url: str) -> None:
    migrate(empty_postgres_url)
    migrated = _postgres_schema(empty_postgres_url)

    with _connected(empty_postgres_url) as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
        connection.commit()

    assert migrated == _postgres_schema(empty_postgres_url)
    assert len(migrated) > 100


def test_migrating_twice_does_nothing_the_second_time(empty_database_url: str) -> None:
    assert migrate(empty_database_url)
    assert not migrate(empty_database_url)


def test_a_start_at_the_newest_version_does_not_load_the_migration_library(sqlite_url: str) -> None:
    program = (
        "import sys\n"
        "from penstock.adapters.db.migrate import migrate\n"
        f"migrate({sqlite_url!r})\n"
        "sys.exit(any(name.startswith(('alembic', 'sqlalchemy.orm', 'psycopg')) for name in sys.modules))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60)

    assert done.returncode == 0


def test_assets_of_before_are_found_like_new_ones(empty_database_url: str) -> None:
    _migrate_to(empty_database_url, "0004")
    acme = AccountId("account-acme")
    kept = make_asset(1, acme, name="Beach Sunset.png", tags=("holiday",), updated_at=None)
    gone = make_asset(2, acme, deleted_at=NOW)
    with _connected(empty_database_url) as connection:
        connection.execute(text("INSERT INTO accounts (id, name, created_at) VALUES ('account-acme', 'acme', 0)"))
        for asset in (kept, gone):
            values = {**Rows(Asset, assets).values(asset), "over_at": asset.deleted_at}
            columns = [assets.c[name] for name in values]
            connection.execute(insert(table("assets", *(column(one.name, one.type) for one in columns))), values)
        connection.commit()

    migrate(empty_database_url)

    database = open_database(empty_database_url)
    with database.read() as tx:
        wanted = AssetFilter(query="sun", tags=("holiday",), name="beach s")
        assert tx.library.find(acme, wanted, past=None, limit=5, now=NOW).assets == [kept]
        trash = tx.library.find(acme, AssetFilter(deleted=True), past=None, limit=5, now=NOW)
        assert trash.assets == [gone]
    with database.gate.read() as connection:
        posted = {(row.asset_id, row.term) for row in connection.execute(asset_terms.select())}
    database.close()
    assert posted == {(kept.id, term) for term in terms_of(kept) if not term.startswith("n")}


def test_of_several_starters_one_migrates_and_the_others_wait_for_it(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        migrated = list(pool.map(migrate, [empty_database_url] * 4))

    assert migrated.count(True) == 1
    _use(empty_database_url)


@pytest.mark.parametrize("statement", [3, 4, 12, 24])
def test_a_migration_that_is_killed_leaves_nothing_and_the_next_start_completes_it(  # F40
    empty_database_url: str, statement: int
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_MIGRATION, empty_database_url, str(statement)], cwd=ROOT, check=False, timeout=60
    )

    assert killed.returncode == -signal.SIGKILL
    with _connected(empty_database_url) as connection:
        assert MigrationContext.configure(connection).get_current_revision() is None
    assert migrate(empty_database_url)
    _use(empty_database_url)


def test_a_database_of_a_newer_version_is_refused_and_left_alone(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with _connected(empty_database_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()

    with pytest.raises(SchemaNewerError, match="9999"):
        migrate(empty_database_url)

    with _connected(empty_database_url) as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "9999"


def test_a_run_of_before_its_fault_was_noted_is_kept(empty_database_url: str) -> None:
    _migrate_to(empty_database_url, "0001")
    with _connected(empty_database_url) as connection:
        connection.execute(text("INSERT INTO accounts (id, name, created_at) VALUES ('a', 'acme', 0)"))
        connection.execute(
            text(
                "INSERT INTO runs (id, account_id, dialect, model, runner, runner_model, state, inputs,"
                ' "values", files, metadata, held, cancel_requested, created_at)'
                " VALUES ('r', 'a', 'native', 'm', 'builtin', 'm', 'failed', '{}', '{}', '{}', '{}', 5, false, 7)"
            )
        )
        connection.commit()

    assert migrate(empty_database_url)

    database = open_database(empty_database_url)
    with database.read() as tx:
        (run,) = tx.runs.page("a", below=None, limit=10)  # type: ignore[arg-type]  # an account's id
    database.close()
    assert (run.id, run.state, run.fault) == ("r", "failed", None)


def test_a_key_that_could_do_everything_can_do_everything_still(empty_database_url: str) -> None:
    _migrate_to(empty_database_url, "0009")
    everything = "account:read files:read files:write runs:read runs:write webhooks:write"
    with _connected(empty_database_url) as connection:
        connection.execute(text("INSERT INTO accounts (id, name, created_at) VALUES ('a', 'acme', 0)"))
        for number, scopes in enumerate((everything, "files:read files:write")):
            connection.execute(
                text(
                    "INSERT INTO api_keys (id, account_id, digest, hint, scopes, created_at)"
                    " VALUES (:id, 'a', :id, 'sk', :scopes, :number)"
                ),
                {"id": f"key-{number}", "scopes": scopes, "number": number},
            )
        connection.commit()

    migrate(empty_database_url)

    database = open_database(empty_database_url)
    with database.read() as tx:
        first, second = tx.accounts.keys(AccountId("a"))
    database.close()
    assert first.scopes >= {Scope.MODELS_READ, Scope.MODELS_WRITE, Scope.WEBHOOKS_WRITE}
    assert second.scopes == {Scope.FILES_READ, Scope.FILES_WRITE}


def _use(url: str) -> None:
    database = open_database(url)
    with database.write() as tx:
        tx.idempotency.add("a", "verb", "key", fingerprint="f", subject="s", now=NOW)  # type: ignore[arg-type]  # an id
    database.close()


def _migrate_to(url: str, revision: str) -> None:
    scripts = ScriptDirectory(str(SCRIPTS))
    with (
        _connected(url) as connection,
        EnvironmentContext(
            Config(),
            scripts,
            fn=lambda version, _: scripts._upgrade_revs(revision, version),  # noqa: SLF001 - alembic's own command's way
        ) as environment,
    ):
        environment.configure(connection=connection)
        with environment.begin_transaction():
            environment.run_migrations()
        connection.commit()


def _sqlite_schema(url: str) -> set[str]:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        rows: Sequence[tuple[str]] = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
        ).fetchall()
    connection.close()
    return {_spelling(sql) for (sql,) in rows if sql and "alembic_version" not in sql}


def _postgres_schema(url: str) -> set[tuple[str, ...]]:
    queries = """
        SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public';
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace;
        SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
        FROM information_schema.columns WHERE table_schema = 'public'
    """
    with _connected(url) as connection:
        return {
            tuple(map(str, row))
            for query in queries.split(";")
            for row in connection.execute(text(query))
            if row[0] != "alembic_version"
        }


def _spelling(sql: str) -> str:
    """A table's definition with its constraints in one order: a column added later stands behind them."""
    head, _, body = " ".join(sql.split()).partition(" (")
    return head + str(sorted(part.strip(" ,)") for part in body.split(", ")))


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()
