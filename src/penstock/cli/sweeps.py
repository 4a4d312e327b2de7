"""What the server removes in the background, told or done at once."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.configuration import load_settings
from penstock.cli.failures import clear_failures
from penstock.cli.options import DataOption

if TYPE_CHECKING:
    from penstock.app import Sweeping

_NAMES = "overdue-uploads, staging, files, tombstones, multiparts, orphans"


def sweep(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help=f"{_NAMES}; none: all.")] = None,
    data: DataOption = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: a line of JSON for each thing.")] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Remove orphans however many they are. Look at them first.")
    ] = False,
    adopt_bucket: Annotated[
        bool,
        typer.Option("--adopt-bucket", help="Say that the bucket belongs to this database, whatever mark it bears."),
    ] = False,
) -> None:
    """Remove now what the server would remove in its time: expired and deleted files, uploads that never came, orphans.

    Works while the server runs; its object store must. Exits with status 1 when something was left that needs a
    decision: what it is stands in the output.
    """
    from penstock import app

    settings = load_settings(data=data)
    with clear_failures(app.PenstockError), app.sweeping(settings) as sweeping:
        chosen = _chosen(sweeping, names or [])
        if adopt_bucket:
            _adopt(sweeping, dry_run=dry_run)
        refused = [
            _tell(sweeping, name, as_json=as_json) if dry_run else _act(sweeping, name, confirm=confirm)
            for name in chosen
        ]
    if any(refused):
        raise typer.Exit(1)


def _chosen(sweeping: Sweeping, names: list[str]) -> list[str]:
    for name in names:
        if name not in sweeping.names:
            raise typer.BadParameter(f"{name!r} is none of {_NAMES}", param_hint="NAME")
    return [name for name in sweeping.names if not names or name in names]


def _adopt(sweeping: Sweeping, *, dry_run: bool) -> None:
    if dry_run:
        print("the bucket would be marked as this database's")
        return
    print(f"the bucket is marked as that of installation {sweeping.adopt()}")


def _tell(sweeping: Sweeping, name: str, *, as_json: bool) -> bool:
    """One line for each thing. Returns whether something stands in the way of removing them."""
    things = objects = size = 0
    for found in sweeping.plan(name):
        things += 1
        objects += len(found.keys)
        size += found.size
        since = f"{found.since:%Y-%m-%dT%H:%M:%SZ}"
        if as_json:
            told = {"sweep": name, "id": found.id, "keys": found.keys, "size_bytes": found.size}
            print(json.dumps({**told, "reason": found.reason, "since": since}))
            continue
        keys = [key for key in found.keys if key != found.id]
        print("  ".join([name, found.id, f"{found.size} bytes", f"{found.reason}, {since}", *keys]))
    obstacle = sweeping.obstacle(name)
    if not as_json:
        print(f"{name}: {things} to remove, with {objects} objects of {size} bytes")
    if obstacle is not None:
        print(f"{name}: nothing would be removed: {obstacle}", file=sys.stderr)
    return obstacle is not None


def _act(sweeping: Sweeping, name: str, *, confirm: bool) -> bool:
    total = sweeping.act(name, confirmed=confirm)
    print(f"{name}: {total} removed")
    obstacle = sweeping.obstacle(name)
    if obstacle is not None:
        print(f"{name}: nothing was removed: {obstacle}", file=sys.stderr)
    return obstacle is not None
