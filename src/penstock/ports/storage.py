"""What accounts pay for the models that they keep, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from penstock.domain.ids import AccountId
    from penstock.domain.storage_billing import StorageCharge


class StorageRepository(Protocol):
    """Charges for storage, of which an account has at most one for any day, ever."""

    def stored(self, account_id: AccountId) -> int:
        """Bytes that are billed: for each registered model of the account the size of what was uploaded."""
        ...

    def uncharged(self, day: date, *, after: AccountId | None, limit: int) -> Sequence[AccountId]:
        """Accounts with registered models and without a charge for that day, by id."""
        ...

    def is_charged(self, account_id: AccountId, day: date) -> bool:
        """Whether there is a charge; to be asked under the lock of the account's ledger."""
        ...

    def add(self, charge: StorageCharge) -> None:
        """Keep a charge. Fails when the account has one for that day."""
        ...

    def page(self, account_id: AccountId, *, below: date | None, limit: int) -> Sequence[StorageCharge]:
        """An account's charges, newest day first."""
        ...
