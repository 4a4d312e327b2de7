"""Jobs: work that outlives a request, as a row with named steps. When to try again, and when to give up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.ids import AccountId, JobId

LEASE = timedelta(seconds=60)
HEARTBEAT = timedelta(seconds=15)
MAX_ATTEMPTS = 8
_FIRST_DELAY = 1.0
_LARGEST_DELAY = 600.0
_RESTS = "rests"
_MAX_DOUBLINGS = 16
"""More would pass the largest delay, and at last the range of a float."""


class JobState(StrEnum):
    """Where a job stands. `dead` jobs wait for an operator."""

    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"


JobData = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as claimed.

    `attempt` is the fencing token: it grows with each claim, and a write with an old one is refused.
    `step` is the last checkpoint's name (empty before the first) and `state` what that step recorded.
    """

    id: JobId
    kind: str
    payload: JobData
    account_id: AccountId | None
    step: str
    state: JobData
    attempt: int
    failures: int
    owner: str
    lease_until: datetime


def rested(job: Job) -> JobData:
    """The state of a job that its flow lets rest, with nothing wrong: such attempts are counted, as no outage."""
    return {**job.state, _RESTS: _rests(job) + 1}


def outages(job: Job) -> int:
    """How many attempts ended because something behind the job did not answer."""
    return job.attempt - job.failures - _rests(job)


def _rests(job: Job) -> int:
    return int(str(job.state.get(_RESTS, 0)))


def retry_delay(failures: int, *, jitter: float) -> timedelta:
    """How long to wait after the n-th failure: doubling from 1 s to 10 min, times 0.5–1.5 by `jitter` in [0, 1)."""
    doublings = min(max(0, failures - 1), _MAX_DOUBLINGS)
    return timedelta(seconds=min(_FIRST_DELAY * 2**doublings, _LARGEST_DELAY) * (0.5 + jitter))
