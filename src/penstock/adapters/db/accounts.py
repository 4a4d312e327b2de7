"""Accounts and API keys as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, update

from penstock.adapters.db.quotas import open_quota
from penstock.adapters.db.rows import Rows, insert_missing
from penstock.adapters.db.tables import accounts, api_keys
from penstock.domain.accounts import Account, ApiKey
from penstock.domain.errors import AccountNotFound, KeyNotFound, NameTaken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from penstock.domain.ids import AccountId, KeyId

_ACCOUNTS = Rows(Account, accounts)
_KEYS = Rows(ApiKey, api_keys)
_AFTER_HEX = "g"

_ADD = insert_missing(accounts)
_BY_ID = _ACCOUNTS.select().where(accounts.c.id == bindparam("id"))
_BY_NAME = _ACCOUNTS.select().where(accounts.c.name == bindparam("name"))
_ALL = _ACCOUNTS.select().order_by(accounts.c.name)
_ADD_KEY = insert(api_keys)
_KEYS_BY_LOOKUP = _KEYS.select().where(api_keys.c.digest >= bindparam("low"), api_keys.c.digest < bindparam("high"))
_EVERY_KEY = _KEYS.select().order_by(api_keys.c.created_at, api_keys.c.id)
_KEYS_OF = _EVERY_KEY.where(api_keys.c.account_id == bindparam("account_id"))
_KEY_EXISTS = _KEYS.select().where(api_keys.c.id == bindparam("id"))
_REVOKE = update(api_keys).where(api_keys.c.id == bindparam("key_id"), api_keys.c.revoked_at.is_(None))
_TOUCH = update(api_keys).where(api_keys.c.id == bindparam("key_id"))


class SqlAccounts:
    """Implements `AccountRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, account: Account) -> None:
        """Raises `NameTaken`."""
        if self._connection.execute(_ADD, _ACCOUNTS.values(account)).first() is None:
            raise NameTaken(account.name)
        open_quota(self._connection, account.id)

    def by_name(self, name: str) -> Account:
        """Raises `AccountNotFound`."""
        account = _ACCOUNTS.one(self._connection, _BY_NAME, {"name": name})
        if account is None:
            raise AccountNotFound(name)
        return account

    def get(self, account_id: AccountId) -> Account:
        """Raises `AccountNotFound`."""
        account = _ACCOUNTS.one(self._connection, _BY_ID, {"id": account_id})
        if account is None:
            raise AccountNotFound(account_id)
        return account

    def all(self) -> Sequence[Account]:
        """Every account, by name."""
        return _ACCOUNTS.all(self._connection, _ALL, {})

    def add_key(self, key: ApiKey) -> None:
        """Keep a key."""
        self._connection.execute(_ADD_KEY, _KEYS.values(key))

    def keys_by_lookup(self, lookup: str) -> Sequence[ApiKey]:
        """Keys whose digest (hex) begins with `lookup`: one range of the digest's index."""
        return _KEYS.all(self._connection, _KEYS_BY_LOOKUP, {"low": lookup, "high": lookup + _AFTER_HEX})

    def keys(self, account_id: AccountId | None) -> Sequence[ApiKey]:
        """All keys of an account, or of everybody, oldest first."""
        if account_id is None:
            return _KEYS.all(self._connection, _EVERY_KEY, {})
        return _KEYS.all(self._connection, _KEYS_OF, {"account_id": account_id})

    def revoke_key(self, key_id: KeyId, *, now: datetime) -> None:
        """The first revocation's time stays. Raises `KeyNotFound`."""
        if _KEYS.one(self._connection, _KEY_EXISTS, {"id": key_id}) is None:
            raise KeyNotFound(key_id)
        self._connection.execute(_REVOKE, {"key_id": key_id, "revoked_at": now})

    def touch_key(self, key_id: KeyId, *, now: datetime) -> None:
        """Record a use."""
        self._connection.execute(_TOUCH, {"key_id": key_id, "last_used_at": now})
