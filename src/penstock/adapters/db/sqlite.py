"""SQLite: one writer at a time, many readers beside it, and a cheap way to learn of commits."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, OperationalError

from penstock.adapters.db.engine import BUSY_SECONDS, is_busy, sqlite_engine, translated, unavailable
from penstock.adapters.db.line import Line
from penstock.domain.errors import DatabaseUnavailable, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from sqlalchemy import URL, Connection

_POLL_SECONDS = 0.02
_RETRY_SECONDS = 0.001
_LARGEST_GROUP = 16
_LONGEST_GROUP = 0.005


class SqliteGate:
    """Opens transactions. Writers of this process wait in line here, not in SQLite's busy handler, which sleeps.

    Group commit: whoever is next in line when a transaction ends goes on inside the same SQLite transaction, behind a
    savepoint, and the last one commits for all; one fsync serves many. Nobody returns before that commit, and when it
    fails, it fails for all. So from outside each is a transaction like any other.
    """

    def __init__(self, url: URL, *, readers: int, busy_seconds: float, group_seconds: float = _LONGEST_GROUP) -> None:
        """`group_seconds`: after so long the next to end commits, whoever else waits."""
        self._path = str(url.database)
        self._busy_seconds = busy_seconds
        self._group_seconds = group_seconds
        # The writer asks for the lock itself (`_begin`), more often than SQLite's busy handler does.
        self._writer = sqlite_engine(url, connections=1, pragmas=("PRAGMA busy_timeout=0",))
        self._readers = sqlite_engine(url, connections=readers, pragmas=("PRAGMA query_only=ON",))
        self._line = Line()
        self._connection: Connection | None = None
        self._group: _Group | None = None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the database's write lock from its beginning. Raises `RuntimeError` when nested."""
        if not self._line.enter(timeout=self._busy_seconds):
            msg = "too many writers are waiting"
            raise DatabaseUnavailable(msg)
        with translated():
            connection, group = self._join()
        try:
            with translated():
                yield connection
        except BaseException as error:
            self._end(connection, group, error)
            raise
        self._end(connection, group, None)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot, fixed by the first look."""
        with translated(), self._readers.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    def announce(self, connection: Connection) -> None:
        """Nothing to do: a commit shows in `PRAGMA data_version`."""

    def waiting(self) -> int:
        """How many writers stand in line."""
        return self._line.waiting()

    def changes(self) -> SqliteChanges:
        """A watcher of commits, by whatever process."""
        try:
            return SqliteChanges(self._path)
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def close(self) -> None:
        """Close all connections. Call it when no transaction is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._writer.dispose()
        self._readers.dispose()

    def _join(self) -> tuple[Connection, _Group]:
        """Our place in the open transaction, or a new transaction. On failure the turn is given up."""
        try:
            if self._connection is None:
                self._connection = self._writer.connect()
            if self._group is None:
                self._begin(self._connection)
                self._group = _Group(full_in=self._group_seconds)
            else:
                self._connection.exec_driver_sql("SAVEPOINT member")
        except BaseException as error:
            if self._group is None:
                self._line.leave()
            else:
                self._finish(self._group, unavailable(error))
            raise
        self._group.members += 1
        return self._connection, self._group

    def _begin(self, connection: Connection) -> None:
        """Take the write lock, asking every millisecond while another process has it."""
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                connection.rollback()
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(_RETRY_SECONDS)

    def _end(self, connection: Connection, group: _Group, error: BaseException | None) -> None:
        """End our part, and wait until the group's fate is known. Raises what the group failed with."""
        if error is not None and group.members == 1:
            self._finish(group, self._attempt(connection.rollback))
            return
        failure = self._leave_savepoint(connection, group, error)
        if failure is None and not group.is_full() and self._line.pass_on():
            failure = group.outcome(timeout=2 * self._busy_seconds)
        else:
            failure = failure or self._attempt(connection.commit)
            self._finish(group, failure)
        if failure is not None:
            raise type(failure)(failure.message) from failure

    def _leave_savepoint(
        self, connection: Connection, group: _Group, error: BaseException | None
    ) -> Unavailable | None:
        """Keep our part or take it back. Where SQLite ended the transaction (the disk is full), all parts are gone."""
        if not _is_open(connection):
            return error if isinstance(error, Unavailable) else DatabaseUnavailable("the transaction was rolled back")
        failure = None
        if error is not None:
            failure = self._attempt(connection.exec_driver_sql, "ROLLBACK TO member")
        if failure is None and group.members > 1:
            failure = self._attempt(connection.exec_driver_sql, "RELEASE member")
        return failure

    def _attempt(self, call: Callable[..., object], *arguments: str) -> Unavailable | None:
        try:
            call(*arguments)
        except DBAPIError as error:
            return unavailable(error)
        return None

    def _finish(self, group: _Group, failure: Unavailable | None) -> None:
        """Tell the group, and let the next in line begin a new one, on a new connection if this one failed."""
        self._group = None
        if failure is not None and self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
        group.end(failure)
        self._line.leave()


class _Group:
    """Transactions that one commit makes durable."""

    def __init__(self, *, full_in: float) -> None:
        self.members = 0
        self._full_at = time.monotonic() + full_in
        self._over = threading.Event()
        self._failure: Unavailable | None = None

    def is_full(self) -> bool:
        """Whether those inside have waited long enough for the commit."""
        return self.members >= _LARGEST_GROUP or time.monotonic() >= self._full_at

    def end(self, failure: Unavailable | None) -> None:
        """Tell the members how the commit went."""
        self._failure = failure
        self._over.set()

    def outcome(self, *, timeout: float) -> Unavailable | None:
        """Wait for the end, at most `timeout` seconds; None when everything is durable."""
        if not self._over.wait(timeout):
            return DatabaseUnavailable("a later writer does not come to an end; whether this commits is unknown")
        return self._failure


def _is_open(connection: Connection) -> bool:
    raw = connection.connection.driver_connection
    return isinstance(raw, sqlite3.Connection) and raw.in_transaction


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
