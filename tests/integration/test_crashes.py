"""kill -9 of every part, under load: nothing acknowledged is lost, every run ends, the money adds up (P1, P5, F1)."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from penstock.domain.jobs import MAX_ATTEMPTS
from tests.support.exchange import exchange
from tests.support.load import Promises, load_on, require_kept, require_settled
from tests.support.native import Native
from tests.support.server import PARTS, running_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor finds its parts by Linux means")
ROUNDS = 3
MANY_ROUNDS = 15
DEATH = '"event": "serve.part_died"'
BIG = {"prompt": "oil", "aspect_ratio": "custom", "width": 1024, "height": 1024}


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose parts are killed."""
    with running_server(tmp_path_factory.mktemp("sturdy") / "data") as server:
        yield server


def _kill(server: Server, part: str) -> None:
    """Kill a part and wait until another has taken its place."""
    pid = server.part_pid(part)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.part_pid(part) != pid, f"{part} to be started again")


def _kill_under_load(server: Server, part: str, photo: bytes, rounds: int) -> None:
    native = Native(url=server.url, key=server.create_key())
    deaths = server.logged().count(DEATH)
    with load_on(native, photo) as load:
        for _ in range(rounds):
            load.require_progress()
            _kill(server, part)
        load.require_progress()

    require_kept(native, load.promises)
    assert len(load.promises.runs) >= 1
    require_settled(server)
    assert server.logged().count(DEATH) == deaths + rounds
    assert exchange("GET", f"{server.url}/readyz").status == 200


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_lost_when_a_part_is_killed_under_load(sturdy: Server, photo: bytes, part: str) -> None:
    _kill_under_load(sturdy, part, photo, ROUNDS)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.timeout(1800)
def test_nothing_is_lost_however_often_a_part_is_killed(sturdy: Server, photo: bytes, part: str) -> None:
    _kill_under_load(sturdy, part, photo, MANY_ROUNDS)


def test_a_run_whose_worker_is_killed_goes_on_with_another(sturdy: Server) -> None:
    native = Native(url=sturdy.url, key=sturdy.create_key())
    runs = [native.start("builtin/stylize", BIG)["id"] for _ in range(2)]
    for run_id in runs:
        _await_state(native, run_id, "running")

    _kill(sturdy, "worker")

    ended = [native.finished(run_id) for run_id in runs]
    assert {run["state"] for run in ended} == {"succeeded"}
    for run in ended:
        told = native.get(f"/runs/{run['id']}/events").body.decode()
        assert told.count("event: run.started\n") == 2
        assert told.count("event: run.succeeded\n") == 1
    assert native.balance() == "99.992"
    assert len(list(native.all("/assets"))) == 2
    require_settled(sturdy)


@pytest.mark.slow
def test_a_run_that_outlives_every_worker_is_given_up_and_paid_back(sturdy: Server) -> None:
    native = Native(url=sturdy.url, key=sturdy.create_key())
    run_id = native.start("builtin/stylize", BIG)["id"]

    for attempt in range(1, MAX_ATTEMPTS + 1):
        _await_attempt(sturdy, attempt)
        _kill(sturdy, "worker")

    run = native.finished(run_id)
    assert run["state"] == "failed"
    assert "interrupted" in run["error"]["message"]
    assert native.balance() == "100"
    require_settled(sturdy)


def _kill_all_under_load(data: Path, photo: bytes, rounds: int) -> None:
    key, promises = "", Promises()
    for _ in range(rounds):
        with running_server(data) as server:
            key = key or server.create_key()
            with load_on(Native(url=server.url, key=key), photo, promises) as load:
                load.require_progress(20)
                os.kill(server.process.pid, signal.SIGKILL)
                load.server_is_gone = True
    with running_server(data) as server:
        require_kept(Native(url=server.url, key=key), promises)
        require_settled(server)


def test_nothing_is_lost_when_the_whole_server_is_killed(tmp_path: Path, photo: bytes) -> None:
    _kill_all_under_load(tmp_path / "data", photo, 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_is_lost_however_often_the_whole_server_is_killed(tmp_path: Path, photo: bytes) -> None:
    _kill_all_under_load(tmp_path / "data", photo, MANY_ROUNDS)


def _await_state(native: Native, run_id: str, state: str) -> None:
    wait_until(lambda: native.get(f"/runs/{run_id}").must(200)["state"] == state, f"the run to be {state}")


def _await_attempt(server: Server, attempt: int) -> None:
    """Wait until the only job there is has been begun so many times."""

    def begun() -> bool:
        with closing(sqlite3.connect(f"file:{server.data / 'penstock.db'}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT attempt FROM jobs WHERE kind = 'run' AND state = 'leased'").fetchall()
        return rows == [(attempt,)]

    wait_until(begun, f"attempt {attempt}")
