"""The worker: every job to its end whatever a flow does, woken by a commit, stopped without losing anything."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.domain.errors import DatabaseUnavailable, ObjectStoreUnavailable
from penstock.domain.ids import JobId
from penstock.domain.jobs import LEASE, MAX_ATTEMPTS
from penstock.ports.jobs import AttemptInterruptedError, LeaseLostError
from penstock.telemetry import Log
from penstock.workflows import engine
from penstock.workflows.engine import Patience, Schedule, Worker
from tests.support.records import uuid_text
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from penstock.domain.jobs import Job
    from penstock.ports.jobs import JobQueue
    from tests.support.core import Core

KIND = "work"
LATER = timedelta(minutes=16)
"""Longer than any pause between two attempts."""


class Work:
    """A flow that does what the test says, then finishes its job."""

    def __init__(self, core: Core, act: Callable[[Job], object] = lambda _: None) -> None:
        self._core = core
        self.act = act
        self.done: list[str] = []
        self.given_up: list[str] = []

    def run(self, job: Job) -> None:
        self.act(job)
        with self._core.database.write() as tx:
            tx.fenced.finish(job)
        self.done.append(job.id)

    def give_up(self, job: Job, reason: str) -> None:
        with self._core.database.write() as tx:
            tx.fenced.bury(job, error=reason)
        self.given_up.append(reason)


def enqueue(core: Core, number: int = 1) -> JobId:
    job_id = JobId(uuid_text(number))
    with core.database.write() as tx:
        tx.jobs.enqueue(KIND, {"number": number}, job_id=job_id, now=core.clock.now())
    return job_id


def worker_of(
    core: Core,
    work: Work,
    *,
    queue: JobQueue | None = None,
    schedules: Sequence[Schedule] = (),
    log: Log | None = None,
    patience: Patience | None = None,
    by_turns: bool = False,
) -> Worker:
    return Worker(
        core.database,
        queue or core.queue,
        {KIND: work},
        schedules,
        open_changes=core.database.changes,
        clock=core.clock,
        entropy=core.entropy,
        log=log or Log("test", None),
        owner="test",
        concurrency=2,
        interrupt=core.interrupt,
        patience=patience,
        by_turns=by_turns,
    )


def fail_with(error: Exception) -> Callable[[Job], object]:
    def act(_: Job) -> object:
        raise error

    return act


# --- one job after another


@pytest.mark.parametrize(("most", "turns"), [(1000, "ab-cabaa"), (2, "ab-abcaa")])
def test_accounts_take_turns_however_many_jobs_one_of_them_has(
    core: Core, most: int, turns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_MOST_SERVED", most)
    accounts = [core.open_account(name) for name in ("a", "b", "c")]
    order: list[str] = []
    work = Work(core, lambda job: order.append("abc"[accounts.index(job.account_id)] if job.account_id else "-"))
    with core.database.write() as tx:
        for number, owner in enumerate(("a", "a", "a", "a", "b", "b", None, "c")):
            account_id = accounts["abc".index(owner)] if owner else None
            core.clock.advance(timedelta(seconds=1))
            tx.jobs.enqueue(KIND, {}, job_id=JobId(uuid_text(number)), now=core.clock.now(), account_id=account_id)

    worker_of(core, work, by_turns=True).drain()

    assert "".join(order) == turns


def test_jobs_are_run_until_none_is_due(core: Core) -> None:
    work = Work(core)
    jobs = [enqueue(core, number) for number in range(1, 4)]

    assert worker_of(core, work).drain() == 3
    assert worker_of(core, work).drain() == 0

    assert sorted(work.done) == sorted(jobs)


def test_a_failed_job_is_tried_again_after_a_growing_pause(core: Core) -> None:
    work = Work(core, fail_with(ValueError("no")))
    worker = worker_of(core, work)
    enqueue(core)

    pauses = []
    for _ in range(4):
        assert worker.drain() == 1
        due = core.queue.next_due(kinds=[KIND])
        assert due is not None
        pauses.append((due - core.clock.now()).total_seconds())
        core.clock.set(due)

    assert all(2**n / 2 <= pause <= 2**n * 1.5 for n, pause in enumerate(pauses))
    work.act = lambda _: None
    assert worker.drain() == 1
    assert len(work.done) == 1


def test_a_job_that_goes_on_failing_is_given_up_with_its_last_reason(core: Core) -> None:
    work = Work(core, fail_with(ValueError("secret detail")))
    worker = worker_of(core, work)
    enqueue(core)

    attempts = 0
    for _ in range(3 * MAX_ATTEMPTS):
        attempts += worker.drain()
        core.clock.advance(LATER)

    assert attempts == MAX_ATTEMPTS
    assert work.given_up == ["internal error (ValueError)"]
    assert len(core.queue.dead(limit=10)) == 1


def test_a_job_that_an_operator_drives_again_gets_all_its_attempts_again(core: Core) -> None:
    work = Work(core, fail_with(ValueError("no")))
    worker = worker_of(core, work)
    job_id = enqueue(core)
    for _ in range(MAX_ATTEMPTS):
        worker.drain()
        core.clock.advance(LATER)
    assert core.queue.redrive(job_id, now=core.clock.now())

    for _ in range(MAX_ATTEMPTS - 1):
        worker.drain()
        core.clock.advance(LATER)
    work.act = lambda _: None
    worker.drain()

    assert work.done == [job_id]


def test_outages_do_not_use_up_the_attempts_that_faults_get(core: Core) -> None:
    errors = iter([*([ObjectStoreUnavailable("down")] * 20), *([ValueError("no")] * (MAX_ATTEMPTS - 1))])

    def act(_: Job) -> None:
        error = next(errors, None)
        if error is not None:
            raise error

    work = Work(core, act)
    worker = worker_of(core, work)
    job_id = enqueue(core)

    for _ in range(100):
        worker.drain()
        core.clock.advance(LATER)

    assert work.done == [job_id]
    assert work.given_up == []


def test_a_lost_lease_is_silent(core: Core) -> None:
    work = Work(core, fail_with(LeaseLostError("another has it")))
    job_id = enqueue(core)

    worker_of(core, work).drain()

    assert work.given_up == []
    core.clock.advance(LEASE)
    work.act = lambda _: None
    worker_of(core, work).drain()
    assert work.done == [job_id]


@pytest.mark.parametrize("error", [ValueError("no"), ObjectStoreUnavailable("down")])
def test_a_job_whose_end_cannot_be_written_comes_back_when_its_lease_runs_out(core: Core, error: Exception) -> None:
    class Stubborn(Work):
        def give_up(self, job: Job, reason: str) -> None:
            if not self.given_up:
                self.given_up.append("not yet")
                raise error
            super().give_up(job, reason)

    work = Stubborn(core, fail_with(ValueError("no")))
    worker = worker_of(core, work)
    enqueue(core)

    for _ in range(2 * MAX_ATTEMPTS):
        worker.drain()
        core.clock.advance(LATER)

    assert work.given_up[0] == "not yet"
    assert len(work.given_up) == 2
    assert len(core.queue.dead(limit=10)) == 1


# --- serving


@pytest.fixture
def serve() -> Iterator[Callable[[Worker], threading.Event]]:
    """Serves a worker in a thread until its event is set, or the test ends."""
    threads: list[tuple[threading.Thread, threading.Event]] = []

    def begin(worker: Worker) -> threading.Event:
        stop, is_ready = threading.Event(), threading.Event()
        thread = threading.Thread(target=worker.serve, args=(stop,), kwargs={"ready": is_ready.set}, name="worker")
        threads.append((thread, stop))
        thread.start()
        assert is_ready.wait(20)
        return stop

    yield begin
    for thread, stop in threads:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_a_job_that_is_put_in_wakes_the_worker(core: Core, serve: Callable[[Worker], threading.Event]) -> None:
    work = Work(core)
    serve(worker_of(core, work))

    for number in (1, 2, 3):
        enqueue(core, number)
        wait_until(lambda count=number: len(work.done) == count, "the job is done")  # type: ignore[misc]  # bound


def test_jobs_run_beside_each_other_up_to_the_limit(core: Core, serve: Callable[[Worker], threading.Event]) -> None:
    meeting, most, now = threading.Barrier(2), [0], [0]
    lock = threading.Lock()

    def meet(_: Job) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        meeting.wait(20)
        with lock:
            now[0] -= 1

    work = Work(core, meet)
    for number in range(1, 7):
        enqueue(core, number)
    serve(worker_of(core, work))

    wait_until(lambda: len(work.done) == 6, "all jobs are done")
    assert most == [2]


def test_stopping_lets_the_running_job_end(core: Core, serve: Callable[[Worker], threading.Event]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait_for_the_test(_: Job) -> None:
        begun.set()
        assert go_on.wait(20)

    work = Work(core, wait_for_the_test)
    first = enqueue(core, 1)
    stop = serve(worker_of(core, work))
    assert begun.wait(20)

    stop.set()
    go_on.set()

    wait_until(lambda: work.done == [first], "the running job is done")


def test_the_worker_survives_a_database_that_is_away_for_a_while(
    core: Core, serve: Callable[[Worker], threading.Event]
) -> None:
    class Flaky:
        """The queue, whose first calls find no database."""

        def __init__(self, queue: JobQueue) -> None:
            self._queue = queue
            self._failures = iter(range(2))

        def claim(self, owner: str, **asked: Any) -> Sequence[Job]:  # noqa: ANN401 - passes everything on
            for _ in self._failures:
                raise DatabaseUnavailable("the database does not answer")
            return self._queue.claim(owner, **asked)

        def __getattr__(self, name: str) -> object:
            return getattr(self._queue, name)

    work = Work(core)
    enqueue(core)
    serve(worker_of(core, work, queue=Flaky(core.queue)))  # type: ignore[arg-type]  # it passes all on

    wait_until(lambda: len(work.done) == 1, "the job is done")


def test_a_schedule_is_kept_by_one_worker_and_goes_on_after_an_error(
    core: Core, serve: Callable[[Worker], threading.Event]
) -> None:
    turns: list[int] = []

    def act() -> int:
        turns.append(1)
        if len(turns) == 1:
            raise ZeroDivisionError
        return 0

    schedule = Schedule(name="sweep", every=timedelta(seconds=30), act=act)
    for _ in range(2):
        serve(worker_of(core, Work(core), schedules=[schedule]))

    wait_until(lambda: len(turns) == 1, "the first turn is taken")
    core.clock.advance(timedelta(seconds=30))
    wait_until(lambda: len(turns) == 2, "the second turn is taken")
    core.clock.advance(timedelta(seconds=29))
    enqueue(core)  # wakes both
    wait_until(lambda: not core.queue.next_due(kinds=[KIND]), "both have looked around")
    assert len(turns) == 2


def test_an_error_that_nobody_expected_is_logged_by_its_type(core: Core, tmp_path: Path) -> None:
    class Careless(Work):
        def give_up(self, job: Job, reason: str) -> None:
            raise KeyError("secret detail")

    with (tmp_path / "log").open("w+") as stream:
        worker = worker_of(core, Careless(core, fail_with(ValueError("no"))), log=Log("test", stream))
        enqueue(core)
        for _ in range(MAX_ATTEMPTS):
            worker.drain()
            core.clock.advance(LATER)
        logged = (tmp_path / "log").read_text()

    assert '"event": "worker.failed", "error": "KeyError"' in logged
    assert "secret detail" not in logged


# --- stopping in the midst of work


def test_an_attempt_that_lets_go_when_the_worker_stops_is_no_failure(
    core: Core, serve: Callable[[Worker], threading.Event]
) -> None:
    begun = threading.Event()

    def listen(_: Job) -> None:
        begun.set()
        assert core.interrupt.wait(20)
        raise AttemptInterruptedError

    work = Work(core, listen)
    enqueue(core)
    stop = serve(worker_of(core, work, patience=Patience(to_end=0, to_let_go=60)))
    assert begun.wait(20)

    stop.set()

    wait_until(lambda: _ready(core), "the job is handed back")
    assert _claimed_later(core).failures == 0


def test_a_job_whose_attempt_does_not_listen_is_taken_from_it_without_a_failure(
    core: Core, serve: Callable[[Worker], threading.Event]
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def be_deaf(_: Job) -> None:
        begun.set()
        assert go_on.wait(60)

    work = Work(core, be_deaf)
    enqueue(core)
    stop = serve(worker_of(core, work, patience=Patience(to_end=0, to_let_go=0)))
    assert begun.wait(20)

    stop.set()

    wait_until(lambda: _ready(core), "the job is handed back")
    successor = _claimed_later(core)
    go_on.set()
    assert successor.failures == 0
    with core.database.write() as tx:
        tx.fenced.finish(successor)
    assert work.done == []  # its late write was refused


def test_any_number_of_planned_stops_buries_no_job(core: Core) -> None:
    work = Work(core, fail_with(AttemptInterruptedError()))
    worker = worker_of(core, work)
    enqueue(core)

    for _ in range(MAX_ATTEMPTS + 2):
        assert worker.drain() == 1
        core.clock.advance(LATER)

    work.act = lambda _: None
    assert worker.drain() == 1
    assert (len(work.done), work.given_up) == (1, [])


def _ready(core: Core) -> bool:
    with core.database.gate.read() as connection:
        return connection.exec_driver_sql("SELECT state FROM jobs").scalars().all() == ["ready"]


def _claimed_later(core: Core) -> Job:
    (job,) = core.queue.claim("next", kinds=[KIND], limit=1, lease=LEASE, now=core.clock.now() + LATER)
    return job


# --- sweeps


class Slow:
    """Schedules whose work waits for the test."""

    def __init__(self, count: int) -> None:
        self.begun: list[str] = []
        self.go_on = threading.Event()
        self.schedules = [self._schedule(f"sweep-{number}") for number in range(count)]

    def _schedule(self, name: str) -> Schedule:
        def act() -> int:
            self.begun.append(name)
            assert self.go_on.wait(60)
            return 0

        return Schedule(name=name, every=timedelta(microseconds=1), act=act)


def test_sweeps_that_hang_take_no_jobs_place(core: Core, serve: Callable[[Worker], threading.Event]) -> None:
    slow, work = Slow(3), Work(core)
    serve(worker_of(core, work, schedules=slow.schedules))
    wait_until(lambda: len(slow.begun) == 2, "all that may sweep at once do")

    for number in (1, 2, 3):
        enqueue(core, number)
        wait_until(lambda count=number: len(work.done) == count, "the job is done")  # type: ignore[misc]  # bound
        core.clock.advance(timedelta(seconds=1))

    assert sorted(slow.begun) == ["sweep-0", "sweep-1"]
    slow.go_on.set()


def test_a_sweep_that_has_not_begun_when_the_worker_stops_never_does(
    core: Core, serve: Callable[[Worker], threading.Event]
) -> None:
    begun = threading.Event()

    def listen(_: Job) -> None:
        begun.set()
        assert core.interrupt.wait(60)
        raise AttemptInterruptedError

    slow = Slow(4)
    enqueue(core)
    stop = serve(worker_of(core, Work(core, listen), schedules=slow.schedules, patience=Patience(to_end=0)))
    wait_until(lambda: len(slow.begun) == 2 and begun.is_set(), "all that may sweep at once do")

    stop.set()
    assert core.interrupt.wait(60)  # the worker is past its sweeps
    slow.go_on.set()
    wait_until(lambda: _ready(core), "the job is handed back")

    assert sorted(slow.begun) == ["sweep-0", "sweep-1"]
