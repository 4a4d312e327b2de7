"""Quotas of accounts: show them, set them, count anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.administration import AccountName, open_administration, print_table
from penstock.cli.options import DataOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.app import Quota, Usage

_UNITS = {"": 1, "B": 1} | {
    prefix + unit: base**power
    for power, prefix in enumerate("KMGTP", start=1)
    for unit, base in (("B", 1000), ("iB", 1024))
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)")
_NO_LIMIT = "none"


def _count(text: str) -> int:
    from penstock.app import NO_LIMIT

    if text.lower() == _NO_LIMIT:
        return NO_LIMIT
    if not text.isdecimal() or int(text) > NO_LIMIT:
        raise typer.BadParameter(f"{text!r} is no number, and not `{_NO_LIMIT}`")
    return int(text)


def _size(text: str) -> int:
    from decimal import Decimal

    from penstock.app import NO_LIMIT

    if text.lower() == _NO_LIMIT:
        return NO_LIMIT
    units = {unit.lower(): factor for unit, factor in _UNITS.items()}
    found = _SIZE.fullmatch(text.strip())
    if found is None or found[2].lower() not in units:
        raise typer.BadParameter(f"{text!r} is no size such as 500MB or 10GiB, and not `{_NO_LIMIT}`")
    size = int(Decimal(found[1]) * units[found[2].lower()])
    if size > NO_LIMIT:
        raise typer.BadParameter(f"{text!r} is more than can be counted")
    return size


def quota(
    name: AccountName,
    max_bytes: Annotated[
        int | None,
        typer.Option("--bytes", parser=_size, metavar="SIZE", help="Bytes it may keep: 500MB, 10GiB; `none`: any."),
    ] = None,
    max_files: Annotated[
        int | None, typer.Option("--files", parser=_count, metavar="N", help="Files it may keep; `none`: any number.")
    ] = None,
    max_open_uploads: Annotated[
        int | None,
        typer.Option("--open-uploads", parser=_count, metavar="N", help="Uploads open at a time; `none`: any number."),
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Forget the account's own limits first: the operator's settings count.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Show what an account keeps and may keep; with options, set its limits."""
    from penstock.app import Limits

    wanted = Limits(bytes=max_bytes, files=max_files, open_uploads=max_open_uploads)
    with open_administration(data) as administration:
        if default:
            administration.reset_limits(name)
        shown = administration.quota(name) if wanted == Limits() else administration.set_limits(name, wanted)
    print_table(("WHAT", "TAKEN", "RESERVED", "LIMIT", "SET BY"), _rows(shown))


def recount(data: DataOption = None) -> None:
    """Count what every account keeps anew, after a backup was restored, say. The server may be running."""
    with open_administration(data) as administration:
        counted = administration.recount()
    print_table(
        ("ACCOUNT", "BYTES", "FILES", "RESERVED", "OPEN UPLOADS", ""),
        [(name, *_counts(after), "" if before == after else "corrected") for name, before, after in counted],
    )


def _rows(shown: Quota) -> Sequence[Sequence[str]]:
    usage, limits, own = shown.usage, shown.limits.told(), shown.own
    return [
        ("bytes", f"{usage.bytes}", f"{usage.reserved}", _limit(limits.bytes), _whose(own.bytes)),
        ("files", f"{usage.files}", f"{usage.open_uploads}", _limit(limits.files), _whose(own.files)),
        ("open uploads", f"{usage.open_uploads}", "-", _limit(limits.open_uploads), _whose(own.open_uploads)),
    ]


def _counts(usage: Usage) -> tuple[str, str, str, str]:
    return str(usage.bytes), str(usage.files), str(usage.reserved), str(usage.open_uploads)


def _limit(limit: int | None) -> str:
    return _NO_LIMIT if limit is None else str(limit)


def _whose(own: int | None) -> str:
    return "default" if own is None else "account"
