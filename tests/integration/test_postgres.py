"""The main story on PostgreSQL: files in, a model run, a picture out, a worker killed, the money exact."""

from __future__ import annotations

import hashlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.exchange import fetch
from tests.support.native import Native, problem, put
from tests.support.server import clean_environment, running_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import PostgresServer
    from tests.support.server import Server

EXAMPLE = Path(__file__).parents[2] / "examples" / "coffee.png"
BIG = {"prompt": "oil", "aspect_ratio": "custom", "width": 1024, "height": 1024}


@pytest.fixture(scope="module")
def on_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose database is a PostgreSQL of its own."""
    name = postgres.create_database()
    environment = clean_environment(DATABASE_URL=postgres.url(name))
    with running_server(tmp_path_factory.mktemp("postgres") / "data", environment=environment) as server:
        yield server
    postgres.drop_database(name)


@pytest.fixture
def native(on_postgres: Server) -> Native:
    return Native(url=on_postgres.url, key=on_postgres.create_key())


def test_a_photograph_goes_in_and_comes_back_without_its_background(native: Native, on_postgres: Server) -> None:
    photo = EXAMPLE.read_bytes()

    asset = native.upload(photo)
    run = native.finished(native.start("builtin/remove-background", {"image": asset["id"]})["id"])

    assert asset["sha256"] == hashlib.sha256(photo).hexdigest()
    assert fetch(asset["url"]).body == photo
    assert run["state"] == "succeeded"
    assert fetch(run["output"]["image"]["url"]).body[:4] == b"\x89PNG"
    assert [entry["kind"] for entry in native.ledger()] == ["credit", "hold", "settle"]
    assert native.balance() == "99.998"
    assert not (on_postgres.data / "penstock.db").exists()


def test_a_run_outlives_its_worker(native: Native, on_postgres: Server) -> None:
    run_id = native.start("builtin/stylize", BIG)["id"]
    wait_until(lambda: native.get(f"/runs/{run_id}").must(200)["state"] == "running", "the run to begin")
    pid = on_postgres.part_pid("worker")

    os.kill(pid, signal.SIGKILL)

    assert native.finished(run_id)["state"] == "succeeded"
    assert on_postgres.part_pid("worker") != pid
    assert native.get(f"/runs/{run_id}/events").body.decode().count("event: run.started\n") == 2
    assert native.balance() == "99.996"


def test_many_at_once_have_their_effect_once(native: Native) -> None:
    upload = native.begin(b"some bytes", "a.bin", "application/octet-stream")
    put(upload, b"some bytes").must(200)
    body = {"model": "builtin/stylize", "input": {"prompt": "ink"}}

    with ThreadPoolExecutor(12) as pool:
        completed = [pool.submit(native.post, f"/uploads/{upload['id']}/complete") for _ in range(12)]
        started = [pool.submit(native.post, "/runs", body, idempotency_key="once") for _ in range(12)]

    assert len({one.result().must(200)["id"] for one in completed}) == 1
    (run_id,) = {one.result().must(201)["id"] for one in started}
    native.finished(run_id)
    assert native.balance() == "99.996"


def test_strange_text_and_numbers_are_taken_as_on_sqlite(native: Native) -> None:
    run = native.start("builtin/stylize", {"prompt": "ink \0 😀"}, metadata={"note": "a\0b"})

    assert native.finished(run["id"])["input"] == {"prompt": "ink \0 😀"}
    assert native.get(f"/runs/{run['id']}").must(200)["metadata"] == {"note": "a\0b"}
    assert native.get(f"/runs/{run['id']}/events?after={10**30}").status == 204
    assert len(native.get(f"/account/ledger?cursor={10**30}").must(200)["data"]) == 3
    assert native.get("/uploads?cursor=MDp4").must(200) == {"data": [], "next_cursor": None}
    problem(native.get("/assets/asset_%00"), 404, "asset_not_found")
    problem(native.post("/runs", {"model": "a\0b", "input": {}}), 404, "model_not_found")
