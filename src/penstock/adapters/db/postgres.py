"""PostgreSQL: many writers, and notifications of commits."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from penstock.adapters.db.engine import postgres_engine, translated, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from sqlalchemy import URL, Connection

_CHANNEL = "penstock"
_NOTIFY = text(f"SELECT pg_notify('{_CHANNEL}', '')")
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = "BEGIN"
_RETRY_DELAYS = (0.05, 0.2, 0.5, 1.0)
_SAFETY_POLL = 1.0
_RECONNECT = 1.0


class PostgresGate:
    """Opens transactions. A write is READ COMMITTED: what it decides on, it locks or compares and sets."""

    def __init__(self, url: URL, *, connections: int, busy_seconds: float) -> None:
        self._url = url
        self._engine = postgres_engine(url, connections=connections, busy_seconds=busy_seconds)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A read-write transaction."""
        with translated(), self._begun(_WRITE) as connection:
            yield connection
            connection.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot, fixed by the first look."""
        with translated(), self._begun(_READ) as connection:
            yield connection

    def announce(self, connection: Connection) -> None:
        """Wake the watchers when this transaction commits."""
        connection.execute(_NOTIFY)

    def changes(self) -> PostgresChanges:
        """A watcher of announced commits, by whatever process."""
        try:
            return PostgresChanges(self._url)
        except psycopg.Error as error:
            raise unavailable(error) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _begun(self, begin: str) -> Iterator[Connection]:
        connection = self._connect(begin)
        try:
            yield connection
        finally:
            connection.close()

    def _connect(self, begin: str) -> Connection:
        """A connection with a transaction begun. Nothing was done yet, so a dead server gets another chance (F26)."""
        for delay in _RETRY_DELAYS:
            try:
                return self._try(begin)
            except DBAPIError as error:
                if not isinstance(error.orig, psycopg.OperationalError):
                    raise
            time.sleep(delay)
        return self._try(begin)

    def _try(self, begin: str) -> Connection:
        connection = self._engine.connect()
        try:
            connection.exec_driver_sql(begin)
        except BaseException:
            connection.close()
            raise
        return connection


class PostgresChanges:
    """Implements `Changes` with LISTEN.

    A notification can be missed (a lost connection, a pooler in between), so once a second without one the server's
    write position is looked at: where it has not moved, nothing was committed.
    """

    def __init__(self, url: URL) -> None:
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._closing = threading.Event()
        self._position = ""
        self._connection: psycopg.Connection | None = self._listen()

    def wait(self, timeout: timedelta) -> bool:
        """True once something was announced, or may have been. Never raises: a dead connection counts as changed."""
        deadline = time.monotonic() + timeout.total_seconds()
        try:
            while not self._closing.is_set():
                if self._connection is None:
                    self._connection = self._listen()
                    if self._closing.is_set():
                        self._forget()
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                if self._notified(self._connection, min(left, _SAFETY_POLL)) or self._moved(self._connection):
                    return True
        except psycopg.Error:
            self._forget()
            self._closing.wait(min(_RECONNECT, max(0.0, deadline - time.monotonic())))
        return True

    def close(self) -> None:
        """Free the connection; a waiting call returns within a second."""
        self._closing.set()
        self._forget()

    def _listen(self) -> psycopg.Connection:
        connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=5, application_name="penstock changes")
        connection.execute(f"LISTEN {_CHANNEL}")
        self._moved(connection)
        return connection

    def _notified(self, connection: psycopg.Connection, seconds: float) -> bool:
        """Wait for a notification, and swallow those that came with it."""
        return bool(list(connection.notifies(timeout=seconds, stop_after=1)))

    def _moved(self, connection: psycopg.Connection) -> bool:
        row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        before, self._position = self._position, row[0] if row else ""
        return self._position != before

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
