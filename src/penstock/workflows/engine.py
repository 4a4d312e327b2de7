"""The worker: claims jobs, keeps their leases alive, runs each in its flow, and decides what a failure means.

A flow finishes its own job inside the transaction of its last effect. Whatever it raises is a retry or, after too many,
an end that the flow itself gives its subject (`give_up`) before the job is parked. A lost lease is silent: the work is
another's. An attempt that a planned stop interrupts is no failure: it hands its job back.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from penstock.domain.errors import PenstockError, Unavailable
from penstock.domain.jobs import HEARTBEAT, LEASE, MAX_ATTEMPTS, outages, retry_delay
from penstock.ports.jobs import AttemptInterruptedError, LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from penstock.domain.ids import AccountId
    from penstock.domain.jobs import Job
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Changes, Database
    from penstock.ports.jobs import JobQueue
    from penstock.telemetry import Log

_IDLE_WAIT = timedelta(seconds=1)
_MAX_OUTAGES = 240
"""Attempts that met an outage of something behind them: not the job's fault, so it gets an hour."""
_OUTAGE_DELAY = timedelta(seconds=15)
"""The longest pause between looks whether an outage is over: nobody shall wait long for what works again."""
_MOST_SERVED = 1000
"""Accounts that are passed over at most: each is a parameter of the statement that claims."""
_SWEEPERS = 2
"""Threads for schedules: one that hangs shall not keep all others waiting, and none may take a job's place."""


