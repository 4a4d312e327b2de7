"""The keys of the embedded store's encryption."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.configuration import load_settings
from penstock.cli.failures import clear_failures
from penstock.cli.options import DataOption


def create_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
) -> None:
    """Write a new master key to a file that only you can read. Keep a copy of it elsewhere."""
    from penstock import app

    with clear_failures(app.PenstockError):
        app.create_store_key(file)
    print(f"{file}: a new key. Whoever loses it has lost what it encrypts.")


def rotate(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The file of the key that is in use.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The file of the key to use from now on.")],
    data: DataOption = None,
) -> None:
    """Put the embedded store's keys under another master key. Stop the server first.

    Only the file of keys is written, whatever is stored. What is stored later is encrypted under a key that the old
    master key never opened. Done again after a crash, it finishes what was begun.
    """
    from penstock import app

    settings = load_settings(data=data)
    with clear_failures(app.PenstockError):
        generation, rotated = app.rotate_store_keys(settings, old=old, new=new)
    words = "now opens" if rotated else "had been put in charge already, and opens"
    print(f"{new} {words} the store; its newest keys are generation {generation}")
