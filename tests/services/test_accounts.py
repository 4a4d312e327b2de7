"""Accounts: keys that admit, keys that no longer do, and money that stays exact when many add to it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from penstock.domain.accounts import ALL_SCOPES, Scope, secret_digest
from penstock.domain.errors import (
    AccountNotFound,
    InsufficientCredits,
    InvalidField,
    KeyNotFound,
    NameTaken,
    ScopeMissing,
    StorageFull,
    Unauthenticated,
)
from penstock.domain.ids import AccountId, format_prefixed
from penstock.services.accounts import Accounts
from penstock.services.runs import NewRun
from tests.support.core import HOUR, at_once
from tests.support.records import uuid_text

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from penstock.ports.database import Database, Transaction
    from tests.support.core import Core


class ReadOnly:
    """A database whose disk is full."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self) -> AbstractContextManager[Transaction]:
        raise StorageFull("there is no room left for the database")

    def read(self) -> AbstractContextManager[Transaction]:
        return self._database.read()

    def ping(self) -> None:
        raise StorageFull("there is no room left for the database")


# --- accounts and money


def test_an_account_begins_with_its_credits(core: Core) -> None:
    account = core.accounts.create_account("acme", Decimal("2.5"))

    assert core.accounts.account(account.id) == (account, Decimal("2.5"))
    assert core.accounts.accounts() == [(account, Decimal("2.5"))]
    assert [(entry.kind.value, entry.amount, entry.number) for entry in core.ledger(account.id)] == [
        ("credit", Decimal("2.5"), 1)
    ]


def test_an_account_may_begin_with_nothing(core: Core) -> None:
    account = core.accounts.create_account("acme", Decimal(0))

    assert core.accounts.account(account.id) == (account, Decimal(0))
    assert core.ledger(account.id) == []


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "1e-10", "1e10"])
def test_an_amount_that_the_ledger_cannot_keep_is_refused_and_leaves_nothing(core: Core, amount: str) -> None:
    core.open_account("zenith", credits_usd="1")

    with pytest.raises(InvalidField):
        core.accounts.create_account("acme", Decimal(amount))
    with pytest.raises(InvalidField):
        core.accounts.credit_account("zenith", Decimal(amount))

    assert [(account.name, balance) for account, balance in core.accounts.accounts()] == [("zenith", Decimal(1))]


def test_only_an_account_that_never_had_money_is_held_to_have_none(core: Core) -> None:
    empty, spent = core.open_account("empty", credits_usd="0"), core.open_account("spent", credits_usd="1")

    with pytest.raises(InsufficientCredits):
        core.accounts.require_money_ever(empty)
    core.accounts.require_money_ever(spent)
    core.accounts.credit_account("empty", Decimal(1))
    core.accounts.require_money_ever(empty)


def test_what_runs_took_is_told_from_midnight_to_midnight(core: Core) -> None:
    acme = core.open_account("acme", credits_usd="9")
    core.runs.submit(acme, NewRun(dialect="native", model="acme/model", inputs={"text": "a"}))
    today, day = core.accounts.today(), timedelta(days=1)

    told = core.accounts.spent(acme, since=today, before=today + day)

    assert [(one.day, one.model) for one in told] == [(today, "acme/model")]
    assert sum(one.amount for one in told) == 9 - core.balance(acme) > 0
    assert core.accounts.spent(acme, since=today - day, before=today) == []
    assert core.runs.counted(acme, within=day) == {"acme/model": 1}


def test_nothing_cannot_be_added(core: Core) -> None:
    core.open_account("acme", credits_usd="1")

    with pytest.raises(InvalidField):
        core.accounts.credit_account("acme", Decimal(0))


def test_a_taken_name_is_refused_without_touching_its_owner(core: Core) -> None:
    core.open_account("acme", credits_usd="1")

    with pytest.raises(NameTaken):
        core.accounts.create_account("acme", Decimal(50))

    assert [balance for _, balance in core.accounts.accounts()] == [Decimal(1)]


