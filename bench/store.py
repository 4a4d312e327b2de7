"""The object store against nginx and whatever S3 servers are on PATH: paired rounds on one machine, medians, ratios."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import resource
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.limits import Limits
from bench.loads import QUICK, Loads, Sizes
from bench.peers import PEERS, NotInstalledError, ours
from bench.rows import LARGE, NAMES, Row, all_rows
from bench.servers import NotAvailableError
from bench.source import BLOCK_BYTES, Source
from bench.table import Sheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.servers import Server

_OURS = "ours"
_SPARE_BYTES = 8 * 10**9
_FILES = 16_384


def main(arguments: list[str]) -> None:
    """Measure and print."""
    options = _options(arguments)
    sizes = QUICK if options.quick else Sizes()
    _raise_file_limit()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_bounded(options.minutes))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=options.dir)))
        blocks = -(-max(sizes.large, sizes.total // sizes.lanes) // BLOCK_BYTES)
        source = stack.enter_context(contextlib.closing(Source(blocks * BLOCK_BYTES, scratch=scratch)))
        loads = Loads(source, sizes)
        rows = [
            row
            for row in all_rows(loads, Limits(source, scratch, settled=sizes.settled), sizes)
            if _wanted(row, options)
        ]
        servers = list(_start(options, scratch, stack))
        for server in servers:
            loads.warm_up(server)
        sheet = Sheet()
        try:
            _run(sheet, rows, servers, rounds=options.rounds, scratch=scratch)
        finally:  # what was measured before an end that came early is worth having
            print(_describe(options, scratch, servers))
            print()
            print(sheet.render([row.heading for row in rows], ours=_OURS), flush=True)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench store", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast")
    parser.add_argument("--only", default="", metavar="ROW,…", help=f"some rows: {', '.join(NAMES)}")
    parser.add_argument("--large", action="store_true", help=f"also {' and '.join(sorted(LARGE))}")
    parser.add_argument("--peers", default=",".join(PEERS), metavar="PEER,…", help=f"of {', '.join(PEERS)}; or none")
    parser.add_argument("--baseline", type=Path, metavar="TREE", help="measure the store of another checkout, too")
    parser.add_argument("--dir", type=Path, help="where the data lies while it runs; default: a temporary directory")
    parser.add_argument("--minutes", type=int, default=60, help="give up after so long")
    parser.add_argument("store", nargs="*", metavar="-- OPTION", help="options for our store, after two dashes")
    options = parser.parse_args(arguments)
    options.only = [name for name in options.only.split(",") if name]
    options.peers = [name for name in options.peers.split(",") if name != "none"]
    unknown = [name for name in options.only if name not in NAMES] + [p for p in options.peers if p not in PEERS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    return options


def _wanted(row: Row, options: argparse.Namespace) -> bool:
    if options.only:
        return row.heading.name in options.only
    return options.large or row.heading.name not in LARGE


def _start(options: argparse.Namespace, scratch: Path, stack: contextlib.ExitStack) -> Iterator[Server]:
    """Ours first; a peer that is not installed is told of and left out."""
    yield stack.enter_context(ours(scratch / "ours", options=options.store))
    if options.baseline is not None:
        yield stack.enter_context(ours(scratch / "baseline", name="baseline", source=options.baseline.absolute()))
    for name in options.peers:
        _tell(f"starting {name}")
        try:
            yield stack.enter_context(PEERS[name](scratch / name))
        except NotInstalledError as how:
            _tell(f"  left out; it takes: {how}")


def _run(sheet: Sheet, rows: Sequence[Row], servers: Sequence[Server], *, rounds: int, scratch: Path) -> None:
    for row in rows:
        name = row.heading.name
        for turn in range(min(rounds, row.most_rounds)):
            for server in servers:
                if server.name not in sheet.missing.get(name, {}):
                    _measure(sheet, row, server, turn, scratch=scratch)
            for limit, measure in row.limits.items():
                sheet.add(name, limit, measure())


def _measure(sheet: Sheet, row: Row, server: Server, turn: int, *, scratch: Path) -> None:
    name = row.heading.name
    try:
        _require_disk(row.disk_bytes, scratch)
        outcome = row.load(server, turn)
    except NotAvailableError as reason:
        sheet.lack(name, server.name, str(reason))
        _tell(f"{name:<13} {server.name:<10} not available: {reason}")
        return
    sheet.add(name, server.name, outcome)
    _tell(f"{name:<13} {turn + 1}  {server.name:<10} {outcome.figure:10.1f} {row.heading.unit.name}")


def _require_disk(needed: int, scratch: Path) -> None:
    if needed + _SPARE_BYTES > shutil.disk_usage(scratch).free:
        raise NotAvailableError(f"needs {(needed + _SPARE_BYTES) / 1e9:.0f} GB of free disk")


def _describe(options: argparse.Namespace, scratch: Path, servers: Sequence[Server]) -> str:
    peers = ", ".join(f"{server.name} {server.version}".strip() for server in servers)
    return (
        f"`./dev bench store`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {options.rounds} rounds; {os.cpu_count()} cores "
        f"({_processor()}), Linux {platform.release()}, {_file_system(scratch)}, CPython {platform.python_version()}; "
        f"load at the end {os.getloadavg()[0]:.1f}. {peers}.\n\n"
        "Server CPU and RSS are sums over a server's processes, RSS at its peak during the work; client is the share "
        "of one core that the load generator took. Servers alternate within each round, and ratios are taken round by "
        "round. Lines in parentheses are what the machine can do of it at all."
    )


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"model name\s*: (.*)", text)
    return f"{found.group(1) if found else platform.machine()}{', SHA extensions' if 'sha_ni' in text else ''}"


def _file_system(path: Path) -> str:
    """The type of the mount that holds a path."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    holding = [fields for fields in mounts if path.resolve().is_relative_to(fields[4])]
    closest = max(holding, key=lambda fields: len(fields[4]))
    return closest[closest.index("-") + 1]


@contextlib.contextmanager
def _bounded(minutes: int) -> Iterator[None]:
    """End, with everything that was started, on SIGTERM and when it takes too long."""

    def end(number: int, frame: object) -> None:
        del frame
        raise SystemExit(f"ended by {signal.Signals(number).name}")

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGALRM)}
    signal.alarm(minutes * 60)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _raise_file_limit() -> None:
    """Servers inherit it: idle connections are counted in thousands."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
