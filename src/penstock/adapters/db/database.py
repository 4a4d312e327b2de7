"""The database port on whichever database the URL names."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from penstock.adapters.db.accounts import SqlAccounts
from penstock.adapters.db.assets import SqlAssets, SqlAssetSweeps
from penstock.adapters.db.engine import BUSY_SECONDS, parse_url
from penstock.adapters.db.events import SqlEvents
from penstock.adapters.db.folders import SqlFolders
from penstock.adapters.db.idempotency import SqlIdempotency
from penstock.adapters.db.installation import SqlInstallation
from penstock.adapters.db.jobs import SqlFencedJobs, SqlJobs
from penstock.adapters.db.ledger import SqlLedger
from penstock.adapters.db.library import SqlLibrary
from penstock.adapters.db.model_files import SqlModelFiles
from penstock.adapters.db.model_leases import SqlModelLeases
from penstock.adapters.db.model_uploads import SqlModelUploads
from penstock.adapters.db.models import SqlModels
from penstock.adapters.db.quotas import QuotaBook, SqlQuotas
from penstock.adapters.db.run_queue import SqlRunQueue
from penstock.adapters.db.runs import SqlRuns
from penstock.adapters.db.sqlite import SqliteGate
from penstock.adapters.db.storage import SqlStorage
from penstock.adapters.db.uploads import SqlUploads
from penstock.adapters.db.webhooks import SqlDeliveries, SqlEndpoints
from penstock.domain.errors import DatabaseUnavailable
from penstock.domain.quotas import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from penstock.ports.database import Changes

# A write that changes nothing, but needs everything that a write needs.
_TOUCH = text("UPDATE alembic_version SET version_num = version_num")


class Gate(Protocol):
    """What the two databases do differently: begin, end and announce transactions."""

    def write(self) -> AbstractContextManager[Connection]: ...
    def read(self) -> AbstractContextManager[Connection]: ...
    def announce(self, connection: Connection) -> None: ...
    def changes(self) -> Changes: ...
    def close(self) -> None: ...


class SqlTransaction:
    """Implements `Transaction`. `told` turns true once events or jobs are asked for: somebody may wait for them.

    Where it `writes`, an upload, asset or run that was read by its id stays as it is until the transaction ends.
    """

    __slots__ = ("_connection", "_limits", "_writes", "book", "told")

    def __init__(self, connection: Connection, limits: Limits, *, writes: bool) -> None:
        self._connection = connection
        self._limits = limits
        self._writes = writes
        self.book = QuotaBook(connection, limits)
        self.told = False

    @property
    def accounts(self) -> SqlAccounts:
        return SqlAccounts(self._connection)

    @property
    def uploads(self) -> SqlUploads:
        return SqlUploads(self._connection, self.book, writes=self._writes)

    @property
    def assets(self) -> SqlAssets:
        return SqlAssets(self._connection, self.book, writes=self._writes)

    @property
    def asset_sweeps(self) -> SqlAssetSweeps:
        return SqlAssetSweeps(self._connection, self.book, writes=self._writes)

    @property
    def library(self) -> SqlLibrary:
        return SqlLibrary(self._connection, writes=self._writes)

    @property
    def folders(self) -> SqlFolders:
        return SqlFolders(self._connection)

    @property
    def installation(self) -> SqlInstallation:
        return SqlInstallation(self._connection)

    @property
    def runs(self) -> SqlRuns:
        return SqlRuns(self._connection, writes=self._writes)

    @property
    def deliveries(self) -> SqlDeliveries:
        return SqlDeliveries(self._connection, writes=self._writes)

    @property
    def endpoints(self) -> SqlEndpoints:
        return SqlEndpoints(self._connection, writes=self._writes)

    @property
    def run_queue(self) -> SqlRunQueue:
        return SqlRunQueue(self._connection)

    @property
    def models(self) -> SqlModels:
        return SqlModels(self._connection, writes=self._writes)

    @property
    def model_files(self) -> SqlModelFiles:
        return SqlModelFiles(self._connection, self.book, writes=self._writes)

    @property
    def model_uploads(self) -> SqlModelUploads:
        return SqlModelUploads(self._connection, writes=self._writes)

    @property
    def ledger(self) -> SqlLedger:
        return SqlLedger(self._connection)

    @property
    def quotas(self) -> SqlQuotas:
        return SqlQuotas(self._connection, self._limits)

    @property
    def model_leases(self) -> SqlModelLeases:
        return SqlModelLeases(self._connection)

    @property
    def storage(self) -> SqlStorage:
        return SqlStorage(self._connection)

    @property
    def events(self) -> SqlEvents:
        self.told = True
        return SqlEvents(self._connection)

    @property
    def idempotency(self) -> SqlIdempotency:
        return SqlIdempotency(self._connection)

    @property
    def jobs(self) -> SqlJobs:
        self.told = True
        return SqlJobs(self._connection)

    @property
    def fenced(self) -> SqlFencedJobs:
        self.told = True
        return SqlFencedJobs(self._connection)


class SqlDatabase:
    """Implements `Database`.

    `connections` bounds the transactions open at the same time; `busy_seconds` is how long one waits for another.
    `limits` are the quotas of accounts that have none of their own.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 8,
        busy_seconds: float = BUSY_SECONDS,
        limits: Limits = Limits(),  # noqa: B008 - a value that cannot change
    ) -> None:
        """Connects to nothing yet. Raises `ValueError` for a URL of another kind."""
        self._limits = limits
        parsed = parse_url(url)
        self.gate: Gate
        if parsed.get_backend_name() == "sqlite":
            self.gate = SqliteGate(parsed, readers=connections, busy_seconds=busy_seconds)
        else:
            from penstock.adapters.db.postgres import PostgresGate  # noqa: PLC0415 - the box does without its driver

            self.gate = PostgresGate(parsed, connections=connections, busy_seconds=busy_seconds)

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        """A read-write transaction.

        Raises `DatabaseUnavailable`, `StorageFull` when the disk is full, `QuotaExceeded` at its end. After a failed
        commit on PostgreSQL the outcome is unknown: read before doing anything twice.
        """
        with self.gate.write() as connection:
            transaction = SqlTransaction(connection, self._limits, writes=True)
            yield transaction
            transaction.book.settle()
            if transaction.told:
                self.gate.announce(connection)

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """A consistent snapshot. Raises `DatabaseUnavailable`."""
        with self.gate.read() as connection:
            yield SqlTransaction(connection, self._limits, writes=False)

    def ping(self) -> None:
        """Raises `DatabaseUnavailable` or `StorageFull` when a durable write does not succeed."""
        try:
            with self.gate.write() as connection:
                connection.execute(_TOUCH)
        except ProgrammingError as error:
            raise DatabaseUnavailable("the database has no schema") from error

    def changes(self) -> Changes:
        """A new watcher of commits. Raises `DatabaseUnavailable`."""
        return self.gate.changes()

    def close(self) -> None:
        """Close all connections."""
        self.gate.close()


def open_database(url: str, *, connections: int = 8) -> SqlDatabase:
    """The database at a SQLAlchemy URL: `sqlite:////path/to/file` or `postgresql://…`. Migrate it first (`migrate`)."""
    return SqlDatabase(url, connections=connections)
