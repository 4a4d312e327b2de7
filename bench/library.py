"""Pages of a library of a million assets, among a thousand small ones: the time of each, whatever is asked for.

The service is called in this process: cursor in, domain values out, on the database of an installation.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert

from bench import library_rows as rows
from bench.processes import children
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


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page took, in seconds, and how many it showed."""

    wall: float
    cpu: float
    shown: int


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
        with opened as (url, server):
            _measure(name, url, options.rounds, server)
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


def _measure(name: str, url: str, rounds: int, server: int | None) -> None:
    database = SqlDatabase(url)
    library = Library(database, None, clock=_Clock())  # type: ignore[arg-type]  # it lists only
    chance = random.Random(7)  # noqa: S311 - the same questions every time
    print(f"\n{name}; load {os.getloadavg()[0]:.1f}; ms per page, wall and CPU (with the database's)")
    print(f"{'filter':<36}{'shown':>7}{'p50':>9}{'p99':>9}{'most':>9}{'CPU p50':>10}{'p99':>9}{'most':>9}")
    everything: list[_Page] = []
    for says, wanted in _filters().items():
        _ask(library, wanted, chance, 2, server)  # warms what is cached
        pages = _ask(library, wanted, chance, rounds, server)
        everything += pages
        _print_row(says, pages)
    _print_row("all", everything)
    print(f"pages: {len(everything)}; load {os.getloadavg()[0]:.1f}", flush=True)
    database.close()


def _print_row(says: str, pages: list[_Page]) -> None:
    wall, cpu = ([_ms(seconds, share) for share in (0.5, 0.99, 1)] for seconds in _columns(pages))
    print(f"{says:<36}{statistics.mean(page.shown for page in pages):>7.1f}{''.join(wall)} {''.join(cpu)}", flush=True)


def _columns(pages: list[_Page]) -> tuple[list[float], list[float]]:
    return [page.wall for page in pages], [page.cpu for page in pages]


def _ms(seconds: list[float], share: float) -> str:
    ordered = sorted(seconds)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000:9.2f}"


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
    library: Library,
    make: Callable[[random.Random], AssetFilter],
    chance: random.Random,
    rounds: int,
    server: int | None,
) -> list[_Page]:
    """Pages of all places and two sizes; eight of ten from the large account."""
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
        cursor = encode_cursor((at, "8"), mark=fingerprint(wanted)) if place else None
        begun, cpu, others = time.perf_counter(), time.process_time(), _backends(server)
        page = library.page(account_id, wanted, cursor=cursor, limit=limit)
        wall, used = time.perf_counter() - begun, time.process_time() - cpu + _backends(server) - others
        found.append(_Page(wall, used, len(page.items)))
    return found


def _backends(server: int | None) -> float:
    """Seconds of CPU that the database's processes have used, to the nanosecond."""
    if server is None:
        return 0.0
    used = 0
    for child in children(server):
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            used += int(Path(f"/proc/{child}/schedstat").read_text(encoding="ascii").split()[0])
    return used / 1e9


@contextlib.contextmanager
def _sqlite(count: int, keep: Path | None) -> Iterator[tuple[str, int | None]]:
    with tempfile.TemporaryDirectory(prefix="penstock-library-") as scratch:
        path = (keep or Path(scratch)) / f"library-{count}.db"
        url = f"sqlite:///{path}"
        if not path.exists():
            migrate(url)
            loaded = rows.load_sqlite(path, count)
            print(f"sqlite: {loaded}; {path.stat().st_size / 1e6:.0f} MB", flush=True)
        yield url, None


@contextlib.contextmanager
def _postgres(count: int) -> Iterator[tuple[str, int | None]]:
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
            yield url, server.pid
        finally:
            server.stop()
