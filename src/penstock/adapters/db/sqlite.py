"""SQLite: one writer at a time, many readers beside it, and a cheap way to learn of commits."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.adapters.db.engine import BUSY_SECONDS, sqlite_engine, translated
from penstock.domain.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from sqlalchemy import URL, Connection

_POLL_SECONDS = 0.02


class SqliteGate:
    """Opens transactions. Writers of this process wait in line here, not in SQLite's busy handler, which sleeps."""

    def __init__(self, url: URL, *, readers: int) -> None:
        self._path = str(url.database)
        self._writer = sqlite_engine(url, connections=1)
        self._readers = sqlite_engine(url, connections=readers, pragmas=("PRAGMA query_only=ON",))
        self._line = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the database's write lock from its beginning."""
        if not self._line.acquire(timeout=BUSY_SECONDS):
            msg = "too many writers are waiting"
            raise DatabaseUnavailable(msg)
        try:
            with translated(), self._writer.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
        finally:
            self._line.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot, fixed by the first look."""
        with translated(), self._readers.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    def announce(self, connection: Connection) -> None:
        """Nothing to do: a commit shows in `PRAGMA data_version`."""

    def changes(self) -> SqliteChanges:
        """A watcher of commits, by whatever process."""
        return SqliteChanges(self._path)

    def close(self) -> None:
        """Close all connections."""
        self._writer.dispose()
        self._readers.dispose()


class SqliteChanges:
    """Implements `Changes`: SQLite counts, per connection, the commits of all others. Asking costs microseconds."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._seen = self._version()

    def wait(self, timeout: timedelta) -> bool:
        """True as soon as something has committed. Never raises: a database that cannot be asked counts as changed."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not self._closing.is_set():
            version = self._version()
            if version != self._seen:
                self._seen = version
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._closing.wait(min(left, _POLL_SECONDS))
        return True

    def close(self) -> None:
        """Free the connection; a waiting call returns."""
        self._closing.set()
        with self._lock:
            self._connection.close()

    def _version(self) -> int | None:
        """None when the database cannot be asked: that is no version, so it counts as a change, once."""
        with self._lock:
            if self._closing.is_set():
                return None
            try:
                return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error:
                return None
