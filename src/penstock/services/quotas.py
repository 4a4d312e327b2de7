"""Quotas as operators set them and owners see them. The counting happens in the transactions that change usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.quotas import Limits, Quota, Usage, check_limits

if TYPE_CHECKING:
    from penstock.domain.ids import AccountId
    from penstock.ports.database import Database


class Quotas:
    """Use cases on quotas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, account_id: AccountId) -> Quota:
        """What an account takes and may take. Raises `AccountNotFound`."""
        with self._database.read() as tx:
            return tx.quotas.get(account_id)

    def by_name(self, name: str) -> Quota:
        """The same, for the operator. Raises `AccountNotFound`."""
        with self._database.read() as tx:
            return tx.quotas.get(tx.accounts.by_name(name).id)

    def set_limits(self, name: str, limits: Limits) -> Quota:
        """Give an account limits of its own; those that say nothing stay. Raises `AccountNotFound`, `InvalidField`."""
        check_limits(limits)
        with self._database.write() as tx:
            account_id = tx.accounts.by_name(name).id
            own = limits.over(tx.quotas.get(account_id).own)
            tx.quotas.set_limits(account_id, own)
            return tx.quotas.get(account_id)

    def reset_limits(self, name: str) -> Quota:
        """Let the operator's defaults count again. Raises `AccountNotFound`."""
        with self._database.write() as tx:
            account_id = tx.accounts.by_name(name).id
            tx.quotas.set_limits(account_id, Limits())
            return tx.quotas.get(account_id)

    def recount(self) -> list[tuple[str, Usage, Usage]]:
        """Count every account's usage anew, one transaction for each; their names, and the usage before and after."""
        with self._database.read() as tx:
            accounts = tx.accounts.all()
        counted: list[tuple[str, Usage, Usage]] = []
        for account in accounts:
            with self._database.write() as tx:
                counted.append((account.name, *tx.quotas.recount(account.id)))
        return counted
