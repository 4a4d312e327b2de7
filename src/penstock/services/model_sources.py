"""The sources of AIRs: whose they are. An operator names the account, everybody else is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.air import parse_source
from penstock.domain.errors import QuotaExceeded
from penstock.domain.models import ModelSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.ids import AccountId
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database

MAX_SOURCES = 50
"""Of one account: names are everybody's to choose from, and nobody gives one back."""


class ModelSources:
    """Use cases on sources. Once made, a source is its account's for good: AIRs stand for something then."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, account_id: AccountId, name: str) -> ModelSource:
        """Make a source the account's own; it may be already. Raises `InvalidField`, `NameTaken`, `QuotaExceeded`."""
        source = ModelSource(name=parse_source(name), account_id=account_id, created_at=self._clock.now())
        with self._database.write() as tx:
            known = {one.name: one for one in tx.models.sources(account_id)}
            if source.name in known:
                return known[source.name]
            if len(known) >= MAX_SOURCES:
                raise QuotaExceeded(what="model sources", limit=MAX_SOURCES, used=len(known), needed=1)
            tx.models.add_source(source)
        return source

    def of(self, account_id: AccountId) -> Sequence[ModelSource]:
        """The account's sources, by name."""
        with self._database.read() as tx:
            return tx.models.sources(account_id)

    def create_for(self, account_name: str, name: str) -> ModelSource:
        """The same for the account of that name. Raises `AccountNotFound` as well."""
        with self._database.read() as tx:
            account = tx.accounts.by_name(account_name)
        return self.create(account.id, name)

    def by_account(self, account_name: str | None) -> Sequence[tuple[str, ModelSource]]:
        """Sources with the names of their accounts: of one account, or of all. Raises `AccountNotFound`."""
        with self._database.read() as tx:
            accounts = tx.accounts.all() if account_name is None else [tx.accounts.by_name(account_name)]
            return [(account.name, source) for account in accounts for source in tx.models.sources(account.id)]
