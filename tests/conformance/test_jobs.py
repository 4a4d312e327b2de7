"""What `ports/jobs` and the job half of `ports/database` mean, on both databases. A test says what time it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.db.queue import SqlJobQueue
from penstock.domain.events import EventKind
from penstock.domain.ids import AccountId, JobId
from penstock.domain.jobs import HEARTBEAT, LEASE, MAX_ATTEMPTS
from penstock.ports.jobs import LeaseLostError
from tests.conformance.job_worker import KIND, POINTS, STEPS, work
from tests.support.records import HOUR, NOW, uuid_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from penstock.adapters.db.database import SqlDatabase
    from penstock.domain.jobs import Job
    from penstock.ports.jobs import FencedJob

ROOT = Path(__file__).parents[2]
ACME = AccountId("acme")
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
LONG = timedelta(seconds=30)


@pytest.fixture
def queue(database: SqlDatabase) -> SqlJobQueue:
    return SqlJobQueue(database)


# --- putting in and taking out


def test_a_job_is_delivered_with_what_was_put_in(database: SqlDatabase, queue: SqlJobQueue) -> None:
    with database.write() as tx:
        tx.jobs.enqueue("kind", {"a": [1, None, "\0"]}, job_id=JobId("job"), now=NOW, account_id=ACME)

    (job,) = queue.claim("worker-1", kinds=["kind"], limit=10, lease=LEASE, now=NOW)

    assert (job.id, job.kind, job.payload, job.account_id) == ("job", "kind", {"a": [1, None, "\0"]}, "acme")
    assert (job.step, job.state, job.attempt, job.failures) == ("", {}, 1, 0)
    assert (job.owner, job.lease_until) == ("worker-1", NOW + LEASE)
    assert _claim(queue) == []


def test_a_job_of_a_transaction_that_fails_does_not_exist(database: SqlDatabase, queue: SqlJobQueue) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as tx:  # noqa: PT012 - the block is what fails
        _enqueue_in(tx.jobs.enqueue, 1)
        _ = 1 / 0

    assert _claim(queue) == []
    assert queue.next_due(kinds=[KIND]) is None


def test_a_job_starts_when_it_is_due(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1, run_at=NOW + HOUR)

    assert queue.next_due(kinds=[KIND]) == NOW + HOUR
    assert _claim(queue, now=NOW + HOUR - timedelta(microseconds=1)) == []
    assert len(_claim(queue, now=NOW + HOUR)) == 1


def test_a_worker_gets_only_the_kinds_it_asks_for(database: SqlDatabase, queue: SqlJobQueue) -> None:
    with database.write() as tx:
        for number, kind in enumerate(["a", "b", "c"]):
            tx.jobs.enqueue(kind, {}, job_id=JobId(str(number)), now=NOW)

    claimed = queue.claim("worker", kinds=["a", "c"], limit=10, lease=LEASE, now=NOW)

    assert {job.kind for job in claimed} == {"a", "c"}
    assert queue.next_due(kinds=["a", "c"]) == NOW + LEASE
    assert queue.next_due(kinds=["b"]) == NOW
    assert queue.next_due(kinds=["d"]) is None
    assert queue.next_due(kinds=[]) is None
    assert queue.claim("worker", kinds=[], limit=10, lease=LEASE, now=NOW) == ()


def test_the_longest_due_come_first_and_no_more_than_asked_for(database: SqlDatabase, queue: SqlJobQueue) -> None:
    for number in (3, 1, 4, 2):
        _enqueue(database, number, run_at=NOW + number * SECOND)

    first = _claim(queue, limit=2, now=NOW + 10 * SECOND)
    rest = _claim(queue, limit=10, now=NOW + 10 * SECOND)

    assert sorted(job.id for job in first) == [uuid_text(1), uuid_text(2)]
    assert sorted(job.id for job in rest) == [uuid_text(3), uuid_text(4)]


def test_accounts_can_be_passed_over(database: SqlDatabase, queue: SqlJobQueue) -> None:
    with database.write() as tx:
        for number, account_id in enumerate([ACME, None, AccountId("other")]):
            tx.jobs.enqueue("work", {}, job_id=JobId(str(number)), now=NOW, account_id=account_id)

    others = queue.claim("worker", kinds=["work"], limit=10, lease=LEASE, now=NOW, passing_over={ACME})
    rest = queue.claim("worker", kinds=["work"], limit=10, lease=LEASE, now=NOW)

    assert sorted(job.id for job in others) == ["1", "2"]
    assert [job.account_id for job in rest] == [ACME]


def test_an_unfinished_job_keeps_its_twin_out(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1, dedupe_key="asset-1")
    _enqueue(database, 2, dedupe_key="asset-1")
    (job,) = _claim(queue)
    _enqueue(database, 3, dedupe_key="asset-1")
    _enqueue(database, 4, dedupe_key="asset-2")
    with database.write() as tx:
        tx.jobs.enqueue("other", {}, job_id=JobId("other"), now=NOW, dedupe_key="asset-1")

    assert [other.id for other in _claim(queue)] == [uuid_text(4)]
    with database.write() as tx:
        tx.fenced.finish(job)
    _enqueue(database, 5, dedupe_key="asset-1")
    assert [other.id for other in _claim(queue)] == [uuid_text(5)]


def test_concurrent_twins_make_one_job(database: SqlDatabase, queue: SqlJobQueue) -> None:
    barrier = threading.Barrier(10)

    def enqueue(number: int) -> None:
        barrier.wait()
        _enqueue(database, number, dedupe_key="asset-1")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(enqueue, range(10)))

    assert len(_claim(queue, limit=10)) == 1


# --- leases


def test_two_workers_share_the_jobs_and_none_is_taken_twice(database: SqlDatabase, queue: SqlJobQueue) -> None:
    with database.write() as tx:
        for number in range(60):
            _enqueue_in(tx.jobs.enqueue, number)
    barrier = threading.Barrier(2)

    def take_all(owner: str) -> list[str]:
        barrier.wait()
        taken: list[str] = []
        while jobs := queue.claim(owner, kinds=[KIND], limit=3, lease=LEASE, now=NOW):
            assert len(jobs) <= 3
            taken += [job.id for job in jobs]
        return taken

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(take_all, ["one", "other"])

    assert len(one) + len(other) == 60
    assert len({*one, *other}) == 60


def test_a_job_whose_lease_ran_out_goes_to_another_worker(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1)
    (first,) = _claim(queue, owner="one")
    assert queue.next_due(kinds=[KIND]) == NOW + LEASE

    assert _claim(queue, owner="other", now=NOW + LEASE - SECOND) == []
    (second,) = _claim(queue, owner="other", now=NOW + LEASE)

    assert (second.id, second.owner, second.attempt, second.failures) == (first.id, "other", 2, 1)


def test_a_heartbeat_keeps_the_lease(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1)
    (job,) = _claim(queue)

    for beat in range(1, 20):
        assert queue.heartbeat(job, lease=LEASE, now=NOW + beat * HEARTBEAT)
        assert _claim(queue, owner="other", now=NOW + beat * HEARTBEAT) == []


@pytest.mark.parametrize(
    "write",
    [
        lambda fenced, job: fenced.checkpoint(job, "fetch", {"late": True}),
        lambda fenced, job: fenced.finish(job),
        lambda fenced, job: fenced.retry(job, run_at=NOW, error="late"),
        lambda fenced, job: fenced.postpone(job, run_at=NOW, error="late"),
        lambda fenced, job: fenced.bury(job, error="late"),
    ],
    ids=["checkpoint", "finish", "retry", "postpone", "bury"],
)
def test_a_worker_that_lost_its_lease_learns_it_and_can_write_nothing(  # F25
    database: SqlDatabase, queue: SqlJobQueue, write: Callable[[FencedJob, Job], object]
) -> None:
    _enqueue(database, 1)
    (late,) = _claim(queue, owner="late")
    (current,) = _claim(queue, owner="current", now=NOW + LEASE)

    assert not queue.heartbeat(late, lease=LEASE, now=NOW + LEASE)
    with pytest.raises(LeaseLostError), database.write() as tx:  # noqa: PT012 - the block is what fails
        tx.events.add(ACME, "subject", EventKind.RUN_LOG, {}, now=NOW)
        write(tx.fenced, late)

    with database.write() as tx:
        assert tx.events.after(ACME, "subject", 0, limit=10) == []
        assert tx.fenced.checkpoint(current, "fetch", {}).step == "fetch"
        tx.fenced.finish(current)


def test_a_lease_that_ran_out_unnoticed_is_still_good_for_writing(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1)
    (job,) = _claim(queue)

    assert queue.heartbeat(job, lease=LEASE, now=NOW + HOUR)
    with database.write() as tx:
        tx.fenced.finish(job)

    assert _claim(queue, now=NOW + DAY) == []


def test_a_finished_job_cannot_be_finished_again(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1)
    (job,) = _claim(queue)
    with database.write() as tx:
        tx.fenced.finish(job)

    assert not queue.heartbeat(job, lease=LEASE, now=NOW)
    with pytest.raises(LeaseLostError), database.write() as tx:
        tx.fenced.finish(job)


def test_the_jobs_of_a_process_that_is_gone_are_ready_at_once(database: SqlDatabase, queue: SqlJobQueue) -> None:
    for number in range(3):
        _enqueue(database, number)
    (gone,) = _claim(queue, owner="host-1/7/a", limit=1)
    (also_gone,) = _claim(queue, owner="host-1/7/b", limit=1)
    (alive,) = _claim(queue, owner="host-1/77/a", limit=1)

    assert queue.release("host-1/7/", now=NOW + SECOND) == 2
    assert queue.release("%", now=NOW + SECOND) == 0

    again = _claim(queue, owner="host-1/8/a", limit=10, now=NOW + SECOND)
    assert {job.id for job in again} == {gone.id, also_gone.id}
    assert {(job.attempt, job.failures) for job in again} == {(2, 1)}
    with pytest.raises(LeaseLostError), database.write() as tx:
        tx.fenced.finish(gone)
    with database.write() as tx:
        tx.fenced.finish(alive)


# --- steps


def test_a_checkpoint_is_what_the_next_attempt_begins_with(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1)
    (job,) = _claim(queue)
    with database.write() as tx:
        after = tx.fenced.checkpoint(job, "fetch", {"etag": "abc", "parts": [1, 2]})
    assert (after.step, after.state, after.attempt) == ("fetch", {"etag": "abc", "parts": [1, 2]}, job.attempt)

    (again,) = _claim(queue, now=NOW + LEASE)

    assert (again.step, again.state) == ("fetch", {"etag": "abc", "parts": [1, 2]})


def test_a_checkpoint_stands_only_with_its_transaction(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1)
    (job,) = _claim(queue)

    with pytest.raises(ZeroDivisionError), database.write() as tx:  # noqa: PT012 - the block is what fails
        tx.fenced.checkpoint(job, "fetch", {})
        _ = 1 / 0

    (again,) = _claim(queue, now=NOW + LEASE)
    assert again.step == ""


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_a_job_ends_the_same_with_each_effect_once(  # F24
    database: SqlDatabase, database_url: str, queue: SqlJobQueue, point: str
) -> None:
    _enqueue(database, 1)

    killed = _run_worker(database_url, "first", point)
    for job in _claim(queue, owner="second", now=NOW + LEASE + 2 * SECOND):
        work(database, job)

    assert killed == -signal.SIGKILL
    with database.read() as tx:
        told = tx.events.after(ACME, uuid_text(1), 0, limit=100)
    assert [event.data for event in told] == [*({"step": step} for step in STEPS), {"seen": list(STEPS)}]
    assert [event.number for event in told] == [1, 2, 3, 4]
    assert queue.next_due(kinds=[KIND]) is None


# --- failures


def test_a_failed_job_comes_back_when_it_is_told_to_from_its_last_step(
    database: SqlDatabase, queue: SqlJobQueue
) -> None:
    _enqueue(database, 1)
    (job,) = _claim(queue)
    with database.write() as tx:
        tx.fenced.retry(tx.fenced.checkpoint(job, "fetch", {"n": 1}), run_at=NOW + HOUR, error="no answer \0")

    assert _claim(queue, now=NOW + HOUR - SECOND) == []
    (again,) = _claim(queue, now=NOW + HOUR)

    assert (again.step, again.state, again.attempt, again.failures) == ("fetch", {"n": 1}, 2, 1)
    with pytest.raises(LeaseLostError), database.write() as tx:
        tx.fenced.finish(job)


def test_a_postponed_job_comes_back_without_a_failure_of_its_own(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1)
    (job,) = _claim(queue)
    with database.write() as tx:
        tx.fenced.postpone(tx.fenced.checkpoint(job, "fetch", {"n": 1}), run_at=NOW + HOUR, error="no answer")

    assert _claim(queue, now=NOW + HOUR - SECOND) == []
    (again,) = _claim(queue, now=NOW + HOUR)

    assert (again.step, again.state, again.attempt, again.failures) == ("fetch", {"n": 1}, 2, 0)


def test_a_job_that_kills_its_workers_is_buried_and_can_be_driven_again(
    database: SqlDatabase, queue: SqlJobQueue
) -> None:
    _enqueue(database, 1, dedupe_key="poison")
    now, deaths = NOW, 0
    while (job := _claim_one(queue, now=now)) and job.failures < MAX_ATTEMPTS:
        deaths += 1
        now += LEASE
    assert job is not None
    with database.write() as tx:
        tx.fenced.bury(job, error="its workers die " * 1000)

    assert deaths == MAX_ATTEMPTS
    assert queue.next_due(kinds=[KIND]) is None
    assert _claim(queue, now=now + DAY) == []
    (dead,) = queue.dead(limit=10)
    assert (dead.id, dead.attempt) == (job.id, MAX_ATTEMPTS + 1)

    assert queue.redrive(dead.id, now=now)
    assert not queue.redrive(dead.id, now=now)
    again = _claim_one(queue, now=now)
    assert again is not None
    assert (again.attempt, again.failures) == (MAX_ATTEMPTS + 2, 0)
    assert queue.dead(limit=10) == []


def test_a_buried_job_keeps_its_step_and_lets_its_twin_in(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1, dedupe_key="asset-1")
    (job,) = _claim(queue)
    with database.write() as tx:
        tx.fenced.bury(tx.fenced.checkpoint(job, "fetch", {"n": 1}), error="broken")
    _enqueue(database, 2, dedupe_key="asset-1")

    assert [(dead.step, dead.state) for dead in queue.dead(limit=10)] == [("fetch", {"n": 1})]
    assert not queue.redrive(job.id, now=NOW)  # its twin does the work
    (twin,) = _claim(queue)
    with database.write() as tx:
        tx.fenced.finish(twin)
    assert queue.redrive(job.id, now=NOW)
    assert not queue.redrive("unknown", now=NOW)


def test_the_last_buried_is_listed_first(database: SqlDatabase, queue: SqlJobQueue) -> None:
    for number in range(3):
        _enqueue(database, number)
        (job,) = _claim(queue, now=NOW + number * SECOND)
        with database.write() as tx:
            tx.fenced.bury(job, error="broken")

    assert [job.id for job in queue.dead(limit=2)] == [uuid_text(2), uuid_text(1)]


# --- clocks


def test_after_a_jump_forward_a_job_is_delivered_again_and_ends_once(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1)
    (early,) = _claim(queue, owner="early")

    (late,) = _claim(queue, owner="late", now=NOW + 25 * HOUR)
    with pytest.raises(LeaseLostError):
        work(database, early)
    work(database, late)

    with database.read() as tx:
        assert len(tx.events.after(ACME, uuid_text(1), 0, limit=10)) == len(STEPS) + 1


@pytest.mark.parametrize("restarted", [False, True], ids=["the same process", "a new process"])
def test_after_a_jump_back_no_job_waits_for_the_old_time(
    database: SqlDatabase, queue: SqlJobQueue, restarted: bool
) -> None:
    future = NOW + 25 * HOUR
    _enqueue(database, 1, now=future)
    _enqueue(database, 2, now=future)
    _enqueue(database, 3, now=future, run_at=future + HOUR)
    (dead_workers,) = _claim(queue, now=future, limit=1)
    queue = SqlJobQueue(database) if restarted else queue

    at_once = _claim(queue, now=NOW)
    after_the_lease = _claim(queue, now=NOW + LEASE)
    after_the_delay = _claim(queue, now=NOW + HOUR)

    assert len(at_once) == 1
    assert [job.id for job in after_the_lease if job.id == dead_workers.id] == [dead_workers.id]
    assert uuid_text(3) not in {job.id for job in after_the_lease}
    assert uuid_text(3) in {job.id for job in after_the_delay}


def test_after_a_jump_back_a_worker_that_lives_keeps_its_job(database: SqlDatabase, queue: SqlJobQueue) -> None:
    future = NOW + 25 * HOUR
    _enqueue(database, 1, now=future)
    (job,) = _claim(queue, owner="alive", now=future)

    assert _claim(queue, owner="other", now=NOW) == []
    assert queue.heartbeat(job, lease=LEASE, now=NOW + HEARTBEAT)
    assert _claim(queue, owner="other", now=NOW + LEASE) == []
    assert len(_claim(queue, owner="other", now=NOW + LEASE + HEARTBEAT)) == 1


def test_clocks_that_differ_a_little_change_nothing(database: SqlDatabase, queue: SqlJobQueue) -> None:
    _enqueue(database, 1, now=NOW + 30 * SECOND)

    assert _claim(queue, now=NOW) == []
    assert len(_claim(queue, now=NOW + 30 * SECOND)) == 1


# --- schedules


def test_a_schedule_is_taken_by_one_of_twenty(queue: SqlJobQueue) -> None:
    barrier = threading.Barrier(20)

    def take(_: int) -> bool:
        barrier.wait()
        return queue.claim_schedule("sweep", every=HOUR, now=NOW)

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(take, range(20)))

    assert outcomes.count(True) == 1


def test_a_schedule_comes_round_once_per_period(queue: SqlJobQueue) -> None:
    assert queue.claim_schedule("sweep", every=HOUR, now=NOW)
    assert not queue.claim_schedule("sweep", every=HOUR, now=NOW + HOUR - SECOND)
    assert queue.claim_schedule("billing", every=DAY, now=NOW)
    assert queue.claim_schedule("sweep", every=HOUR, now=NOW + HOUR)
    assert not queue.claim_schedule("sweep", every=HOUR, now=NOW + HOUR)
    assert queue.claim_schedule("sweep", every=HOUR, now=NOW + 100 * HOUR)
    assert not queue.claim_schedule("sweep", every=HOUR, now=NOW + 100 * HOUR)


def test_a_schedule_survives_a_jump_back(queue: SqlJobQueue) -> None:
    assert queue.claim_schedule("sweep", every=HOUR, now=NOW + 25 * HOUR)

    assert queue.claim_schedule("sweep", every=HOUR, now=NOW)
    assert not queue.claim_schedule("sweep", every=HOUR, now=NOW)


# --- across processes


def test_a_job_of_another_process_wakes_a_waiting_worker(
    database: SqlDatabase, database_url: str, queue: SqlJobQueue
) -> None:
    changes = database.changes()
    other = _start(
        "from penstock.adapters.db.database import open_database\n"
        "from tests.support.records import NOW\n"
        f"with open_database({database_url!r}).write() as tx:\n"
        f"    tx.jobs.enqueue({KIND!r}, {{}}, job_id='job', now=NOW)\n"
    )

    due = None
    while due is None and changes.wait(LONG):
        due = queue.next_due(kinds=[KIND])
    other.communicate(timeout=60)
    changes.close()

    assert due == NOW


def _enqueue(  # one job per transaction
    database: SqlDatabase,
    number: int,
    *,
    now: datetime = NOW,
    run_at: datetime | None = None,
    dedupe_key: str | None = None,
) -> None:
    with database.write() as tx:
        _enqueue_in(tx.jobs.enqueue, number, now=now, run_at=run_at, dedupe_key=dedupe_key)


def _enqueue_in(
    enqueue: Callable[..., None],
    number: int,
    *,
    now: datetime = NOW,
    run_at: datetime | None = None,
    dedupe_key: str | None = None,
) -> None:
    payload = {"subject": uuid_text(number)}
    enqueue(KIND, payload, job_id=JobId(uuid_text(number)), now=now, run_at=run_at, dedupe_key=dedupe_key)


def _claim(queue: SqlJobQueue, *, owner: str = "worker", limit: int = 10, now: datetime = NOW) -> list[Job]:
    return list(queue.claim(owner, kinds=[KIND], limit=limit, lease=LEASE, now=now))


def _claim_one(queue: SqlJobQueue, *, now: datetime) -> Job | None:
    jobs: Sequence[Job] = _claim(queue, limit=1, now=now)
    return jobs[0] if jobs else None


def _run_worker(url: str, owner: str, point: str) -> int:
    command = [sys.executable, "-m", "tests.conformance.job_worker", url, owner, point]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode


def _start(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