class Flow(Protocol):
    """One kind of durable work."""

    def run(self, job: Job) -> None:
        """Go on from the job's last checkpoint to its end, finishing the job included. Every step may run twice.

        Raises `AttemptInterruptedError` once the worker's `interrupt` is set and there is much left to do.
        """
        ...

    def give_up(self, job: Job, reason: str) -> None:
        """End the subject for good (the flow's last words to it) and bury the job, in one transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Work done every so often by one worker at a time. `act` returns how many things it did, for the log."""

    name: str
    every: timedelta
    act: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Of a worker that stops, in seconds: for attempts to end by themselves, and then, interrupted, to let go.

    Both together are less than a supervisor waits before it kills.
    """

    to_end: float = 6.0
    to_let_go: float = 3.0


class Worker:
    """Runs flows until told to stop. It sets `interrupt` when attempts shall no longer go on."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        database: Database,
        queue: JobQueue,
        flows: Mapping[str, Flow],
        schedules: Sequence[Schedule],
        *,
        open_changes: Callable[[], Changes],
        clock: Clock,
        entropy: Entropy,
        log: Log,
        owner: str,
        concurrency: int,
        interrupt: threading.Event,
        patience: Patience | None = None,
        by_turns: bool = False,
    ) -> None:
        """`by_turns`: an account's next job comes after one of each other account that waits, however old it is."""
        self._database = database
        self._queue = queue
        self._flows = flows
        self._schedules = schedules
        self._open_changes = open_changes
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self._owner = owner
        self._concurrency = concurrency
        self._interrupt = interrupt
        self._patience = patience or Patience()
        self._by_turns = by_turns
        self._served: set[AccountId] = set()
        self._lock = threading.Lock()
        self._running: dict[str, Job] = {}
        self._acting: set[str] = set()
        self._freed = threading.Event()

    def serve(self, stop: threading.Event, *, ready: Callable[[], None]) -> None:
        """Work until `stop` is set; then let what is running end, or hand it back without a failure. Blocks."""
        heartbeat_stop = threading.Event()
        heartbeat = threading.Thread(target=self._keep_leases, args=(heartbeat_stop,), name="heartbeat", daemon=True)
        heartbeat.start()
        changes = self._open_changes()
        ready()
        try:
            jobs = ThreadPoolExecutor(self._concurrency, thread_name_prefix="job")
            sweeps = ThreadPoolExecutor(_SWEEPERS, thread_name_prefix="sweep")
            while not stop.is_set():
                try:
                    self._round(jobs, sweeps, changes, stop)
                except PenstockError as error:
                    self._log("worker.failed", error=error.code)
                    stop.wait(_IDLE_WAIT.total_seconds())
            sweeps.shutdown(wait=False, cancel_futures=True)
            stuck = self._let_go()
            jobs.shutdown(wait=not stuck)
            sweeps.shutdown(wait=not stuck)
        finally:
            heartbeat_stop.set()
            heartbeat.join()
            changes.close()

    def drain(self, *, limit: int = 1000) -> int:
        """Run due jobs one after another in this thread until none is due; returns how many. For tests and tools."""
        for count in range(limit):
            jobs = self._claim(1)
            if not jobs:
                return count
            self._execute(jobs[0])
        return limit

    def _round(
        self, pool: ThreadPoolExecutor, sweeps: ThreadPoolExecutor, changes: Changes, stop: threading.Event
    ) -> None:
        self._freed.clear()
        for schedule in self._schedules:
            if schedule.name not in self._acting and self._queue.claim_schedule(
                schedule.name, every=schedule.every, now=self._clock.now()
            ):
                self._acting.add(schedule.name)
                sweeps.submit(self._act, schedule)
        free = self._concurrency - len(self._running)
        jobs = self._claim(free) if free > 0 else ()
        for job in jobs:
            pool.submit(self._execute, job)
        if not jobs or len(jobs) == free:
            self._sleep(changes, stop)

    def _claim(self, limit: int) -> Sequence[Job]:
        jobs = self._claim_next() if self._by_turns else self._claim_due(limit)
        with self._lock:
            self._running.update({job.id: job for job in jobs})
        return jobs

    def _claim_next(self) -> Sequence[Job]:
        """One job of an account that was not served since all others were."""
        jobs = self._claim_due(1, passing_over=self._served)
        if not jobs and self._served:
            self._served.clear()
            jobs = self._claim_due(1)
        if len(self._served) >= _MOST_SERVED:
            self._served.clear()
        self._served.update(job.account_id for job in jobs if job.account_id is not None)
        return jobs

    def _claim_due(self, limit: int, *, passing_over: Collection[AccountId] = ()) -> Sequence[Job]:
        kinds, now = tuple(self._flows), self._clock.now()
        return self._queue.claim(self._owner, kinds=kinds, limit=limit, lease=LEASE, now=now, passing_over=passing_over)

    def _sleep(self, changes: Changes, stop: threading.Event) -> None:
        """Until something commits, a job comes due, or a second has passed. A full worker waits for a free place."""
        if len(self._running) >= self._concurrency:
            self._freed.wait(_IDLE_WAIT.total_seconds())
            return
        due = self._queue.next_due(kinds=tuple(self._flows))
        wait = min(_IDLE_WAIT, max(timedelta(0), due - self._clock.now())) if due is not None else _IDLE_WAIT
        if wait > timedelta(0) and not stop.is_set():
            changes.wait(wait)

    def _let_go(self) -> bool:
        """End, or interrupt, what is running; in the end hand back the jobs of those that do not listen, and tell."""
        if self._is_idle(within=self._patience.to_end):
            return False
        self._interrupt.set()
        if self._is_idle(within=self._patience.to_let_go):
            return False
        with self._lock:
            jobs = list(self._running.values())
        for job in jobs:
            self._failed(job, AttemptInterruptedError())
        return True

    def _is_idle(self, *, within: float) -> bool:
        deadline = time.monotonic() + within
        while self._running:
            self._freed.clear()
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._running:
                self._freed.wait(left)
        return True

    def _act(self, schedule: Schedule) -> None:
        try:
            count = schedule.act()
        except Exception as error:  # noqa: BLE001 - nobody looks at this thread's result; the next turn tries again
            self._log("worker.failed", error=_name(error))
            return
        finally:
            self._acting.discard(schedule.name)
        if count:
            self._log("sweep.removed", what=schedule.name, count=count)

    def _execute(self, job: Job) -> None:
        try:
            if job.failures >= MAX_ATTEMPTS:  # the last attempts did not live to say so: poison
                self._give_up(job, f"interrupted in attempt {job.attempt - 1}")
            else:
                self._flows[job.kind].run(job)
        except LeaseLostError:
            self._log("job.lost", job_id=job.id, kind=job.kind)
        except Exception as error:  # noqa: BLE001 - whatever a flow raises becomes a retry or an end, never a dead worker
            self._failed(job, error)
        finally:
            with self._lock:
                self._running.pop(job.id, None)
            self._freed.set()

    def _failed(self, job: Job, error: Exception) -> None:
        reason = error.message if isinstance(error, PenstockError) else f"internal error ({type(error).__name__})"
        if isinstance(error, AttemptInterruptedError):
            reason = "interrupted by a stop of the server"
        try:
            if isinstance(error, Unavailable | AttemptInterruptedError):
                self._postpone(job, reason)
            else:
                self._retry(job, reason)
        except LeaseLostError:
            self._log("job.lost", job_id=job.id, kind=job.kind)
        except Exception as failure:  # noqa: BLE001 - the lease will run out, and the job comes back
            self._log("worker.failed", error=_name(failure))

    def _retry(self, job: Job, reason: str) -> None:
        failures = job.failures + 1
        if failures >= MAX_ATTEMPTS:
            self._give_up(job, reason)
            return
        with self._database.write() as tx:
            tx.fenced.retry(job, run_at=self._clock.now() + self._delay(failures), error=reason)
        self._log("job.retried", job_id=job.id, kind=job.kind, failures=failures, error=reason)

    def _postpone(self, job: Job, reason: str) -> None:
        tries = outages(job)
        if tries >= _MAX_OUTAGES:
            self._give_up(job, reason)
            return
        with self._database.write() as tx:
            tx.fenced.postpone(job, run_at=self._clock.now() + min(self._delay(tries), _OUTAGE_DELAY), error=reason)
        self._log("job.retried", job_id=job.id, kind=job.kind, failures=job.failures, error=reason)

    def _give_up(self, job: Job, reason: str) -> None:
        self._flows[job.kind].give_up(job, reason)
        self._log("job.buried", job_id=job.id, kind=job.kind, error=reason)

    def _delay(self, tries: int) -> timedelta:
        return retry_delay(tries, jitter=self._entropy.random_bytes(1)[0] / 256)

    def _keep_leases(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT.total_seconds()):
            with self._lock:
                jobs = list(self._running.values())
            for job in jobs:
                try:
                    self._queue.heartbeat(job, lease=LEASE, now=self._clock.now())
                except Exception as error:  # noqa: BLE001 - without this thread every lease would run out
                    self._log("worker.failed", error=_name(error))


def _name(error: Exception) -> str:
    return error.code if isinstance(error, PenstockError) else type(error).__name__
