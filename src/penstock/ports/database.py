"""The database: transactions, and one small repository per noun inside them.

A write transaction commits when its block ends without an exception, and only then are its effects, its events and its
jobs there, all together and durable (P1). No network or file I/O belongs inside a block. Rows are domain values.
Every lookup of a caller's thing takes the account (S22): another account's row is not found.
All methods may raise `DatabaseUnavailable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from penstock.domain.accounts import Account, ApiKey
    from penstock.domain.assets import Asset
    from penstock.domain.events import Event, EventData, EventKind
    from penstock.domain.ids import AccountId, AssetId, JobId, KeyId, MediaKey, RunId, UploadId
    from penstock.domain.jobs import Job, JobData
    from penstock.domain.ledger import LedgerEntry, Spent
    from penstock.domain.places import Running
    from penstock.domain.quotas import Limits, Quota, Usage
    from penstock.domain.runs import Run, RunFilter, RunState, Standing
    from penstock.domain.uploads import Upload, UploadState
    from penstock.ports.installation import InstallationRepository
    from penstock.ports.library import FolderRepository, LibraryRepository
    from penstock.ports.models import (
        ModelFileRepository,
        ModelLeaseRepository,
        ModelRepository,
        ModelUploadRepository,
    )
    from penstock.ports.storage import StorageRepository
    from penstock.ports.webhooks import DeliveryRepository, EndpointRepository


Position = tuple["datetime", str]
"""A place in a listing by (created_at, id), newest first, that goes on below it; or in a sweep by (when it is due, id),
that goes on above it."""


class AccountRepository(Protocol):
    """Accounts and keys."""

    def add(self, account: Account) -> None:
        """Raises `NameTaken`."""
        ...

    def by_name(self, name: str) -> Account:
        """Raises `AccountNotFound`."""
        ...

    def get(self, account_id: AccountId) -> Account:
        """Raises `AccountNotFound`."""
        ...

    def all(self) -> Sequence[Account]:
        """Every account, by name."""
        ...

    def add_key(self, key: ApiKey) -> None:
        """Keep a key."""
        ...

    def keys_by_lookup(self, lookup: str) -> Sequence[ApiKey]:
        """Keys whose digest begins with `lookup` (`secret_lookup`); the caller compares the whole (S20)."""
        ...

    def keys(self, account_id: AccountId | None) -> Sequence[ApiKey]:
        """All keys of an account, or of everybody, oldest first."""
        ...

    def revoke_key(self, key_id: KeyId, *, now: datetime) -> None:
        """Idempotent. Raises `KeyNotFound`."""
        ...

    def touch_key(self, key_id: KeyId, *, now: datetime) -> None:
        """Record a use."""
        ...


class UploadRepository(Protocol):
    """Uploads."""

    def add(self, upload: Upload) -> None:
        """Keep a new upload."""
        ...

    def get(self, account_id: AccountId, upload_id: UploadId) -> Upload:
        """Raises `UploadNotFound`."""
        ...

    def reserve(self, upload: Upload, size: int) -> None:
        """Set `size` bytes of the account's quota aside for a pending upload, in place of what was.

        The transaction raises `QuotaExceeded` when they are not there.
        """
        ...

    def by_media_key(self, media_key: MediaKey) -> Upload:
        """By the public handle, in whatever account. Raises `UploadNotFound`."""
        ...

    def replace(self, upload: Upload, *, was: UploadState) -> bool:
        """Write the upload if its row's state is still `was`; False (and nothing written) otherwise."""
        ...

    def page(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[Upload]:
        """Newest first."""
        ...

    def overdue(self, *, now: datetime, after: Position | None = None, limit: int) -> Sequence[Upload]:
        """Pending uploads whose URL has expired, by (when, id)."""
        ...

    def unswept(self, *, now: datetime, after: Position | None = None, limit: int) -> Sequence[Upload]:
        """Uploads that are no longer pending, whose URL has expired and whose staging object was not yet removed."""
        ...

    def begun(self, upload_ids: Iterable[UploadId]) -> frozenset[str]:
        """The store's ids of the uploads in parts that belong to those of these uploads that are pending."""
        ...

    def mark_swept(self, upload_ids: Iterable[UploadId]) -> None:
        """Record that the staging objects are gone."""
        ...


class AssetRepository(Protocol):
    """Assets, and the leases that runs hold on them."""

    def add(self, asset: Asset) -> None:
        """Keep a new asset."""
        ...

    def get(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Also expired ones; the caller decides with `is_readable`. Raises `AssetNotFound`, also of deleted ones."""
        ...

    def held(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Also a deleted one, which can be restored, until its bytes are on their way out. Raises `AssetNotFound`."""
        ...

    def by_media_key(self, media_key: MediaKey) -> Asset:
        """By the public handle, in whatever account. Raises `AssetNotFound`."""
        ...

    def of_anyone(self, asset_id: AssetId) -> Asset:
        """In whatever account, for whoever shows that they may read it. Raises `AssetNotFound`."""
        ...

    def holding(self, account_id: AccountId, sha256: str, *, now: datetime) -> Asset | None:
        """A readable asset of this account with those bytes. Its bytes stay until the transaction ends."""
        ...

    def replace(self, asset: Asset) -> None:
        """Write the changed asset."""
        ...

    def lease(self, run_id: RunId, asset_ids: Iterable[AssetId]) -> None:
        """Keep these assets readable until the run's leases are released (P8). Idempotent."""
        ...

    def release(self, run_id: RunId) -> None:
        """End a run's leases."""
        ...

    def leased_by(self, run_id: RunId) -> Sequence[Asset]:
        """The assets a run holds leases on, of whatever account (a public URL may name another's)."""
        ...

    def is_leased(self, asset_id: AssetId) -> bool:
        """Whether any run holds a lease."""
        ...


class AssetSweepRepository(Protocol):
    """What sweeping needs of assets, and what is remembered of those that are over.

    An asset that is over is purged in three steps: `purge` marks it, so that nothing leads to its bytes any more; its
    objects are removed; `remember` or `remove` records that. `unsettled` finds those that got stuck in between.
    """

    def due(self, *, now: datetime, after: Position | None, limit: int) -> Sequence[Asset]:
        """Assets that are expired or to be purged by now, without a lease and not yet purged, by (when, id)."""
        ...

    def purge(self, *, due: datetime, now: datetime, limit: int) -> Sequence[Asset]:
        """Mark up to `limit` assets that are `due` as purged `now`: those that nobody else is just changing.

        A lease that was committed before, or is committed at the same time, keeps its asset (P8).
        """
        ...

    def unsettled(self, *, limit: int) -> Sequence[Asset]:
        """Purged assets of whose objects it is not recorded that they are gone."""
        ...

    def unnamed(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of the keys that no asset that is not purged names, as its object or its thumbnail."""
        ...

    def remember(self, until: Mapping[AssetId, datetime]) -> None:
        """Record that the bytes of these assets are gone; their rows stay until then, as tombstones."""
        ...

    def last_sharers(self, keys: Iterable[str], *, due: datetime) -> Mapping[str, AssetId]:
        """Of the keys that only assets name that are `due`: the last of them to go, by (when, id)."""
        ...

    def forgettable(self, *, now: datetime, after: Position | None, limit: int) -> Sequence[tuple[datetime, Asset]]:
        """Tombstones whose time is over, and since when, by (when, id)."""
        ...

    def known(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """An asset in whatever state, as long as it is remembered. Raises `AssetNotFound`."""
        ...

    def known_by_media_key(self, media_key: MediaKey) -> Asset:
        """The same by the public handle, in whatever account. Raises `AssetNotFound`."""
        ...

    def remove(self, asset_ids: Iterable[AssetId]) -> None:
        """Forget assets whose bytes are gone."""
        ...


class RunRepository(Protocol):
    """Runs."""

    def add(self, run: Run) -> None:
        """Keep a new run."""
        ...

    def get(self, account_id: AccountId, run_id: RunId) -> Run:
        """Raises `RunNotFound`. A run that its owner removed is found until it is swept: it may still go on."""
        ...

    def replace(self, run: Run, *, was: RunState) -> bool:
        """Write the run if its row's state is still `was`; False (and nothing written) otherwise.

        Its inputs, its progress and when it was removed are left as they are.
        """
        ...

    def clear(self, run: Run) -> None:
        """Write what `domain.runs.without_payloads` and `deleted` change."""
        ...

    def note_progress(self, run_id: RunId, fraction: float | None) -> None:
        """Write how far a run is, 0.0 to 1.0; None: nobody has said it."""
        ...

    def page(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[Run]:
        """Newest first, without those that their owner removed."""
        ...

    def counted(self, account_id: AccountId, *, since: datetime) -> Mapping[str, int]:
        """How many runs were added since a time, by `model`; those that their owner removed count."""
        ...

    def history(self, account_id: AccountId, wanted: RunFilter, *, skip: int, limit: int) -> Sequence[Run]:
        """Those that fit among the `HISTORY` newest that were not removed: newest first, the first `skip` left out."""
        ...

    def standings(self, account_id: AccountId, *, newest: int, beside: Collection[RunId]) -> Sequence[Standing]:
        """Where the `newest` so many runs stand and those `beside`, cheaply; newest first, without removed ones."""
        ...

    def queued_before(self, run: Run) -> int:
        """How many queued runs, of all accounts, were created before this one: its place in the queue."""
        ...

    def cancel_requested(self, run_id: RunId) -> bool:
        """The wish to cancel, cheaply; True for a run that is gone."""
        ...


class RunQueueRepository(Protocol):
    """Runs that wait, and those that go on."""

    def running_beside(self, run: Run, *, lock: bool) -> Running:
        """How many other runs are going on. With `lock`, nobody else counts so until our transaction ends."""
        ...

    def next_waiting(self, run: Run, *, limit: int) -> Sequence[RunId]:
        """Queued runs that may have waited for this one's place: of its account the oldest, of others one of each.

        Of other accounts only those of the same model.
        """
        ...

    def overdue(self, *, now: datetime, limit: int) -> Sequence[Run]:
        """Runs that have not ended and whose `deadline_at` has come."""
        ...

    def asked_since(
        self, account_id: AccountId, runner: str, runner_model: str, *, since: datetime, limit: int
    ) -> Sequence[datetime]:
        """When an account asked for runs of a model, removed ones included; the newest of them, up to `limit`.

        Nobody else counts so until our transaction, one that writes, ends.
        """
        ...


class LedgerRepository(Protocol):
    """Money, one account at a time."""

    def last(self, account_id: AccountId, *, lock: bool = False) -> LedgerEntry | None:
        """The newest entry. With `lock`, no other transaction can add to this account until ours ends."""
        ...

    def add(self, entry: LedgerEntry) -> None:
        """Append. Raises `LedgerConflictError` when (account, number) or (run, kind) exists."""
        ...

    def page(self, account_id: AccountId, *, below: int | None, limit: int) -> Sequence[LedgerEntry]:
        """Newest first, by number."""
        ...

    def spent(self, account_id: AccountId, *, since: datetime, before: datetime) -> Sequence[Spent]:
        """What runs took and gave back, by UTC day and model, in that order; sums of nothing are left out."""
        ...

    def ended(self, run_id: RunId) -> bool:
        """Whether the run's hold was settled or refunded."""
        ...


class LedgerConflictError(Exception):
    """Such an entry exists: a race that was lost for want of `lock`, or a step that was already done."""


class QuotaRepository(Protocol):
    """What accounts take and may take. The other repositories keep the usage; nobody else has to think of it.

    A pending upload counts as open, with its `reserved` bytes; an asset counts from `add` until it has a `purged_at`
    or is removed; bytes that several assets share count once, thumbnails never. A model file counts with the bytes of
    its weights, and is none of the files that a limit counts.
    """

    def get(self, account_id: AccountId) -> Quota:
        """As it stood before this transaction's own changes. Raises `AccountNotFound`."""
        ...

    def set_limits(self, account_id: AccountId, own: Limits) -> None:
        """Replace the account's own limits; None: the operator's default counts."""
        ...

    def open_model_uploads(self, account_id: AccountId, *, most: int) -> int:
        """How many have not ended, up to `most`. Others who ask for that account wait until this transaction ends.

        To be asked last, so that no two transactions wait for each other; exact then, with what this one has added.
        """
        ...

    def recount(self, account_id: AccountId) -> tuple[Usage, Usage]:
        """Count the usage anew from what is there, and keep that; before and after. Raises `AccountNotFound`."""
        ...


class EventRepository(Protocol):
    """Events, numbered per subject."""

    def add(self, account_id: AccountId, subject: str, kind: EventKind, data: EventData, *, now: datetime) -> Event:
        """Append with the subject's next number."""
        ...

    def after(self, account_id: AccountId, subject: str, number: int, *, limit: int) -> Sequence[Event]:
        """Events of a subject above `number`, ascending."""
        ...

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget all events of up to `limit` subjects whose last one came before that moment; how many subjects."""
        ...

    def last_above(self, known: Mapping[str, int]) -> Mapping[str, int]:
        """Of many subjects, whoever's they are, those with events above the number given, and their last number."""
        ...


class IdempotencyRepository(Protocol):
    """Which request an idempotency key stood for. Written in the transaction of the effect, so it cannot lie."""

    def find(self, account_id: AccountId, verb: str, key: str) -> tuple[str, str] | None:
        """(fingerprint of the request, id of what it made), or None."""
        ...

    def add(self, account_id: AccountId, verb: str, key: str, *, fingerprint: str, subject: str, now: datetime) -> None:
        """Fails with `IdempotencyRaceError` when a concurrent request with the same key won."""
        ...

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget up to `limit` keys that were used before that moment; how many."""
        ...


class IdempotencyRaceError(Exception):
    """A concurrent request with the same key committed first; look it up again."""


class JobRepository(Protocol):
    """Putting jobs in; they start only when this transaction has committed."""

    def enqueue(  # noqa: PLR0913 - the columns of a job
        self,
        kind: str,
        payload: JobData,
        *,
        job_id: JobId,
        now: datetime,
        run_at: datetime | None = None,
        dedupe_key: str | None = None,
        account_id: AccountId | None = None,
    ) -> None:
        """Add a job, unless an unfinished one of this kind has the same `dedupe_key`."""
        ...

    def wake(self, kind: str, dedupe_keys: Iterable[str], *, now: datetime) -> None:
        """Let those of these jobs that rest come due at once; one that somebody is changing just now is left alone."""
        ...


class FencedJob(Protocol):
    """A worker's own writes about its job, inside the transaction of their effect. All raise `LeaseLostError`."""

    def checkpoint(self, job: Job, step: str, state: JobData) -> Job:
        """Record that a step is done and what it found; returns the job as it now stands."""
        ...

    def finish(self, job: Job) -> None:
        """The job is done."""
        ...

    def retry(self, job: Job, *, run_at: datetime, error: str) -> None:
        """Failed; try again later from the last checkpoint."""
        ...

    def postpone(self, job: Job, *, run_at: datetime, error: str) -> None:
        """Something behind the job does not answer: like `retry`, but no failure of the job's own."""
        ...

    def bury(self, job: Job, *, error: str) -> None:
        """Failed for good; parked for an operator."""
        ...


class LeaseLostError(Exception):
    """Another worker has taken the job over: whatever this one was about to write must not happen (fencing)."""


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
