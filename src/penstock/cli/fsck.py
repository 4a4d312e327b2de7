"""The check of the embedded store's files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.configuration import load_settings
from penstock.cli.failures import clear_failures
from penstock.cli.options import DataOption

if TYPE_CHECKING:
    from collections.abc import Callable

_GIGABYTE = 1e9
_CLEAR_LINE = "\r\x1b[K"


def fsck(
    data: DataOption = None,
    encryption_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Key of an encrypted store. [env: PENSTOCK_STORE_ENCRYPTION_KEY_FILE] [default: none]",
        ),
    ] = None,
    *,
    repair_index: Annotated[
        bool, typer.Option("--repair-index", help="Afterwards make the index of keys anew from the objects' files.")
    ] = False,
) -> None:
    """Check every object of the embedded store against its SHA-256. Stop the server first.

    Prints one line for each thing that is wrong and exits with status 1 if there is any. An encrypted store needs its
    key for that; without it, one line says how much was not checked. Nothing is changed, unless
    --repair-index asks for a new index; nothing else is ever removed.
    """
    from penstock import app

    settings = load_settings(data=data, store_encryption_key_file=encryption_key_file)
    findings = repaired = 0
    with clear_failures(app.PenstockError), app.check_store(settings, progress=_progress()) as (check, rebuild):
        for finding in check.findings():
            findings += 1
            repaired += repair_index and finding.kind == "index"
            _clear()
            print(f"{finding.kind}  {finding.path}  {_printable(finding.detail)}")
        _clear()
        encrypted = f" ({check.encrypted} encrypted)" if check.encrypted else ""
        print(f"{check.objects} objects{encrypted}, {check.bytes / _GIGABYTE:.3f} GB read, {findings} findings")
        if repair_index:
            print(f"index rebuilt: {rebuild()} objects")
    if findings > repaired:
        raise typer.Exit(1)


def _progress() -> Callable[[float], None]:
    if not sys.stderr.isatty():
        return lambda _share: None
    return lambda share: print(f"{_CLEAR_LINE}{share:.0%}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """A key may hold what would steer a terminal, or begin a new line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
