"""What is PostgreSQL's own: durability, isolation, and what happens when the server goes away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.db.database import SqlDatabase
from penstock.domain.errors import DatabaseUnavailable
from penstock.domain.events import EventKind
from tests.support.records import NOW, make_upload, open_account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import PostgresServer

LONG = timedelta(seconds=30)


@pytest.fixture
def database(postgres_url: str) -> Iterator[SqlDatabase]:
    database = SqlDatabase(postgres_url)
    yield database
    database.close()


def test_every_commit_is_durable(database: SqlDatabase) -> None:  # P1
    with database.gate.write() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"


def test_a_reader_has_one_snapshot_and_may_not_write(database: SqlDatabase) -> None:
    with database.gate.read() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "repeatable read"
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_common_spellings_of_the_url_are_understood(postgres_url: str, scheme: str) -> None:
    database = SqlDatabase(postgres_url.replace("postgresql+psycopg", scheme))

    database.ping()
    database.close()


# --- failures: F26


def test_a_connection_that_dies_in_a_transaction_takes_back_everything(database: SqlDatabase) -> None:
    account_id = open_account(database)

    with pytest.raises(DatabaseUnavailable), database.write() as tx:  # noqa: PT012 - the block is what fails
        tx.uploads.add(make_upload(1, account_id))
        _cut_all_connections(database)
        tx.uploads.add(make_upload(2, account_id))

    with database.write() as tx:
        assert tx.uploads.page(account_id, below=None, limit=10) == []


def test_a_connection_that_dies_before_the_commit_is_no_success(database: SqlDatabase) -> None:
    account_id = open_account(database)

    with pytest.raises(DatabaseUnavailable), database.write() as tx:  # noqa: PT012 - the block is what fails
        tx.uploads.add(make_upload(1, account_id))
        _cut_all_connections(database)

    with database.read() as tx:
        assert tx.uploads.page(account_id, below=None, limit=10) == []


def test_a_restarted_server_is_used_again_as_if_nothing_had_happened(
    database: SqlDatabase, postgres: PostgresServer
) -> None:
    account_id = open_account(database)

    postgres.stop()
    postgres.start()

    with database.read() as tx:
        assert tx.accounts.get(account_id).name == "acme"
    postgres.stop()
    postgres.start()
    database.ping()


def test_a_stopped_server_is_unavailable_until_it_is_back(database: SqlDatabase, postgres: PostgresServer) -> None:
    database.ping()
    postgres.stop()

    try:
        with pytest.raises(DatabaseUnavailable):
            database.ping()
    finally:
        postgres.start()

    database.ping()


def test_a_row_that_another_transaction_keeps_is_waited_for_and_then_given_up(postgres_url: str) -> None:
    database = SqlDatabase(postgres_url, busy_seconds=0.1)
    account_id = open_account(database)

    with database.write() as tx:
        tx.ledger.last(account_id, lock=True)
        with ThreadPoolExecutor(1) as pool, pytest.raises(DatabaseUnavailable):
            pool.submit(_lock_ledger, database, account_id).result()

    _lock_ledger(database, account_id)
    database.close()


def test_more_transactions_than_connections_wait_and_are_then_given_up(postgres_url: str) -> None:
    database = SqlDatabase(postgres_url, connections=1, busy_seconds=0.1)

    with database.read(), ThreadPoolExecutor(1) as pool, pytest.raises(DatabaseUnavailable):
        pool.submit(database.ping).result()

    database.ping()
    database.close()


# --- changes


def test_a_watcher_survives_a_restart_of_the_server(database: SqlDatabase, postgres: PostgresServer) -> None:
    account_id = open_account(database)
    changes = database.changes()

    postgres.stop()
    woken_by_the_loss = changes.wait(LONG)
    postgres.start()
    while changes.wait(timedelta(milliseconds=100)):  # until it has settled
        pass
    with database.write() as tx:
        tx.events.add(account_id, "run", EventKind.RUN_LOG, {}, now=NOW)

    assert woken_by_the_loss
    assert changes.wait(LONG)
    changes.close()


def test_a_watcher_cannot_be_made_without_a_server(database: SqlDatabase, postgres: PostgresServer) -> None:
    postgres.stop()

    try:
        with pytest.raises(DatabaseUnavailable):
            database.changes()
    finally:
        postgres.start()


def _lock_ledger(database: SqlDatabase, account_id: object) -> None:
    with database.write() as tx:
        tx.ledger.last(account_id, lock=True)  # type: ignore[arg-type]  # an account's id


def _cut_all_connections(database: SqlDatabase) -> None:
    others = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    with database.gate.read() as connection:
        connection.exec_driver_sql(others)
