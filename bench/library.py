"""Pages of a library of a million assets, among a thousand small ones: the time of each, whatever is asked for.

The service is called in this process: cursor in, domain values out, on the database of an installation.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert

from bench import library_rows as rows
from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.db.migrate import migrate
from penstock.adapters.db.rows import Rows
from penstock.adapters.db.tables import assets
from penstock.adapters.db.terms import lines_of, post_new
from penstock.domain.assets import Asset
from penstock.domain.library import AssetFilter, fingerprint
from penstock.domain.media_types import Kind
from penstock.services.library import Library
from penstock.services.paging import encode_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

_ROWS = Rows(Asset, assets)
_WHERE = {"first": 0.0, "middle": 0.5, "deep": 0.97}
_LIMITS = (20, 100)


@dataclass(frozen=True, slots=True)
class _Clock:
    def now(self) -> datetime:
        return rows.END


def main(arguments: list[str]) -> None:
    """Generate, measure, print a table per database."""
    parser = argparse.ArgumentParser(prog="bench library", description=__doc__)
    parser.add_argument("--assets", type=int, default=1_000_000, help="of the large account")
    parser.add_argument("--database", choices=("sqlite", "postgres"), action="append", help="default: both")
    parser.add_argument("--rounds", type=int, default=20, help="pages of each filter and place")
    parser.add_argument("--keep", type=Path, help="a directory in which the generated SQLite database stays")
    options = parser.parse_args(arguments)
    for name in options.database or ["sqlite", "postgres"]:
        opened = _sqlite(options.assets, options.keep) if name == "sqlite" else _postgres(options.assets)
        with opened as url:
            _measure(name, url, options.rounds)
            _measure_adding(url)


def _filters() -> dict[str, Callable[[random.Random], AssetFilter]]:
    """What people ask for, and what an enemy would."""

    def words(first: int, last: int) -> Callable[[random.Random], str]:
        return lambda chance: rows.word(chance.randrange(first, last))

    common, usual, rare = words(0, 10), words(100, 1000), words(10_000, rows.WORDS)
    tag = words(0, 20)
    return {
        "nothing": lambda _: AssetFilter(),
        "nothing, oldest first": lambda _: AssetFilter(ascending=True),
        "folder": lambda c: AssetFilter(folder_id=rows.folder_id(c.randrange(rows.FOLDERS))),
        "no folder": lambda _: AssetFilter(at_top=True),
        "kind, common": lambda _: AssetFilter(kind=Kind.IMAGE),
        "kind, rare": lambda _: AssetFilter(kind=Kind.AUDIO),
        "kind that nothing has": lambda _: AssetFilter(kind=Kind.MODEL),
        "image/*": lambda _: AssetFilter(content_type="image/*"),
        "tag": lambda c: AssetFilter(tags=(f"tag {tag(c)}",)),
        "two tags": lambda c: AssetFilter(tags=(f"tag {tag(c)}", f"tag {tag(c)}")),
        "common word": lambda c: AssetFilter(query=f"{common(c)} "),
        "usual word": lambda c: AssetFilter(query=f"{usual(c)} "),
        "rare word": lambda c: AssetFilter(query=f"{rare(c)} "),
        "word that nothing has": lambda _: AssetFilter(query="zyzzyva "),
        "two common words": lambda c: AssetFilter(query=f"{common(c)} {common(c)} "),
        "words that never meet": lambda _: AssetFilter(query="early late "),
        "one letter": lambda c: AssetFilter(query=c.choice("abcdeis")),
        "three letters": lambda c: AssetFilter(query=usual(c)[:3]),
        "beginning of a word": lambda c: AssetFilter(query=usual(c)[:5]),
        "a word and a letter": lambda c: AssetFilter(query=f"{usual(c)} {c.choice('abcdeis')}"),
        "digits (a date)": lambda c: AssetFilter(query=f"img 2026{c.randrange(1, 10):02d}"),
        "name": lambda c: AssetFilter(name=f"{common(c)}_{common(c)[:2]}"),
        "size, common": lambda _: AssetFilter(min_size=100_000),
        "size, nearly none": lambda _: AssetFilter(min_size=10**11),
        "a day": _day,
        "word, kind, tag, size": lambda c: AssetFilter(
            query=common(c), kind=Kind.IMAGE, tags=(f"tag {tag(c)}",), min_size=100_000
        ),
        "word and rare kind": lambda c: AssetFilter(query=f"{common(c)} ", kind=Kind.OTHER),
        "kind that nothing has, common word": lambda c: AssetFilter(query=common(c), kind=Kind.MODEL),
        "trash": lambda _: AssetFilter(deleted=True),
        "trash, word": lambda c: AssetFilter(deleted=True, query=usual(c)),
    }


def _day(chance: random.Random) -> AssetFilter:
    since = rows.END - timedelta(days=chance.randrange(2, 700))
    return AssetFilter(created_from=since, created_before=since + timedelta(days=1), kind=Kind.VIDEO)


def _measure(name: str, url: str, rounds: int) -> None:
    database = SqlDatabase(url)
    library = Library(database, None, clock=_Clock())  # type: ignore[arg-type]  # it lists only
    chance = random.Random(7)  # noqa: S311 - the same questions every time
    print(f"\n{name}; load {os.getloadavg()[0]:.1f}")
    print(f"{'filter':<36}{'shown':>7}{'p50':>8}{'p99':>8}{'most':>8}{'cpu':>8}   ms per page")
    everything: list[float] = []
    for says, wanted in _filters().items():
        _ask(library, wanted, chance, 2)  # warms what is cached
        times = _ask(library, wanted, chance, rounds)
        taken = [seconds for seconds, _, _ in times]
        everything += taken
        shown = statistics.mean(count for _, _, count in times)
        cpu = statistics.mean(cpu for _, cpu, _ in times)
        print(f"{says:<36}{shown:>7.1f}{_ms(taken, 0.5):>8}{_ms(taken, 0.99):>8}{_ms(taken, 1)}{cpu * 1000:>8.2f}")
    print(f"{'all':<36}{'':>7}{_ms(everything, 0.5):>8}{_ms(everything, 0.99):>8}{_ms(everything, 1):>8}")
    print(f"pages: {len(everything)}; load {os.getloadavg()[0]:.1f}")
    database.close()


def _measure_adding(url: str, *, rounds: int = 10, adds: int = 50) -> None:
    """A durable transaction per asset, with and without its terms, in turn."""
    database = SqlDatabase(url)
    taken: dict[str, list[tuple[float, float]]] = {"with terms": [], "without": []}
    some = rows.made(2 * rounds * adds, seed=int.from_bytes(os.urandom(4), "big"))
    for _, (kind, figures) in itertools.product(range(rounds), taken.items()):
        begun, cpu = time.perf_counter(), time.process_time()
        for asset in itertools.islice(some, adds):
            with database.gate.write() as connection:
                lines = lines_of(asset) if kind == "with terms" else ""
                connection.execute(insert(assets), {**_ROWS.values(asset), "terms": lines})
                if lines:
                    post_new(connection, asset, lines)
        figures.append(((time.perf_counter() - begun) / adds, (time.process_time() - cpu) / adds))
    for kind, figures in taken.items():
        wall, used = (statistics.median(column) * 1000 for column in zip(*figures, strict=True))
        print(f"adding an asset, {kind:<12} {wall:8.2f} ms, CPU of this process {used:6.2f} ms")
    database.close()


def _ask(
    library: Library, make: Callable[[random.Random], AssetFilter], chance: random.Random, rounds: int
) -> list[tuple[float, float, int]]:
    """Wall time and CPU time of this process per page, and how many were shown."""
    found = []
    for _, place, limit in itertools.product(range(rounds), _WHERE.values(), _LIMITS):
        account_id = rows.LARGE if chance.random() < 0.8 else chance.choice(rows.account_ids()[1:])  # noqa: PLR2004 - most
        wanted = make(chance)
        if wanted.folder_id is not None:
            account_id = rows.LARGE
        share = place if wanted.ascending else 1 - place
        at = rows.END - rows.YEARS + rows.YEARS * share
        if wanted.deleted:
            at = rows.END - timedelta(seconds=600_000 * place)
        mark = fingerprint(wanted)
        cursor = encode_cursor((at, "8"), mark=mark) if place else None
        begun, cpu = time.perf_counter(), time.process_time()
        page = library.page(account_id, wanted, cursor=cursor, limit=limit)
        found.append((time.perf_counter() - begun, time.process_time() - cpu, len(page.items)))
    return found


def _ms(seconds: list[float], share: float) -> str:
    ordered = sorted(seconds)
    place = min(len(ordered) - 1, int(len(ordered) * share))
    return f"{ordered[place] * 1000:8.2f}"


@contextmanager
def _sqlite(count: int, keep: Path | None) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="penstock-library-") as scratch:
        path = (keep or Path(scratch)) / f"library-{count}.db"
        url = f"sqlite:///{path}"
        if not path.exists():
            migrate(url)
            loaded = rows.load_sqlite(path, count)
            print(f"sqlite: {loaded}; {path.stat().st_size / 1e6:.0f} MB", flush=True)
        yield url


@contextmanager
def _postgres(count: int) -> Iterator[str]:
    from tests.support.postgres import PostgresServer, find_programs  # noqa: PLC0415 - not without PostgreSQL

    programs = find_programs()
    if programs is None:
        raise SystemExit("PostgreSQL's server programs are not installed")
    with tempfile.TemporaryDirectory(prefix="penstock-library-pg-", ignore_cleanup_errors=True) as scratch:
        server = PostgresServer(programs, Path(scratch))
        server.start()
        try:
            url = server.url()
            migrate(url)
            print(f"postgres: {rows.load_postgres(url, count)}", flush=True)
            yield url
        finally:
            server.stop()
