"""`penstock sources`: who may register models under which names. Like accounts, on the database itself."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.administration import open_administration, print_table
from penstock.cli.options import DataOption


def create_source(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="2 to 32 letters, digits or `-`.")],
    account: Annotated[str, typer.Option(metavar="NAME", help="The account that it belongs to, for good.")],
    data: DataOption = None,
) -> None:
    """Let an account register models as SOURCE:number@version."""
    with open_administration(data) as administration:
        made = administration.create_source(account, source)
        print(f"{made.name}: belongs to {account}")


def list_sources(
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Only this account's sources.")] = None,
    data: DataOption = None,
) -> None:
    """List sources, and whose they are."""
    with open_administration(data) as administration:
        rows = [
            (source.name, name, f"{source.created_at:%Y-%m-%d}") for name, source in administration.sources(account)
        ]
    print_table(("SOURCE", "ACCOUNT", "CREATED"), rows)
