"""Accounts, keys and the schema. These commands work on the database itself, with the server running or not."""

from __future__ import annotations

from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.configuration import load_settings
from penstock.cli.failures import clear_failures
from penstock.cli.options import DataOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from penstock.app import Administration

_NEVER = "-"
_MOST_USD = 1_000_000_000
_DECIMALS = 9  # what the ledger keeps of a dollar


def _usd(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= _MOST_USD or amount != round(amount, _DECIMALS):
        raise typer.BadParameter(f"{text!r} is not an amount in USD, such as 100 or 2.50, of at most {_MOST_USD}")
    return amount


def _usd_above_zero(text: str) -> Decimal:
    amount = _usd(text)
    if not amount:
        raise typer.BadParameter("must be above 0")
    return amount


AccountName = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]


def create_account(
    name: AccountName,
    credits_usd: Annotated[
        Decimal, typer.Option("--credits", parser=_usd, metavar="USD", help="Balance to begin with.")
    ] = Decimal(100),
    data: DataOption = None,
) -> None:
    """Create an account."""
    with open_administration(data) as administration:
        account = administration.create_account(name, credits_usd)
        print(f"{account.name}: created with {_money(credits_usd)} USD")


def credit_account(
    name: AccountName,
    amount: Annotated[Decimal, typer.Argument(parser=_usd_above_zero, metavar="AMOUNT", help="USD to add.")],
    data: DataOption = None,
) -> None:
    """Add credits (USD) to an account."""
    with open_administration(data) as administration:
        balance = administration.credit_account(name, amount)
        print(f"{name}: {_money(balance)} USD")


def list_accounts(data: DataOption = None) -> None:
    """List accounts: their balances, and what they keep."""
    with open_administration(data) as administration:
        rows = [
            (account.name, _money(balance), str(usage.bytes), str(usage.files), _day(account.created_at))
            for account, balance in administration.accounts()
            for usage in (administration.quota(account.name).usage,)
        ]
    print_table(("ACCOUNT", "BALANCE USD", "BYTES", "FILES", "CREATED"), rows)


def list_storage(name: AccountName, data: DataOption = None) -> None:
    """List what an account paid for keeping models, newest day first: the last hundred days that were charged."""
    with open_administration(data) as administration:
        rows = [
            (charge.day.isoformat(), f"{charge.gigabytes} GB", str(charge.bytes), _money(charge.amount))
            for charge in administration.storage_charges(name)
        ]
    print_table(("DAY", "STORAGE", "BYTES", "USD"), rows)


def create_key(
    account: Annotated[str, typer.Option(metavar="NAME", help="The account that the key belongs to.")],
    scope: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="What the key may do; repeatable. Without: everything.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Create an API key and print it, this one time. It is kept nowhere."""
    with open_administration(data) as administration:
        _, secret = administration.create_key(account, tuple(scope or ()))
        print(secret)


def list_keys(
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Only this account's keys.")] = None,
    data: DataOption = None,
) -> None:
    """List API keys (never their secrets)."""
    with open_administration(data) as administration:
        rows = [
            (
                f"key_{key.id.replace('-', '')}",  # as the API writes it
                name,
                key.hint,
                ",".join(sorted(key.scopes)),
                _day(key.created_at),
                _day(key.last_used_at),
                _day(key.revoked_at),
            )
            for name, key in administration.keys(account)
        ]
    print_table(("KEY", "ACCOUNT", "BEGINS", "SCOPES", "CREATED", "LAST USED", "REVOKED"), rows)


def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id (`key_…`), as `keys list` shows it.")],
    data: DataOption = None,
) -> None:
    """Revoke an API key."""
    with open_administration(data) as administration:
        administration.revoke_key(key_id)
        print(f"{key_id}: revoked")


def migrate(data: DataOption = None) -> None:
    """Bring the database up to date."""
    from penstock import app

    settings = load_settings(data=data)
    with clear_failures(app.PenstockError):
        print(f"database at revision {app.migrate(settings)}")


@contextmanager
def open_administration(data: Path | None) -> Iterator[Administration]:
    """The operator's verbs, for one command; what they raise ends it with a sentence."""
    from penstock import app

    settings = load_settings(data=data)
    with clear_failures(app.PenstockError), app.administration(settings) as administration:
        yield administration


def _money(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _day(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d") if moment else _NEVER


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns under their titles, as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
