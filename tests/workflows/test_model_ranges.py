"""Models that come by several connections: the same model, and the same rules when a worker stops in the middle."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from penstock.domain.jobs import LEASE
from penstock.domain.model_uploads import Phase
from penstock.ports.jobs import AttemptInterruptedError
from penstock.workflows.range_lanes import Parallel
from tests.support.model_house import PART_BYTES, made_weights
from tests.support.remote import Remote, Visit, remote_server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.model_house import ModelHouse

DATA = made_weights(16)
SIZE = len(DATA)
ALONE = 2**20
RANGE = 2**18
SMALL = Parallel(
    connections=4, least_bytes=SIZE, alone_bytes=ALONE, waiting_share=0.0, longest_range=RANGE, held_bytes=4 * RANGE
)
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@pytest.fixture
def house(lenient_house: ModelHouse) -> ModelHouse:
    """One that takes ranges wherever it may."""
    options = replace(lenient_house.tools.options, parallel=SMALL)
    lenient_house.tools = replace(lenient_house.tools, options=options)
    return lenient_house


def slow_alone(ranged: Callable[[Visit], None]) -> Callable[[Visit], None]:
    """Whoever reads on gets little, until a second range is asked for: then the first one has come."""
    asked = threading.Semaphore(0)

    def handle(visit: Visit) -> None:
        if "range" in visit.headers:
            asked.release()
            ranged(visit)
            return
        visit.head("200 OK", Content_Length=str(SIZE), ETag='"v1"')
        with suppress(OSError):
            visit.send(DATA[: ALONE + RANGE])
            for _ in range(2):
                assert asked.acquire(timeout=PATIENCE_SECONDS)
            visit.send(DATA[ALONE + RANGE :])

    return handle


def first_byte(visit: Visit) -> int:
    return int(visit.headers["range"].removeprefix("bytes=").split("-")[0])


def test_a_model_that_comes_by_several_connections_is_the_same_model(house: ModelHouse, remote: Remote) -> None:
    remote.on("/file", slow_alone(serving(DATA)))
    before = len(remote.visits)
    upload = house.begin(house.open_account(), remote.url())

    house.work()

    assert house.now(upload).phase is Phase.READY, house.now(upload).error
    file = house.file(upload)
    assert house.content(file.original_key) == DATA
    assert file.sha256 == hashlib.sha256(DATA).hexdigest()
    visits = remote.visits[before:]
    assert 2 <= len({id(visit.line) for visit in visits}) <= 5
    assert max(first_byte(visit) for visit in visits[1:]) >= SIZE - RANGE
    assert sum(kind == "model.delayed" for kind in house.kinds(upload)) == 0


def test_a_stop_while_ranges_come_hands_the_job_back_and_the_next_start_goes_on_behind_the_last_part(
    house: ModelHouse, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.workflows.model_attempt._LOOK_SECONDS", 0.0)

    def stopped_in_the_middle(visit: Visit) -> None:
        if first_byte(visit) < SIZE * 3 // 4:
            serving(DATA)(visit)
        else:
            house.interrupt.set()
            visit.stay_silent()

    remote.on("/file", slow_alone(stopped_in_the_middle))
    upload = house.begin(house.open_account(), remote.url())
    (job,) = house.queue.claim("test", kinds=["model_upload"], limit=1, lease=LEASE, now=house.clock.now())
    with pytest.raises(AttemptInterruptedError):
        house.flow.run(job)
    house.interrupt.clear()
    assert house.queue.release("test", now=house.clock.now()) == 1
    remote.on("/file", serving(DATA))
    before = len(remote.visits)

    house.work()

    assert house.now(upload).phase is Phase.READY, house.now(upload).error
    file = house.file(upload)
    assert house.content(file.original_key) == DATA
    assert file.sha256 == hashlib.sha256(DATA).hexdigest()
    resumed = remote.visits[before].headers["range"]
    assert resumed.endswith("-")
    assert first_byte(remote.visits[before]) in range(PART_BYTES, SIZE, PART_BYTES)
