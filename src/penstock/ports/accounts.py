"""Accounts, their keys, their money and what they may take, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from penstock.domain.accounts import Account, ApiKey
    from penstock.domain.ids import AccountId, KeyId, RunId
    from penstock.domain.ledger import LedgerEntry, Spent
    from penstock.domain.quotas import Limits, Quota, Usage


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
