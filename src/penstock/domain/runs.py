"""Runs: a request to a model, from the queue to its end. Cancellation is a wish that a running attempt takes up.

queued ──start──▶ running ──succeed──▶ succeeded
   │                 ├─fail──────────▶ failed
   ├─cancel─▶ cancelled ◀─cancel──────┤
   └─fail───▶ failed                  (running may start again: a worker died)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.errors import InvalidField, RunNotFinished, RunNotFound
from penstock.domain.ids import AssetId
from penstock.domain.lifecycles import advance

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from penstock.domain.ids import AccountId, RunId

ASSET_MARK = "$asset"
"""In a stored output, `{"$asset": "<asset id>"}` stands for a file that the run made; dialects render it."""
_MAX_METADATA_KEYS = 16
_MAX_METADATA_KEY = 64
_MAX_METADATA_VALUE = 512


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunEvent(StrEnum):
    """What can happen to a run."""

    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"


class RunFault(StrEnum):
    """Why a run failed: by its model, or by the server; for want of a runner, of time, or of a file it was given."""

    MODEL = "model"
    SERVER = "server"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    INPUT = "input"


RUN_TABLE: Mapping[tuple[RunState, RunEvent], RunState] = {
    (RunState.QUEUED, RunEvent.START): RunState.RUNNING,
    (RunState.QUEUED, RunEvent.FAIL): RunState.FAILED,
    (RunState.QUEUED, RunEvent.CANCEL): RunState.CANCELLED,
    (RunState.RUNNING, RunEvent.START): RunState.RUNNING,
    (RunState.RUNNING, RunEvent.SUCCEED): RunState.SUCCEEDED,
    (RunState.RUNNING, RunEvent.FAIL): RunState.FAILED,
    (RunState.RUNNING, RunEvent.CANCEL): RunState.CANCELLED,
}
FINISHED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run.

    `files` maps the canonical name of each file field to the asset that its value was resolved to. `model` is the slug
    the caller used; `runner_model` is what its runner calls it. `held` and `cost` are Decimal USD. `progress` is what
    the running attempt said last, 0.0 to 1.0. A run that has not ended by `deadline_at` fails. Its owner may remove
    what went in and came out (`payloads_deleted_at`: the row stays) or all of it (`deleted_at`: nobody finds it).
    `client_ref` is what its caller calls it; `callback_url` is told of the moments `callback_on`
    (`domain.webhooks.Moment`).
    """

    id: RunId
    account_id: AccountId
    dialect: str
    model: str
    runner: str
    runner_model: str
    state: RunState
    inputs: Mapping[str, object]
    values: Mapping[str, object]
    files: Mapping[str, AssetId]
    metadata: Mapping[str, object]
    output: object | None
    error: str | None
    fault: RunFault | None = None
    held: Decimal
    cost: Decimal | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: float | None = None
    deadline_at: datetime | None = None
    deleted_at: datetime | None = None
    payloads_deleted_at: datetime | None = None
    callback_url: str | None = None
    callback_on: tuple[str, ...] = ()
    client_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What a history shall show: runs that stand so (None: any state and fault), of this model, with these metadata."""

    stands: frozenset[tuple[RunState, RunFault | None]] | None = None
    model: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands, without what went in and what came out."""

    id: RunId
    state: RunState
    created_at: datetime


HISTORY = 10_000
"""A history looks at so many of an account's newest runs, and no further (P9)."""


def started(run: Run, *, now: datetime) -> Run:
    """The run when an attempt begins; the first start counts. Raises `IllegalTransition`."""
    return replace(run, state=_next(run, RunEvent.START), started_at=run.started_at or now, progress=None)


def succeeded(run: Run, *, output: object, cost: Decimal, now: datetime) -> Run:
    """The run with its output. Raises `IllegalTransition`."""
    return replace(run, state=_next(run, RunEvent.SUCCEED), output=output, cost=cost, finished_at=now)


def failed(run: Run, *, error: str, now: datetime, fault: RunFault = RunFault.MODEL) -> Run:
    """The run that ended without a result. Raises `IllegalTransition`."""
    return replace(run, state=_next(run, RunEvent.FAIL), error=error, fault=fault, finished_at=now)


def cancelled(run: Run, *, now: datetime) -> Run:
    """The run that ended because its owner asked. Raises `IllegalTransition`."""
    return replace(run, state=_next(run, RunEvent.CANCEL), finished_at=now)