def test_credits_add_up_when_many_are_added_at_once(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account(credits_usd="1")

    balances = at_once(20, lambda: core.accounts.credit_account("acme", Decimal("0.1")))

    assert {balance for balance in balances if isinstance(balance, Decimal)} == {Decimal(n) / 10 for n in range(11, 31)}
    assert core.balance(acme) == Decimal(3)
    assert [entry.number for entry in core.ledger(acme)] == list(range(1, 22))


def test_what_is_unknown_is_not_found(core: Core) -> None:
    for act in (
        lambda: core.accounts.credit_account("acme", Decimal(1)),
        lambda: core.accounts.create_key("acme", ()),
        lambda: core.accounts.keys("acme"),
        lambda: core.accounts.account(AccountId(uuid_text(7))),
    ):
        with pytest.raises(AccountNotFound):
            act()


def test_the_ledger_is_paged_newest_first(core: Core) -> None:
    acme = core.open_account(credits_usd="1")
    for _ in range(4):
        core.accounts.credit_account("acme", Decimal(1))

    first = core.accounts.ledger_page(acme, below=None, limit=3)
    second = core.accounts.ledger_page(acme, below=int(first.next_cursor or 0), limit=3)

    assert [entry.number for entry in first.items] == [5, 4, 3]
    assert [entry.number for entry in second.items] == [2, 1]
    assert second.next_cursor is None


# --- keys


def test_a_key_is_kept_as_its_digest_alone(core: Core) -> None:
    acme = core.open_account()

    key, secret = core.accounts.create_key("acme", ())

    assert (key.account_id, key.digest, key.scopes) == (acme, secret_digest(secret), ALL_SCOPES)
    assert core.accounts.keys("acme") == [("acme", key)]
    assert secret not in repr(core.accounts.keys(None))


def test_a_secret_names_its_account(core: Core) -> None:
    acme = core.open_account("acme")
    core.open_account("zenith")
    core.accounts.create_key("zenith", ())
    key, secret = core.accounts.create_key("acme", ("files:read",))

    known = core.accounts.authenticate(secret)

    assert (known.account_id, known.key.id) == (acme, key.id)
    known.require(Scope.FILES_READ)
    with pytest.raises(ScopeMissing):
        known.require(Scope.FILES_WRITE)


@pytest.mark.parametrize("secret", [None, "", "sk_", "x" * 5000, "sk_\0", "sk_é"])
def test_a_secret_that_is_none_of_ours_admits_nobody(core: Core, secret: str | None) -> None:
    core.open_account()
    core.accounts.create_key("acme", ())

    with pytest.raises(Unauthenticated):
        core.accounts.authenticate(secret)

    assert core.accounts.recall(secret) is None


def test_an_imported_secret_of_any_shape_admits_its_account(core: Core) -> None:
    acme = core.open_account()
    core.accounts.import_key("acme", (), "id:legacy secret")

    assert core.accounts.authenticate("id:legacy secret").account_id == acme
    with pytest.raises(Unauthenticated):
        core.accounts.authenticate("id:legacy secret ")


def test_a_secret_can_be_imported_once(core: Core) -> None:
    core.open_account("acme")
    core.open_account("zenith")
    core.accounts.import_key("acme", (), "legacy secret")

    with pytest.raises(InvalidField) as caught:
        core.accounts.import_key("zenith", (), "legacy secret")

    assert "legacy secret" not in caught.value.message
    assert len(core.accounts.keys(None)) == 1


def test_an_empty_secret_cannot_be_imported(core: Core) -> None:
    core.open_account()

    with pytest.raises(InvalidField):
        core.accounts.import_key("acme", (), "")


@pytest.mark.parametrize("spelling", [str, lambda key_id: format_prefixed("key", key_id)])
def test_a_revoked_key_admits_nobody_and_can_be_revoked_again(core: Core, spelling: type[str]) -> None:
    core.open_account()
    key, secret = core.accounts.create_key("acme", ())
    other = core.accounts.create_key("acme", ())[1]

    core.accounts.revoke_key(spelling(key.id))
    revoked_at = core.clock.now()
    core.clock.advance(HOUR)
    core.accounts.revoke_key(spelling(key.id))

    with pytest.raises(Unauthenticated):
        core.accounts.authenticate(secret)
    assert core.accounts.authenticate(other).key.revoked_at is None
    assert {kept.revoked_at for _, kept in core.accounts.keys("acme")} == {revoked_at, None}


@pytest.mark.parametrize("text", ["", "key_", "key_x", uuid_text(7), "\0"])
def test_an_unknown_key_cannot_be_revoked(core: Core, text: str) -> None:
    with pytest.raises(KeyNotFound):
        core.accounts.revoke_key(text)


def test_the_last_use_is_recorded_once_a_minute(core: Core) -> None:
    core.open_account()
    secret = core.accounts.create_key("acme", ())[1]
    begun = core.clock.now()

    seen = []
    for seconds in (0, 59, 1):
        core.clock.advance(timedelta(seconds=seconds))
        core.accounts.authenticate(secret)
        seen.append(core.accounts.keys("acme")[0][1].last_used_at)

    assert seen == [begun, begun, begun + timedelta(minutes=1)]


def test_a_key_goes_on_admitting_when_its_use_cannot_be_recorded(core: Core) -> None:
    acme = core.open_account()
    secret = core.accounts.create_key("acme", ())[1]
    accounts = Accounts(ReadOnly(core.database), core.clock, core.entropy)

    assert accounts.authenticate(secret).account_id == acme


def test_a_key_that_was_just_checked_is_recalled_without_a_look(core: Core) -> None:
    core.open_account()
    secret = core.accounts.create_key("acme", ())[1]
    assert core.accounts.recall(secret) is None

    known = core.accounts.authenticate(secret)

    assert core.accounts.recall(secret) == known
    assert core.accounts.recall(secret + "x") is None
    assert Accounts(core.database, core.clock, core.entropy).recall(secret) is None
