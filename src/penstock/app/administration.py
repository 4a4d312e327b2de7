"""What an operator does on the data directory or the database, with the server running or not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.app.parts import default_limits, open_core, open_sweeps
from penstock.domain.errors import DatabaseUnavailable
from penstock.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

    from penstock.domain.accounts import Account, ApiKey
    from penstock.domain.models import ModelSource
    from penstock.domain.quotas import Limits, Quota, Usage
    from penstock.domain.storage_billing import StorageCharge
    from penstock.domain.sweeps import Finding
    from penstock.services.accounts import Accounts
    from penstock.services.model_sources import ModelSources
    from penstock.services.orphans import Orphans
    from penstock.services.quotas import Quotas
    from penstock.services.storage_billing import StorageBilling
    from penstock.settings import Settings
    from penstock.workflows.sweeps import Sweep


def migrate(settings: Settings) -> str:
    """Bring the database's schema up to this version and return the version. Idempotent. Raises `PenstockError`."""
    from penstock.adapters.db.migrate import REVISIONS, SchemaNewerError
    from penstock.adapters.db.migrate import migrate as migrate_database

    settings.data.mkdir(parents=True, exist_ok=True)
    try:
        migrate_database(settings.sqlalchemy_url)
    except SchemaNewerError as error:
        raise DatabaseUnavailable(str(error)) from error
    return REVISIONS[-1]


class Administration:
    """What an operator does on the data directory or the database, with the server running or not."""

    def __init__(self, accounts: Accounts, quotas: Quotas, storage: StorageBilling, sources: ModelSources) -> None:
        self.create_account: Callable[[str, Decimal], Account] = accounts.create_account
        self.credit_account: Callable[[str, Decimal], Decimal] = accounts.credit_account
        self.accounts: Callable[[], list[tuple[Account, Decimal]]] = accounts.accounts
        self.create_key: Callable[[str, tuple[str, ...]], tuple[ApiKey, str]] = accounts.create_key
        self.keys: Callable[[str | None], list[tuple[str, ApiKey]]] = accounts.keys
        self.revoke_key: Callable[[str], None] = accounts.revoke_key
        self.quota: Callable[[str], Quota] = quotas.by_name
        self.set_limits: Callable[[str, Limits], Quota] = quotas.set_limits
        self.reset_limits: Callable[[str], Quota] = quotas.reset_limits
        self.storage_charges: Callable[[str], Sequence[StorageCharge]] = storage.latest
        self.create_source: Callable[[str, str], ModelSource] = sources.create_for
        self.sources: Callable[[str | None], Sequence[tuple[str, ModelSource]]] = sources.by_account
        self.recount: Callable[[], list[tuple[str, Usage, Usage]]] = quotas.recount


@contextmanager
def administration(settings: Settings) -> Iterator[Administration]:
    """The operator's verbs, on an up-to-date schema. Raises `PenstockError`s."""
    from penstock.adapters.db.database import SqlDatabase
    from penstock.services.accounts import Accounts
    from penstock.services.model_sources import ModelSources
    from penstock.services.quotas import Quotas
    from penstock.services.storage_billing import StorageBilling

    migrate(settings)
    database = SqlDatabase(settings.sqlalchemy_url, limits=default_limits(settings))
    try:
        clock = SystemClock()
        storage = StorageBilling(database, price=settings.storage_price_usd, clock=clock, log=Log("accounts", None))
        yield Administration(
            Accounts(database, clock, SystemEntropy()),
            Quotas(database),
            storage,
            ModelSources(database, clock=clock),
        )
    finally:
        database.close()


class Sweeping:
    """What a worker removes periodically, by name, for an operator to be told or to do now."""

    def __init__(self, sweeps: Sequence[Sweep], orphans: Orphans) -> None:
        self.sweeps = {sweep.name: sweep for sweep in sweeps}
        self._orphans = orphans

    @property
    def names(self) -> tuple[str, ...]:
        """Every sweep, in the order in which they are best done."""
        return tuple(self.sweeps)

    def plan(self, name: str) -> Iterator[Finding]:
        """What would be removed now. Changes nothing."""
        return self.sweeps[name].plan()

    def obstacle(self, name: str) -> str | None:
        """Why something that was found would not be removed. Changes nothing."""
        return self.sweeps[name].obstacle()

    def act(self, name: str, *, confirmed: bool) -> int:
        """Remove it; `confirmed`: also what is otherwise left for an operator to decide. Returns how many."""
        sweep, total = self.sweeps[name], 0
        while count := sweep.confirmed_act() if confirmed else sweep.act():
            total += count
        return total

    def adopt(self) -> str:
        """Mark the bucket as this database's. Returns the installation's id."""
        return self._orphans.adopt().id


@contextmanager
def sweeping(settings: Settings) -> Iterator[Sweeping]:
    """The sweeps, beside a running server or not; the object store must run. Raises `PenstockError`s."""
    if not settings.database_url and not (settings.data / "penstock.db").exists():
        msg = f"there is no installation in {settings.data.absolute()}; --data names its directory"
        raise DatabaseUnavailable(msg)
    migrate(settings)
    core = open_core(settings, Log("sweep", None))
    try:
        yield Sweeping(*open_sweeps(core))
    finally:
        core.close()
