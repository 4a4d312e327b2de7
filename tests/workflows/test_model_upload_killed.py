"""Model uploads whose worker dies or loses its job: phases are told once and in order, and nothing is left over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.objects.s3 import Capabilities, S3ObjectStore
from penstock.domain.errors import ObjectStoreUnavailable, StorageFull
from penstock.domain.jobs import LEASE, MAX_ATTEMPTS
from penstock.domain.model_uploads import Phase
from penstock.domain.weights import ModelCheck
from penstock.ports.jobs import LeaseLostError
from tests.support.model_house import Interrupting, made_weights, open_model_house, seed_of
from tests.support.remote import Remote, remote_server, serving
from tests.support.stores import WallClock, embedded_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.adapters.weights.examiner import ChildExaminer
    from penstock.domain.errors import PenstockError
    from penstock.domain.model_uploads import ModelUpload
    from penstock.ports.database import Database, Transaction
    from tests.support.model_house import ModelHouse

ROOT = Path(__file__).parents[2]
DATA = made_weights(6)
PHASES = [f"model.{phase}" for phase in ("validated", "downloaded", "optimized", "stored", "ready")]


class Crash(BaseException):
    """The process dies here."""


class Breaking:
    """A database; each beginning and each end of a writing transaction is a step."""

    def __init__(self, database: Database, step: Callable[[str], None]) -> None:
        self._database = database
        self._step = step
        self.read = database.read

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        self._step("before write")
        with self._database.write() as tx:
            yield tx
            self._step("before commit")
        self._step("after commit")


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        running.on("/file", serving(DATA))
        yield running


def assert_ready(house: ModelHouse, upload: ModelUpload) -> None:
    assert house.now(upload).phase is Phase.READY, house.now(upload).error
    assert house.kinds(upload) == PHASES
    file = house.file(upload)
    assert house.content(file.original_key) == DATA
    assert file.summary["stored_sha256"] == file.optimized_sha256
    assert len(house.content(file.optimized_key)) == file.optimized_size
    assert house.keys(upload) == ["manifest", "optimized", "original"]
    assert (house.has_parts(upload), house.has_jobs()) == (False, False)


def crash_at_steps(house: ModelHouse, store: Interrupting, remote: Remote, *, stride: int) -> None:
    """Crash at each n-th step of an upload of its own, and let the next worker end it."""
    left = 0

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Crash

    store.step = step
    house.tools = replace(house.tools, database=Breaking(house.database, step))  # type: ignore[arg-type]  # it passes all on
    acme, crashed, at = house.open_account(), True, 1 - stride
    while crashed:
        at += stride
        upload = house.begin(acme, remote.url(), f"acme:1@{at}")
        left = at
        try:
            house.worker.drain()
            crashed = False
        except Crash:
            house.queue.release("test", now=house.clock.now())
        left = 0

        house.work()

        assert_ready(house, upload)
        forget(house, upload)  # or the same bytes would be there for the next
    assert at > 40


def forget(house: ModelHouse, upload: ModelUpload) -> None:
    """Take the model and its file away."""
    model, file = house.model(upload), house.file(upload)
    assert model is not None
    with house.database.write() as tx:
        tx.models.remove(model)
        assert tx.model_files.remove(file)


@pytest.fixture
def crashing(
    sqlite_url: str, own_store: S3ObjectStore, examiner: ChildExaminer, request: pytest.FixtureRequest
) -> Iterator[tuple[ModelHouse, Interrupting]]:
    store = Interrupting(own_store, lambda _: None)
    with open_model_house(sqlite_url, store, examiner, check=ModelCheck.OFF, seed=seed_of(request)) as house:
        yield house, store


@pytest.mark.statement("RU-43")
def test_an_upload_whose_worker_died_ends_as_if_it_had_not(
    crashing: tuple[ModelHouse, Interrupting], remote: Remote
) -> None:
    crash_at_steps(*crashing, remote, stride=7)


@pytest.mark.slow
def test_an_upload_whose_worker_died_at_any_step_ends_as_if_it_had_not(
    crashing: tuple[ModelHouse, Interrupting], remote: Remote
) -> None:
    crash_at_steps(*crashing, remote, stride=1)


@pytest.mark.statement("RU-43")
def test_a_process_that_is_killed_again_and_again_leaves_an_upload_that_ends(
    sqlite_url: str, tmp_path: Path, examiner: ChildExaminer, remote: Remote
) -> None:
    kills = [("put_part", 1, "after"), ("complete", 1, "after"), ("delete", 1, "before")]
    with embedded_store(tmp_path / "store") as bucket:
        store = S3ObjectStore(bucket, clock=WallClock(), capabilities=Capabilities(checks_crc64=True))
        with open_model_house(sqlite_url, store, examiner, check=ModelCheck.OFF) as house:
            upload = house.begin(house.open_account(), remote.url())
            for verb, number, moment in kills:
                command = [sys.executable, "-m", "tests.workflows.model_victim", sqlite_url, verb, str(number), moment]
                place = json.dumps(asdict(bucket))
                killed = subprocess.run(command, cwd=ROOT, input=place, text=True, check=False, timeout=300)
                assert killed.returncode == -signal.SIGKILL, verb
                house.queue.release("test", now=house.clock.now())
            assert house.now(upload).phase is Phase.READY

            house.clock.advance(timedelta(hours=2))
            house.work()

            assert_ready(house, upload)
        store.close()


def test_a_worker_that_lost_its_job_writes_nothing_more(lenient_house: ModelHouse, remote: Remote) -> None:  # F25
    house = lenient_house
    upload = house.begin(house.open_account(), remote.url())
    (late,) = house.queue.claim("late", kinds=["model_upload"], limit=1, lease=LEASE, now=house.clock.now())
    house.clock.advance(LEASE + timedelta(seconds=1))
    house.work()
    told = house.told(upload)

    with pytest.raises(LeaseLostError):
        house.flow.run(late)

    assert house.told(upload) == told
    assert_ready(house, upload)


def test_an_upload_that_kills_its_workers_fails_in_the_end(lenient_house: ModelHouse, remote: Remote) -> None:
    house = lenient_house
    upload = house.begin(house.open_account(), remote.url())
    for _ in range(MAX_ATTEMPTS):
        house.queue.claim("test", kinds=["model_upload"], limit=1, lease=LEASE, now=house.clock.now())
        house.queue.release("test", now=house.clock.now())

    house.work()

    assert (house.now(upload).phase, house.now(upload).error_code) == (Phase.FAILED, "internal_error")
    assert house.kinds(upload) == ["model.validated", "model.failed"]
    assert len(house.queue.dead(limit=10)) == 1


@pytest.mark.parametrize("error", [ObjectStoreUnavailable("away"), StorageFull("full")])
def test_a_store_that_is_away_or_full_for_a_while_only_delays(
    crashing: tuple[ModelHouse, Interrupting], remote: Remote, error: PenstockError
) -> None:
    house, store = crashing
    left = {"before put_part": 2, "before complete": 1, "after complete": 1, "before put": 2, "before head": 1}

    def step(name: str) -> None:
        if left.get(name, 0):
            left[name] -= 1
            raise error

    store.step = step
    upload = house.begin(house.open_account(), remote.url())

    house.work()

    assert_ready(house, upload)
    assert set(left.values()) == {0}
