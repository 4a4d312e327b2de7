"""Full upload cycles of 20 KB files: create, PUT, complete; durable, SQLite, one process per part.

The peers stand for what the machine and the libraries can do at all, measured in the same rounds: the same API process
answering requests that do no work, and bare durable SQLite commits.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.processes import cpu_seconds, family, pss_mb, rss_mb
from bench.server import running
from bench.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.server import Running

_FILE = os.urandom(20_000)
_CONNECTIONS = 16
_SECONDS = 6.0
_ROUNDS = 3


def main(arguments: list[str]) -> None:
    """Measure and print. There are no options."""
    if arguments:
        raise SystemExit(f"control-plane takes no options: {' '.join(arguments)}")
    with running() as server:
        _cycles(server, seconds=2.0)
        rounds = [_round(server) for _ in range(_ROUNDS)]
        middle = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
        print(f"cold start to ready            {server.cold_start:8.2f} s")
        print(f"upload cycles, {_CONNECTIONS} connections  {middle['cycles']:8.0f} /s")
        print(f"  the same, 1 connection       {middle['single']:8.0f} /s")
        for part in ("api", "store", "worker"):
            print(f"  CPU per cycle, {part:<6}        {middle[f'cpu {part}'] * 1000:8.2f} ms")
        calls, commits = (2 * middle["cycles"] / middle[peer] for peer in ("bare", "commits"))
        print(
            f"requests without work, same API{middle['bare']:8.0f} /s   a cycle's two calls at that rate: x{calls:.2f}"
        )
        print(
            f"bare durable SQLite commits    {middle['commits']:8.0f} /s   its two commits at that rate: x{commits:.2f}"
        )
        _print_memory(server)


def _print_memory(server: Running) -> None:
    parts = server.parts
    for part, pid in parts.items():
        print(f"RSS after the load, {part:<10} {rss_mb(pid):8.0f} MB")
    print(f"RSS after the load, all        {sum(map(rss_mb, parts.values())):8.0f} MB")
    everybody = family([parts["supervisor"]])
    print(f"  with the worker's children   {sum(map(rss_mb, everybody)):8.0f} MB")
    print(f"  what they share counted once {sum(map(pss_mb, everybody)):8.0f} MB (PSS)")


def _round(server: Running) -> dict[str, float]:
    before = {part: cpu_seconds(pid) for part, pid in server.parts.items()}
    count, rate = _cycles(server, seconds=_SECONDS)
    cpu = {f"cpu {part}": (cpu_seconds(pid) - before[part]) / count for part, pid in server.parts.items()}
    single = _cycles(server, seconds=_SECONDS / 2, connections=1)[1]
    bare = _rate(lambda: _bare(server), connections=_CONNECTIONS, seconds=_SECONDS / 2)[1]
    commits = _commits(server.data / "peer.db", seconds=_SECONDS / 2)
    return {"cycles": rate, "single": single, "bare": bare, "commits": commits, **cpu}


def _cycles(server: Running, *, seconds: float, connections: int = _CONNECTIONS) -> tuple[int, float]:
    return _rate(lambda: cycle_of(server), connections=connections, seconds=seconds)


def cycle_of(server: Running) -> Callable[[], None]:
    """A function that does one full cycle over its own two connections."""
    api = Wire(server.url)
    store: list[Wire] = []
    declared = {"filename": "picture.bin", "content_type": "application/octet-stream", "size_bytes": len(_FILE)}

    def cycle() -> None:
        upload = api.json("POST", "/v1/uploads", key=server.key, body=declared)
        parts, headers = urlsplit(str(upload["upload_url"])), upload["headers"]
        assert isinstance(headers, dict)
        if not store:
            store.append(Wire(f"{parts.scheme}://{parts.netloc}"))
        stored = store[0].send("PUT", f"{parts.path}?{parts.query}", headers=headers, body=_FILE)
        if stored.status != 200:  # noqa: PLR2004 - stored
            raise RuntimeError(f"PUT: {stored.status} {stored.body[:200]!r}")
        asset = api.json("POST", f"/v1/uploads/{upload['id']}/complete", key=server.key)
        if asset["size_bytes"] != len(_FILE):
            raise RuntimeError("the asset has another size")

    return cycle


def _bare(server: Running) -> Callable[[], None]:
    api = Wire(server.url)

    def ask() -> None:
        status = api.send("GET", "/healthz").status
        if status != 200:  # noqa: PLR2004 - alive
            raise RuntimeError(f"healthz: {status}")

    return ask


def _rate(make: Callable[[], Callable[[], None]], *, connections: int, seconds: float) -> tuple[int, float]:
    """How often per second `connections` threads together do what `make` returns."""
    counts = [0] * connections
    failures: list[Exception] = []
    begun = time.perf_counter()
    end = begun + seconds

    def work(place: int) -> None:
        try:
            act = make()
            while time.perf_counter() < end:
                act()
                counts[place] += 1
        except Exception as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(counts), sum(counts) / (time.perf_counter() - begun)


def _commits(path: Path, *, seconds: float) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS peer (id INTEGER PRIMARY KEY, body TEXT)")
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        connection.execute("INSERT INTO peer (body) VALUES (?)", ("x" * 500,))
        count += 1
    connection.close()
    return count / (time.perf_counter() - begun)
