"""Accounts, their keys and their money, as the operator and the edge see them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from penstock.domain import ledger
from penstock.domain.accounts import (
    Account,
    ApiKey,
    check_account_name,
    key_admits,
    key_is,
    make_secret,
    parse_scopes,
    require_scope,
    secret_digest,
    secret_hint,
    secret_lookup,
)
from penstock.domain.errors import InsufficientCredits, InvalidField, KeyNotFound, Unauthenticated, Unavailable
from penstock.domain.ids import AccountId, KeyId, parse_prefixed
from penstock.services.identity import new_id
from penstock.services.paging import Page, check_limit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from decimal import Decimal

    from penstock.domain.accounts import Scope
    from penstock.domain.ledger import LedgerEntry, Spent
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database

_SECRET_BYTES = 32
_TOUCH_EVERY = timedelta(minutes=1)
_RECALL_SECONDS = 3.0
"""How long a process may go on believing a key: revocation takes effect within 5 s everywhere (S20)."""
_RECALL_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking: the account, through one of its keys."""

    account_id: AccountId
    key: ApiKey

    def require(self, scope: Scope) -> None:
        """Raises `ScopeMissing`."""
        require_scope(self.key, scope)


class Accounts:
    """Use cases on accounts."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._recent: dict[str, tuple[float, Principal]] = {}

    def create_account(self, name: str, credits: Decimal) -> Account:  # noqa: A002 - the field's word
        """A new account with a starting balance (USD, 0 or more). Raises `InvalidField`, `NameTaken`."""
        now = self._clock.now()
        account = Account(id=AccountId(new_id(self._entropy)), name=check_account_name(name), created_at=now)
        with self._database.write() as tx:
            tx.accounts.add(account)
            if credits != 0:
                tx.ledger.add(ledger.credit(None, credits, account_id=account.id, now=now))
        return account

    def credit_account(self, name: str, amount: Decimal) -> Decimal:
        """Add money (USD, above 0); returns the new balance. Raises `AccountNotFound`, `InvalidField`."""
        now = self._clock.now()
        with self._database.write() as tx:
            account = tx.accounts.by_name(name)
            entry = ledger.credit(tx.ledger.last(account.id, lock=True), amount, account_id=account.id, now=now)
            tx.ledger.add(entry)
        return entry.balance

    def accounts(self) -> list[tuple[Account, Decimal]]:
        """Every account with its balance."""
        with self._database.read() as tx:
            return [(account, _balance(tx.ledger.last(account.id))) for account in tx.accounts.all()]

    def account(self, account_id: AccountId) -> tuple[Account, Decimal]:
        """An account and its balance. Raises `AccountNotFound`."""
        with self._database.read() as tx:
            return tx.accounts.get(account_id), _balance(tx.ledger.last(account_id))

    def ledger_page(self, account_id: AccountId, *, below: int | None, limit: int) -> Page[LedgerEntry]:
        """Ledger entries, newest first; the cursor is the number to go on below."""
        check_limit(limit)
        with self._database.read() as tx:
            entries = tx.ledger.page(account_id, below=below, limit=limit + 1)
        shown = entries[:limit]
        return Page(items=shown, next_cursor=str(shown[-1].number) if len(entries) > limit else None)

    def require_money_ever(self, account_id: AccountId) -> None:
        """Raises `InsufficientCredits` for an account that never had any; one that has spent it all passes."""
        with self._database.read() as tx:
            if tx.ledger.last(account_id) is None:
                raise InsufficientCredits(needed=ledger.ZERO, balance=ledger.ZERO)

    def today(self) -> date:
        """The day that it is, UTC."""
        return self._clock.now().date()

    def spent(self, account_id: AccountId, *, since: date, before: date) -> Sequence[Spent]:
        """What runs took and gave back from the beginning of one UTC day to that of another, by day and model."""
        with self._database.read() as tx:
            return tx.ledger.spent(account_id, since=_midnight(since), before=_midnight(before))

    def create_key(self, account_name: str, scopes: tuple[str, ...]) -> tuple[ApiKey, str]:
        """A new key and its secret, which is shown this once. Raises `AccountNotFound`, `InvalidField`."""
        return self.import_key(account_name, scopes, make_secret(self._entropy.random_bytes(_SECRET_BYTES)))

    def import_key(self, account_name: str, scopes: tuple[str, ...], secret: str) -> tuple[ApiKey, str]:
        """Like `create_key` with a secret of the operator's own, of any shape, that is no key yet."""
        if not secret:
            raise InvalidField(("secret",), "must not be empty")
        now = self._clock.now()
        with self._database.write() as tx:
            account = tx.accounts.by_name(account_name)
            if any(key_is(key, secret) for key in tx.accounts.keys_by_lookup(secret_lookup(secret))):
                raise InvalidField(("secret",), "is in use")
            key = ApiKey(
                id=KeyId(new_id(self._entropy)),
                account_id=account.id,
                digest=secret_digest(secret),
                hint=secret_hint(secret),
                scopes=parse_scopes(scopes),
                created_at=now,
            )
            tx.accounts.add_key(key)
        return key, secret

    def keys(self, account_name: str | None) -> list[tuple[str, ApiKey]]:
        """Keys with their account's name, of one account or of all. Raises `AccountNotFound`."""
        with self._database.read() as tx:
            wanted = [tx.accounts.by_name(account_name)] if account_name else tx.accounts.all()
            return [(account.name, key) for account in wanted for key in tx.accounts.keys(account.id)]

    def revoke_key(self, key_id_text: str) -> None:
        """End a key for good; idempotent. Takes `key_<hex>` or the UUID itself. Raises `KeyNotFound`."""
        key_id = parse_prefixed("key", key_id_text) or key_id_text
        if not key_id:
            raise KeyNotFound(key_id_text)
        with self._database.write() as tx:
            tx.accounts.revoke_key(KeyId(key_id), now=self._clock.now())

    def authenticate(self, secret: str | None) -> Principal:
        """Who holds this secret. Raises `Unauthenticated`, alike for unknown, wrong, revoked and expired ones (S21)."""
        if not secret:
            raise Unauthenticated
        now = self._clock.now()
        with self._database.read() as tx:
            candidates: Sequence[ApiKey] = tx.accounts.keys_by_lookup(secret_lookup(secret))
        found = [key for key in candidates if key_admits(key, secret, now=now)]
        if not found:
            raise Unauthenticated
        key = found[0]
        known = Principal(account_id=key.account_id, key=key)
        self._remember(key.digest, known)
        if key.last_used_at is None or now - key.last_used_at >= _TOUCH_EVERY:
            # A full disk or a busy database must not lock everybody out: reading goes on (P10).
            with contextlib.suppress(Unavailable), self._database.write() as tx:
                tx.accounts.touch_key(key.id, now=now)
        return known

    def recall(self, secret: str | None) -> Principal | None:
        """Who held this secret when it was last checked, if that was within 3 s; no I/O, never blocks."""
        if not secret:
            return None
        checked_at, known = self._recent.get(secret_digest(secret), (0.0, None))
        return known if known is not None and time.monotonic() - checked_at < _RECALL_SECONDS else None

    def was_known(self, secret: str | None) -> bool:
        """Whether this secret was somebody's when this process last looked, however long ago; no I/O."""
        return bool(secret) and secret_digest(secret or "") in self._recent

    def _remember(self, digest: str, known: Principal) -> None:
        if len(self._recent) >= _RECALL_LIMIT:
            self._recent.clear()
        self._recent[digest] = (time.monotonic(), known)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _balance(entry: LedgerEntry | None) -> Decimal:
    return entry.balance if entry else ledger.ZERO
