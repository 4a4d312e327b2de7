"""Clients that upload and run while parts of the server are killed, and remember every promise they were given.

A client repeats what was not answered, as any client must (P5); it never repeats what was acknowledged.
"""

from __future__ import annotations

import copy
import hashlib
import http.client
import secrets
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.support.exchange import fetch
from tests.support.native import FINISHED, Native, put
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.exchange import Answer
    from tests.support.server import Server

MODEL = "builtin/remove-background"
_CLIENTS = 4
_PATIENCE_SECONDS = 120.0  # a part that dies again and again is given longer and longer pauses by its supervisor
_LONGEST_PAUSE_SECONDS = 100.0  # a job that failed seven times waits 64 s, give or take a half
_MOST_RUNS = 4  # each takes a processor for half a second


@dataclass(slots=True)
class Promises:
    """What the server has acknowledged: uploads whose PUT answered 200, assets, and runs; SHA-256 of the bytes."""

    stored: dict[str, str] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    interruptions: int = 0


class Load:
    """Four clients at work on one account. Set `server_is_gone` when there is nobody to repeat a request to."""

    def __init__(self, native: Native, photo: bytes, promises: Promises) -> None:
        self._native = native
        self._photo = photo
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, name=f"client-{n}") for n in range(_CLIENTS)]
        self._most_runs = len(promises.runs) + _MOST_RUNS
        self.promises = promises
        self.server_is_gone = False

    def begin(self) -> None:
        """Send the clients to work."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let the clients finish what they do; raises what one of them met."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def frozen(self) -> Promises:
        """What was promised up to this moment, for later."""
        with self._lock:
            return copy.deepcopy(self.promises)

    def require_progress(self, files: int = 5) -> None:
        """Wait until so many more files were completed."""
        before = len(self.promises.assets)
        wait_until(
            lambda: bool(self._failures) or len(self.promises.assets) >= before + files,
            f"{files} more files",
            seconds=60,
        )

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._cycle(with_run=len(self.promises.runs) < self._most_runs)
        except _ServerGoneError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._failures.append(error)

    def _cycle(self, *, with_run: bool) -> None:
        content = self._photo + secrets.token_bytes(2000)  # what follows the end of a PNG is no part of the picture
        digest = hashlib.sha256(content).hexdigest()
        declared = {"filename": "a.png", "content_type": "image/png", "size_bytes": len(content)}
        key = secrets.token_hex(8)
        upload = self._until_answered(lambda: self._native.post("/uploads", declared, idempotency_key=key), 201)
        self._until_answered(lambda: put(upload, content), 200)
        with self._lock:
            self.promises.stored[upload["id"]] = digest
        asset = self._until_answered(lambda: self._native.post(f"/uploads/{upload['id']}/complete"), 200)
        assert asset["sha256"] == digest
        with self._lock:
            self.promises.assets[asset["id"]] = digest
        if with_run:
            body = {"model": MODEL, "input": {"image": asset["id"]}}
            run = self._until_answered(lambda: self._native.post("/runs", body, idempotency_key=key), 201)
            with self._lock:
                self.promises.runs.add(run["id"])

    def _until_answered(self, ask: Callable[[], Answer], status: int) -> Any:  # noqa: ANN401 - JSON
        """Repeat a request that got no answer, or 503; any other answer must be the right one."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                answer = ask()
            except (OSError, http.client.HTTPException):
                answer = None
            if answer is not None and answer.status != 503:
                return answer.must(status)
            with self._lock:
                self.promises.interruptions += 1
            if self.server_is_gone:
                raise _ServerGoneError
            assert time.monotonic() < deadline, f"no answer within {_PATIENCE_SECONDS:.0f} s; the last: {answer}"
            time.sleep(0.02)  # what a polite client does before it tries again


class _ServerGoneError(Exception):
    pass


@contextmanager
def load_on(native: Native, photo: bytes, promises: Promises | None = None) -> Iterator[Load]:
    """A load that works while the block does, and has ended after it. `promises` are those of earlier loads."""
    load = Load(native, photo, promises or Promises())
    load.begin()
    try:
        yield load
    finally:
        load.end()


def require_kept(native: Native, promises: Promises, *, credits_usd: int = 100) -> None:
    """Every promise holds: each acknowledged byte is there, each run has ended, and the money adds up exactly."""
    for upload_id, digest in promises.stored.items():
        asset = native.post(f"/uploads/{upload_id}/complete").must(200)
        assert asset["sha256"] == digest
        assert hashlib.sha256(_bytes_of(asset["id"], native)).hexdigest() == digest
    for asset_id, digest in promises.assets.items():
        assert native.get(f"/assets/{asset_id}").must(200)["sha256"] == digest
    oldest_first = list(native.all("/runs"))[::-1]  # as they are carried out
    runs = [_ended(native, run["id"]) for run in oldest_first]
    assert promises.runs <= {run["id"] for run in runs}
    assert {run["state"] for run in runs} <= {"succeeded", "failed"}, runs
    for run in runs:
        if run["state"] == "succeeded":
            made = run["output"]["image"]
            assert len(_bytes_of(made["asset_id"], native)) == made["size_bytes"]
    spent = sum((Decimal(run["cost_usd"] or 0) for run in runs), Decimal(0))
    entries = native.ledger()
    assert Decimal(native.balance()) == credits_usd - spent
    assert sum((Decimal(entry["amount_usd"]) for entry in entries), Decimal(0)) == credits_usd - spent
    assert len(entries) == 1 + 2 * len(runs)


def _ended(native: Native, run_id: str) -> dict[str, Any]:
    """A run at its end, which an outage puts off: the longer it was, the longer the pause before the next attempt."""
    wait_until(
        lambda: native.get(f"/runs/{run_id}?wait=60").must(200)["state"] in FINISHED, "the run to end", seconds=400
    )
    return native.finished(run_id)


def _bytes_of(asset_id: str, native: Native) -> bytes:
    answer = fetch(native.get(f"/assets/{asset_id}").must(200)["url"])
    assert answer.status == 200, (answer.status, answer.body[:500])
    return answer.body


def require_settled(server: Server) -> None:
    """Soon no lease and no job is left."""
    wait_until(
        lambda: left_over(server.data) == (0, 0), "no leases and no jobs left", seconds=2 * _LONGEST_PAUSE_SECONDS
    )


def left_over(data: Path) -> tuple[int, int]:
    """Leases on files, and jobs that are not done, in a server's own SQLite database."""
    with closing(sqlite3.connect(f"file:{data / 'penstock.db'}?mode=ro", uri=True)) as database:
        (leases,) = database.execute("SELECT count(*) FROM asset_leases").fetchone()
        (jobs,) = database.execute("SELECT count(*) FROM jobs WHERE state IN ('ready', 'leased')").fetchone()
    return leases, jobs