def cancel_wanted(run: Run, *, now: datetime) -> Run:
    """The run after a cancel request: at once over while queued, marked while running, unchanged when finished."""
    if run.state is RunState.QUEUED:
        return cancelled(run, now=now)
    if run.state is RunState.RUNNING:
        return replace(run, cancel_requested=True)
    return run


def without_payloads(run: Run, *, now: datetime) -> Run:
    """The run after its inputs, outputs and error text were removed; the first time counts.

    Raises `RunNotFinished`.
    """
    require_finished(run)
    if run.payloads_deleted_at is not None:
        return run
    return replace(run, inputs={}, values={}, files={}, output=None, error=None, payloads_deleted_at=now)


def deleted(run: Run, *, now: datetime) -> Run:
    """The run that its owner removed; of one that has not ended the payloads go when it does."""
    removed = without_payloads(run, now=now) if is_finished(run) else run
    return replace(removed, deleted_at=run.deleted_at or now)


def require_there(run: Run) -> None:
    """Raises `RunNotFound` when its owner removed it."""
    if run.deleted_at is not None:
        raise RunNotFound(run.id)


def is_overdue(run: Run, *, now: datetime) -> bool:
    """Whether the run has not ended although it must have."""
    return not is_finished(run) and run.deadline_at is not None and now >= run.deadline_at


def overdue(run: Run, *, now: datetime) -> Run:
    """The run after its time was over. Raises `IllegalTransition`."""
    return failed(run, error=overdue_message(run), now=now, fault=RunFault.TIMEOUT)


def overdue_message(run: Run) -> str:
    """What is said of a run whose time was over."""
    seconds = (run.deadline_at - run.created_at).total_seconds() if run.deadline_at is not None else 0
    return f"the run did not end within {seconds:.0f} s"


def progress_of(run: Run) -> float | None:
    """How far it is, as people are told: all of it where it succeeded, whatever its last attempt said before."""
    return 1.0 if run.state is RunState.SUCCEEDED else run.progress


def is_finished(run: Run) -> bool:
    """Whether the run has ended, in whatever way."""
    return run.state in FINISHED


def require_finished(run: Run) -> None:
    """Raises `RunNotFinished` before the run's end."""
    if not is_finished(run):
        raise RunNotFinished(run_id=run.id, state=run.state.value)


def check_metadata(metadata: Mapping[str, object], *, limit: int | None = None) -> dict[str, object]:
    """A flat map of at most 16 strings (keys 1–64, values up to 512 characters), or `limit` bytes of any JSON.

    Raises `InvalidField`.
    """
    if limit is not None:
        if len(json.dumps(metadata)) > limit:
            raise InvalidField(("metadata",), f"must have at most {limit} bytes as JSON", rule="too_long")
        return dict(metadata)
    if len(metadata) > _MAX_METADATA_KEYS:
        raise InvalidField(("metadata",), f"at most {_MAX_METADATA_KEYS} keys")
    checked: dict[str, object] = {}
    for key, value in metadata.items():
        if not 1 <= len(key) <= _MAX_METADATA_KEY:
            raise InvalidField(("metadata", key), f"keys have 1 to {_MAX_METADATA_KEY} characters")
        if not isinstance(value, str) or len(value) > _MAX_METADATA_VALUE:
            raise InvalidField(("metadata", key), f"must be a string of at most {_MAX_METADATA_VALUE} characters")
        checked[key] = value
    return checked


def flat_metadata(run: Run) -> dict[str, str]:
    """A run's metadata as strings, for whoever knows no other; what is none is told as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in run.metadata.items()}


def output_assets(output: object) -> tuple[str, ...]:
    """The ids of the assets that a stored output names, in document order."""
    if isinstance(output, Mapping):
        if set(output) == {ASSET_MARK}:
            return (str(output[ASSET_MARK]),)
        return tuple(found for value in output.values() for found in output_assets(value))
    if isinstance(output, list | tuple):
        return tuple(found for value in output for found in output_assets(value))
    return ()


def with_assets(output: object, shown: Callable[[AssetId], object]) -> object:
    """A stored output with `shown(asset id)` in place of each file that the run made."""
    if isinstance(output, Mapping):
        if set(output) == {ASSET_MARK}:
            return shown(AssetId(str(output[ASSET_MARK])))
        return {key: with_assets(value, shown) for key, value in output.items()}
    if isinstance(output, list | tuple):
        return [with_assets(value, shown) for value in output]
    return output


def _next(run: Run, event: RunEvent) -> RunState:
    return advance(RUN_TABLE, run.state, event, subject=f"run {run.id}")
