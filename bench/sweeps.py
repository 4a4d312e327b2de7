"""A sweep of many expired files beside uploads: what it takes, and what the uploads notice of it.

The worker sweeps in rounds with pauses in between. So every upload falls into a moment with the sweep or one without,
on the same machine in the same minutes, and the two can be compared.
"""

from __future__ import annotations

import argparse
import sqlite3
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.control_plane import cycle_of
from bench.processes import cpu_seconds, rss_mb
from bench.server import running
from bench.wire import Wire
from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.objects.s3 import Bucket, S3ObjectStore
from penstock.adapters.system import SystemClock
from penstock.domain.assets import Asset
from penstock.domain.ids import AccountId, AssetId, MediaKey
from penstock.domain.media_types import Kind
from penstock.sigv4 import Credentials
from penstock.store.config import load_or_create_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.server import Running

_BYTES = b"x" * 1000
_ROWS = 500
_LOOK_SECONDS = 0.25
_DUE = "SELECT COUNT(*) FROM assets WHERE over_at <= ? AND (purged_at IS NULL OR over_at <= purged_at)"


@dataclass(slots=True)
class _Watch:
    """When the sweep removed something, how much is left, and the worker's memory, looked at all the time."""

    left: list[tuple[float, int]] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)

    def busy(self) -> list[tuple[float, float]]:
        """The moments in which something was removed."""
        pairs = zip(self.left, self.left[1:], strict=False)
        return [(begun, ended) for (begun, before), (ended, after) in pairs if after < before]


def main(arguments: list[str]) -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(prog="bench sweeps", description=__doc__)
    parser.add_argument("--files", type=int, default=100_000, help="that expire at once")
    parser.add_argument("--connections", type=int, default=4, help="that upload meanwhile")
    options = parser.parse_args(arguments)
    with running() as server:
        begun = time.perf_counter()
        _fill(server, options.files)
        print(f"filled with {options.files} files in {time.perf_counter() - begun:.0f} s", flush=True)
        _measure(server, options.files, options.connections)


def _fill(server: Running, count: int) -> None:
    """Objects in the store and rows in the database, as uploads would leave them."""
    pair = load_or_create_credentials(server.data / "store-credentials.json")
    bucket = Bucket(
        endpoint=_store_of(server),
        name="penstock",
        region="us-east-1",
        credentials=Credentials(*next(iter(pair.items()))),
    )
    objects, database = (
        S3ObjectStore(bucket, clock=SystemClock()),
        SqlDatabase(f"sqlite:///{server.data / 'penstock.db'}"),
    )
    with database.read() as tx:
        account_id = tx.accounts.by_name("bench").id
    made = list(_assets(account_id, count))

    def put(asset: Asset) -> None:
        objects.put(asset.object_key, _BYTES, size=len(_BYTES), content_type="image/png")

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(put, made, chunksize=100):
            continue
    for start in range(0, count, _ROWS):
        with database.write() as tx:
            for asset in made[start : start + _ROWS]:
                tx.assets.add(asset)
    objects.close()
    database.close()


def _store_of(server: Running) -> str:
    declared = {"filename": "x", "content_type": "image/png"}
    url = urlsplit(str(Wire(server.url).json("POST", "/v1/uploads", key=server.key, body=declared)["upload_url"]))
    return f"{url.scheme}://{url.netloc}"


def _assets(account_id: AccountId, count: int) -> Iterator[Asset]:
    now = SystemClock().now()
    for number in range(count):
        asset_id = str(uuid.UUID(int=(4 << 76) | (2 << 62) | number))
        yield Asset(
            id=AssetId(asset_id),
            account_id=account_id,
            upload_id=None,
            run_id=None,
            name=f"picture {number}.png",
            size=len(_BYTES),
            sha256=None,
            content_type="image/png",
            declared_type="image/png",
            kind=Kind.IMAGE,
            object_key=f"assets/{asset_id}",
            media_key=MediaKey(f"{number:032x}-picture.png"),
            created_at=now,
            expires_at=now + timedelta(days=1),
        )


def _measure(server: Running, count: int, connections: int) -> None:
    stop, watch = threading.Event(), _Watch()
    samples: list[tuple[float, float]] = []
    threads = [threading.Thread(target=_upload, args=(cycle_of(server), samples, stop)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    stop.wait(10)
    worker = server.parts["worker"]
    cpu = cpu_seconds(worker)
    _expire(server, count)
    begun = time.perf_counter()
    _look_until_done(server, watch, worker)
    took = time.perf_counter() - begun
    stop.wait(10)
    stop.set()
    for thread in threads:
        thread.join()
    busy = watch.busy()
    busy_seconds = sum(ended - start for start, ended in busy)
    beside = [taken for at, taken in samples if any(start <= at + taken and at <= ended for start, ended in busy)]
    alone = [taken for at, taken in samples if not any(start <= at + taken and at <= ended for start, ended in busy)]
    print(f"{count} files swept in {took:.0f} s, of which {busy_seconds:.0f} s at work: {count / busy_seconds:.0f} /s")
    print(f"worker: {cpu_seconds(worker) - cpu:.1f} s of CPU, RSS {watch.rss[0]:.0f} to {max(watch.rss):.0f} MB")
    print(f"upload cycles of {connections} connections    p50        p99        count")
    for name, taken in (("without the sweep", alone), ("beside the sweep", beside)):
        print(f"  {name:<22} {_at(taken, 0.5):8.1f} ms {_at(taken, 0.99):8.1f} ms {len(taken):8}")
    halves, tails = (_at(beside, share) / _at(alone, share) for share in (0.5, 0.99))
    print(f"  ratio                  {halves:8.2f}    {tails:8.2f}")


def _upload(cycle: Callable[[], None], samples: list[tuple[float, float]], stop: threading.Event) -> None:
    while not stop.is_set():
        begun = time.perf_counter()
        cycle()
        samples.append((begun, time.perf_counter() - begun))


def _expire(server: Running, count: int) -> None:
    past = int((SystemClock().now() - timedelta(hours=1)).timestamp() * 1_000_000)
    with sqlite3.connect(server.data / "penstock.db", timeout=60) as connection:
        connection.execute("UPDATE assets SET expires_at = ?, over_at = ? WHERE upload_id IS NULL", (past, past))
        if connection.execute(_DUE, (past,)).fetchone()[0] != count:
            raise RuntimeError("not all files expired")
    connection.close()


def _look_until_done(server: Running, watch: _Watch, worker: int) -> None:
    connection = sqlite3.connect(server.data / "penstock.db", timeout=60)
    left = -1
    while left:
        now = int(SystemClock().now().timestamp() * 1_000_000)
        left = connection.execute(_DUE, (now,)).fetchone()[0]
        watch.left.append((time.perf_counter(), left))
        watch.rss.append(rss_mb(worker))
        time.sleep(_LOOK_SECONDS)
    connection.close()


def _at(taken: list[float], share: float) -> float:
    """The milliseconds within which that share of them was done."""
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * share))] * 1000 if taken else float("nan")
