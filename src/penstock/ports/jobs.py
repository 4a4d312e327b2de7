"""Delivering jobs: "run this" at least once, to one worker at a time. Correctness lives in the rows (step, token)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime, timedelta

    from penstock.domain.ids import AccountId, JobId
    from penstock.domain.jobs import Job, JobData


class AttemptInterruptedError(Exception):
    """The attempt was stopped from outside, for no reason of the job's own: it is to be made again."""


class JobQueue(Protocol):
    """The worker's side of the queue. Each call is a transaction of its own. All may raise `DatabaseUnavailable`."""

    def claim(
        self,
        owner: str,
        *,
        kinds: Sequence[str],
        limit: int,
        lease: timedelta,
        now: datetime,
        passing_over: Collection[AccountId] = (),
    ) -> Sequence[Job]:
        """Take ready jobs that are due, and leased ones whose lease has run out; each with its attempt counted up.

        Those of the accounts in `passing_over` are left alone.
        """
        ...

    def heartbeat(self, job: Job, *, lease: timedelta, now: datetime) -> bool:
        """Extend the lease; False when another worker has the job."""
        ...

    def release(self, owner_prefix: str, *, now: datetime) -> int:
        """Make every job leased by an owner whose name begins so ready at once (its process is known to be gone)."""
        ...

    def next_due(self, *, kinds: Sequence[str]) -> datetime | None:
        """When the next job can be claimed (a ready one comes due, or a lease runs out); None when there is none."""
        ...

    def claim_schedule(self, name: str, *, every: timedelta, now: datetime) -> bool:
        """True for exactly one caller per period (compare-and-set on the schedule's next time)."""
        ...

    def dead(self, *, limit: int) -> Sequence[Job]:
        """Buried jobs, newest first."""
        ...

    def redrive(self, job_id: str, *, now: datetime) -> bool:
        """Make a buried job ready again, from its last checkpoint; False when it is not buried."""
        ...


class JobRepository(Protocol):
    """Putting jobs in; they start only when this transaction has committed."""

    def enqueue(  # noqa: PLR0913 - the columns of a job
        self,
        kind: str,
        payload: JobData,
        *,
        job_id: JobId,
        now: datetime,
        run_at: datetime | None = None,
        dedupe_key: str | None = None,
        account_id: AccountId | None = None,
    ) -> None:
        """Add a job, unless an unfinished one of this kind has the same `dedupe_key`."""
        ...

    def wake(self, kind: str, dedupe_keys: Iterable[str], *, now: datetime) -> None:
        """Let those of these jobs that rest come due at once; one that somebody is changing just now is left alone."""
        ...


class FencedJob(Protocol):
    """A worker's own writes about its job, inside the transaction of their effect. All raise `LeaseLostError`."""

    def checkpoint(self, job: Job, step: str, state: JobData) -> Job:
        """Record that a step is done and what it found; returns the job as it now stands."""
        ...

    def finish(self, job: Job) -> None:
        """The job is done."""
        ...

    def retry(self, job: Job, *, run_at: datetime, error: str) -> None:
        """Failed; try again later from the last checkpoint."""
        ...

    def postpone(self, job: Job, *, run_at: datetime, error: str) -> None:
        """Something behind the job does not answer: like `retry`, but no failure of the job's own."""
        ...

    def bury(self, job: Job, *, error: str) -> None:
        """Failed for good; parked for an operator."""
        ...


class LeaseLostError(Exception):
    """Another worker has taken the job over: whatever this one was about to write must not happen (fencing)."""
