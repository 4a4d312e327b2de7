"""The database: transactions, and one small repository per noun inside them.

A write transaction commits when its block ends without an exception, and only then are its effects, its events and its
jobs there, all together and durable (P1). No network or file I/O belongs inside a block. Rows are domain values.
Every lookup of a caller's thing takes the account (S22): another account's row is not found.
All methods may raise `DatabaseUnavailable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from penstock.ports.accounts import AccountRepository, LedgerRepository, QuotaRepository
    from penstock.ports.assets import AssetRepository, AssetSweepRepository, UploadRepository
    from penstock.ports.events import EventRepository, IdempotencyRepository
    from penstock.ports.installation import InstallationRepository
    from penstock.ports.jobs import FencedJob, JobRepository
    from penstock.ports.library import FolderRepository, LibraryRepository
    from penstock.ports.models import (
        ModelFileRepository,
        ModelLeaseRepository,
        ModelRepository,
        ModelUploadRepository,
    )
    from penstock.ports.runs import RunQueueRepository, RunRepository
    from penstock.ports.storage import StorageRepository
    from penstock.ports.webhooks import DeliveryRepository, EndpointRepository


class Transaction(Protocol):
    """One transaction's repositories."""

    @property
    def accounts(self) -> AccountRepository:
        """Accounts and keys."""
        ...

    @property
    def uploads(self) -> UploadRepository:
        """Uploads."""
        ...

    @property
    def assets(self) -> AssetRepository:
        """Assets and leases."""
        ...

    @property
    def asset_sweeps(self) -> AssetSweepRepository:
        """What sweeping needs of assets, and what is remembered of deleted ones."""
        ...

    @property
    def library(self) -> LibraryRepository:
        """Assets found by what is asked of them."""
        ...

    @property
    def folders(self) -> FolderRepository:
        """Folders."""
        ...

    @property
    def installation(self) -> InstallationRepository:
        """Which bucket is this database's, and what in it is not known."""
        ...

    @property
    def runs(self) -> RunRepository:
        """Runs."""
        ...

    @property
    def deliveries(self) -> DeliveryRepository:
        """Callbacks and their attempts."""
        ...

    @property
    def endpoints(self) -> EndpointRepository:
        """Receivers of callbacks, and secrets."""
        ...

    @property
    def run_queue(self) -> RunQueueRepository:
        """Runs that wait, and those that go on."""
        ...

    @property
    def models(self) -> ModelRepository:
        """Registered models and the sources of their names."""
        ...

    @property
    def model_files(self) -> ModelFileRepository:
        """Weights at rest."""
        ...

    @property
    def model_uploads(self) -> ModelUploadRepository:
        """Model uploads."""
        ...

    @property
    def ledger(self) -> LedgerRepository:
        """Money."""
        ...

    @property
    def quotas(self) -> QuotaRepository:
        """What accounts take and may take."""
        ...

    @property
    def model_leases(self) -> ModelLeaseRepository:
        """Which model files unfinished runs read."""
        ...

    @property
    def storage(self) -> StorageRepository:
        """What accounts pay for keeping models."""
        ...

    @property
    def events(self) -> EventRepository:
        """Events."""
        ...

    @property
    def idempotency(self) -> IdempotencyRepository:
        """Idempotency keys."""
        ...

    @property
    def jobs(self) -> JobRepository:
        """Putting jobs in."""
        ...

    @property
    def fenced(self) -> FencedJob:
        """A worker's writes about its own job."""
        ...


class Database(Protocol):
    """Transactions. Usable from many threads at once; a transaction belongs to the thread that opened it."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A read-write transaction. Rolls back on any exception.

        When the block has ended and what it adds does not fit into an account's quota, `QuotaExceeded` is raised from
        it and nothing has happened. What grows nothing, and what a run has made, always fits.

        An upload, asset or run that it reads by its id, and an account's ledger read with `lock`, is the newest, and
        nobody else changes it until the transaction ends.
        """
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent snapshot for reading."""
        ...

    def ping(self) -> None:
        """Raises `DatabaseUnavailable` when the database cannot be read and written."""
        ...


class Changes(Protocol):
    """Learns cheaply that some transaction, of whatever process, has committed."""

    def wait(self, timeout: timedelta) -> bool:
        """Block until something may have changed since the last call returned, or `timeout`; True when it did."""
        ...

    def close(self) -> None:
        """Free what watching holds."""
        ...
