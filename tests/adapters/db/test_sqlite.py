"""What is SQLite's own: durability, the line of writers, the shared commit."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError

from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.db.sqlite import SqliteGate
from penstock.domain.errors import DatabaseUnavailable, StorageFull, Unavailable
from penstock.domain.ids import AccountId
from tests.support.records import make_upload, open_account
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path


LONG = 30.0
NOBODY = AccountId("nobody")


@pytest.fixture
def database(sqlite_url: str) -> Iterator[SqlDatabase]:
    database = SqlDatabase(sqlite_url)
    yield database
    database.close()


def test_every_commit_is_durable(database: SqlDatabase) -> None:  # P1
    with database.gate.write() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}  # 2: FULL


def test_a_transaction_inside_another_is_refused_instead_of_waiting_for_itself(database: SqlDatabase) -> None:
    with pytest.raises(RuntimeError), database.write(), database.write():
        pass

    database.ping()


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_a_database_that_is_no_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a SQLite file"):
        SqlDatabase(f"sqlite:///{name}")


def test_a_database_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="not PostgreSQL") as refusal:
        SqlDatabase("mysql://user:hidden@host/database")

    assert "hidden" not in str(refusal.value)


# --- failures: F26, P10


def test_a_lock_that_another_process_keeps_is_waited_for_and_then_given_up(sqlite_url: str) -> None:
    database = SqlDatabase(sqlite_url, busy_seconds=0.1)
    with _locked_by_another(sqlite_url), pytest.raises(DatabaseUnavailable), database.write():
        pass

    database.ping()
    database.close()


def test_a_lock_that_another_process_gives_back_in_time_is_taken(sqlite_url: str, database: SqlDatabase) -> None:
    with ThreadPoolExecutor(1) as pool:
        with _locked_by_another(sqlite_url):
            waiting = pool.submit(open_account, database)
        waiting.result(timeout=LONG)

    with database.read() as tx:
        assert len(tx.accounts.all()) == 1


def test_writers_in_line_are_given_up_when_the_first_does_not_come_to_an_end(sqlite_url: str) -> None:
    database = SqlDatabase(sqlite_url, busy_seconds=0.05)
    with ThreadPoolExecutor(1) as pool, database.write(), pytest.raises(DatabaseUnavailable):
        pool.submit(database.ping).result()

    database.ping()
    database.close()


def test_a_full_disk_is_told_apart_and_reading_goes_on(database: SqlDatabase) -> None:
    account_id = open_account(database)
    with pytest.raises(StorageFull), database.gate.write() as connection:  # noqa: PT012 - the block is what fails
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # the connection's own limit; the next one has none
        connection.exec_driver_sql("CREATE TABLE filler AS SELECT randomblob(1000000) AS bytes")

    with database.read() as tx:
        assert tx.accounts.get(account_id).name == "acme"


def test_a_file_that_is_no_database_is_not_served(tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    path.write_bytes(b"not a database" * 1000)
    database = SqlDatabase(f"sqlite:///{path}")

    with pytest.raises(DatabaseUnavailable):
        database.ping()
    with pytest.raises(DatabaseUnavailable), database.read() as tx:
        tx.accounts.all()
    database.close()


def test_a_directory_that_is_missing_is_unavailable(tmp_path: Path) -> None:
    database = SqlDatabase(f"sqlite:///{tmp_path / 'missing' / 'penstock.db'}")

    with pytest.raises(DatabaseUnavailable):
        database.ping()
    database.close()


# --- the shared commit


@pytest.fixture
def patient(database: SqlDatabase, sqlite_url: str) -> SqlDatabase:
    """The database, but a commit is shared however slow the machine is."""
    database.close()
    database.gate = SqliteGate(make_url(sqlite_url), readers=4, busy_seconds=LONG, group_seconds=LONG)
    return database


def test_a_writer_returns_only_when_the_commit_it_shares_is_done(patient: SqlDatabase) -> None:
    account_id = open_account(patient)
    go_on, inside = threading.Event(), threading.Event()

    def second() -> None:
        with patient.write() as tx:
            tx.uploads.add(make_upload(2, account_id))
            inside.set()
            go_on.wait(LONG)

    with ThreadPoolExecutor(2) as pool:
        first_done, second_done = _in_line(pool, patient, [lambda: _add(patient, 1, account_id), second])
        assert inside.wait(LONG)
        assert not first_done.done()
        assert _numbers(patient, account_id) == set()
        go_on.set()
        first_done.result(LONG)
        second_done.result(LONG)

    assert _numbers(patient, account_id) == {1, 2}


def test_a_writer_that_fails_takes_back_its_own_part_alone(patient: SqlDatabase) -> None:
    account_id = open_account(patient)

    def fail() -> None:
        with patient.write() as tx:
            tx.uploads.add(make_upload(2, account_id))
            raise ZeroDivisionError

    with ThreadPoolExecutor(3) as pool:
        first, second, third = _in_line(
            pool, patient, [lambda: _add(patient, 1, account_id), fail, lambda: _add(patient, 3, account_id)]
        )
        first.result(LONG)
        third.result(LONG)
        with pytest.raises(ZeroDivisionError):
            second.result(LONG)

    assert _numbers(patient, account_id) == {1, 3}


def test_a_commit_that_fails_fails_for_all_who_share_it(patient: SqlDatabase) -> None:
    account_id = open_account(patient)

    def spoil() -> None:
        with patient.gate.write() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")  # so that only the commit finds out
            connection.exec_driver_sql(
                "INSERT INTO ledger_entries (account_id, number, kind, amount, balance, created_at)"
                " VALUES ('unknown', 1, 'credit', 1, 1, 0)"
            )

    def look() -> None:
        with patient.write() as tx:
            tx.accounts.by_name("unknown")

    with ThreadPoolExecutor(3) as pool:
        outcomes = _in_line(pool, patient, [lambda: _add(patient, 1, account_id), look, spoil])
        for outcome in outcomes:
            with pytest.raises(DatabaseUnavailable):
                outcome.result(LONG)

    assert _numbers(patient, account_id) == set()
    _add(patient, 4, account_id)
    assert _numbers(patient, account_id) == {4}


def test_what_was_acknowledged_is_there_and_nothing_else(database: SqlDatabase) -> None:
    account_id = open_account(database)

    def write(number: int) -> int | None:
        try:
            with database.write() as tx:
                tx.uploads.add(make_upload(number, account_id))
                if number % 3 == 1:
                    raise ZeroDivisionError  # noqa: TRY301 - the block is what fails
                if number % 7 == 1:
                    tx.uploads.add(make_upload(number, account_id))
                if number % 11 == 1:
                    tx.uploads.add(make_upload(number + 10_000, NOBODY))
        except (ZeroDivisionError, IntegrityError):
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        acknowledged = {number for number in pool.map(write, range(400)) if number is not None}

    assert _numbers(database, account_id) == acknowledged
    assert 100 < len(acknowledged) < 300


def test_a_disk_that_fills_up_between_writers_loses_nothing_acknowledged(patient: SqlDatabase) -> None:
    account_id = open_account(patient)

    def fill() -> None:
        with patient.gate.write() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1")
            connection.exec_driver_sql("CREATE TABLE filler AS SELECT randomblob(1000000) AS bytes")

    with ThreadPoolExecutor(3) as pool:
        first, second, third = _in_line(
            pool, patient, [lambda: _add(patient, 1, account_id), fill, lambda: _add(patient, 3, account_id)]
        )
        assert isinstance(second.exception(LONG), StorageFull)
        acknowledged = {number for number, future in ((1, first), (3, third)) if future.exception(LONG) is None}
        refused = [future.exception(LONG) for future in (first, third) if future.exception(LONG) is not None]

    assert _numbers(patient, account_id) == acknowledged
    assert all(isinstance(error, Unavailable) for error in refused)


def _in_line(
    pool: ThreadPoolExecutor, database: SqlDatabase, writers: list[Callable[[], object]]
) -> list[Future[object]]:
    """Start writers while the write transaction is held: they stand in line in this order and share a commit."""
    gate = database.gate
    assert isinstance(gate, SqliteGate)
    futures = []
    with suppress(InterruptedError), database.write():
        for number, writer in enumerate(writers, start=1):
            futures.append(pool.submit(writer))
            wait_until(lambda: gate.waiting() == number, "the writer stands in line")  # noqa: B023 - asked at once
        raise InterruptedError  # so that ours is not one of them
    return futures


def _add(database: SqlDatabase, number: int, account_id: AccountId) -> None:
    with database.write() as tx:
        tx.uploads.add(make_upload(number, account_id))


def _numbers(database: SqlDatabase, account_id: AccountId) -> set[int]:
    """The numbers that `make_upload` made these uploads from."""
    with database.read() as tx:
        uploads = tx.uploads.page(account_id, below=None, limit=1000)
    return {int(upload.media_key.removeprefix("upload-")) for upload in uploads}


@contextmanager
def _locked_by_another(url: str) -> Iterator[None]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()
