"""The run flow: start → execute (the runner; outputs into the store) → one transaction with result and money.

An attempt may be repeated after a crash: its outputs lie under keys of its own attempt, so a late attempt overwrites
nothing, and only the attempt that still holds the lease can commit.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.domain import runs as rules
from penstock.domain.assets import Asset, type_by_bytes
from penstock.domain.bindings import UsedModel, with_models
from penstock.domain.errors import RunnerFailed, RunNotFound
from penstock.domain.events import EventKind
from penstock.domain.filenames import url_slug
from penstock.domain.ids import AccountId, AssetId, ModelFileId, RunId
from penstock.domain.jobs import rested
from penstock.domain.runs import Run, RunFault, RunState
from penstock.domain.webhooks import Moment
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.objects import ObjectNotFoundError
from penstock.ports.runners import FileInput, RunCancelledError, RunImpossibleError, WeightsInput
from penstock.services.callbacks import SILENT
from penstock.services.intake import begin_intake
from penstock.services.run_ends import end_run
from penstock.workflows.run_outputs import Outputs, mortal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.jobs import Job
    from penstock.domain.models import ModelFile
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database
    from penstock.ports.objects import ObjectStore
    from penstock.ports.runners import JsonLike, Runner
    from penstock.services.assets import Assets
    from penstock.services.callbacks import Callbacks
    from penstock.services.run_terms import RunTerms
    from penstock.services.weights_addresses import WeightsAddresses
    from penstock.telemetry import Log

_PROGRESS_EVERY_SECONDS = 0.5
_CANCEL_LOOK_SECONDS = 0.1
_MAX_LOG_LINE = 2000
_MAX_LOG_LINES = 500
_STARTED = "started"
_PLACE_LOOK = timedelta(minutes=2)
_BESIDE = re.compile(r"(.+)\[([0-9]+)\]\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What attempts may take, and where they work."""

    terms: RunTerms
    scratch: Path


class RunFlow:
    """The flow of kind `run`; payload `{run_id, account_id}` and, where asked for, `output_lifetime_seconds`."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        database: Database,
        objects: ObjectStore,
        assets: Assets,
        runners: Mapping[str, Runner],
        *,
        limits: RunLimits,
        clock: Clock,
        entropy: Entropy,
        log: Log,
        interrupt: threading.Event,
        weights: WeightsAddresses,
        callbacks: Callbacks = SILENT,
    ) -> None:
        self._weights = weights
        self._database = database
        self._objects = objects
        self._outputs = Outputs(objects, clock=clock, entropy=entropy)
        self._assets = assets
        self._runners = runners
        self._limits = limits
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self._interrupt = interrupt
        self._callbacks = callbacks

    def run(self, job: Job) -> None:
        """One attempt. Ends the run, or raises so that it is tried again."""
        run = self._start(job)
        if run is None:
            return
        if run.cancel_requested:
            self._end(job, rules.cancelled(run, now=self._clock.now()), EventKind.RUN_CANCELLED, {})
            return
        workdir = Path(tempfile.mkdtemp(prefix="run-", dir=self._limits.scratch))
        try:
            self._attempt(job, run, workdir)
        finally:
            shutil.rmtree(workdir, ignore_errors=True)

    def give_up(self, job: Job, reason: str) -> None:
        """End the run as failed, money back, and park the job."""
        with self._database.write() as tx:
            try:
                run = tx.runs.get(*self._names(job))
            except RunNotFound:
                tx.fenced.bury(job, error=reason)
                return
            if not rules.is_finished(run):
                ended = rules.failed(
                    run,
                    error=f"the run could not be carried out: {reason}",
                    now=self._clock.now(),
                    fault=RunFault.SERVER,
                )
                end_run(
                    tx, ended, EventKind.RUN_FAILED, {"error": ended.error}, was=run.state, callbacks=self._callbacks
                )
            tx.fenced.bury(job, error=reason)

    def _start(self, job: Job) -> Run | None:
        """Mark the run as running; None when it is over already, or its time is, or when it has to wait for a place."""
        now = self._clock.now()
        with self._database.write() as tx:
            try:
                run = tx.runs.get(*self._names(job))
            except RunNotFound:
                tx.fenced.finish(job)
                return None
            if rules.is_finished(run):
                tx.fenced.finish(job)
                return None
            if rules.is_overdue(run, now=now):
                ended = rules.overdue(run, now=now)
                data = {"error": ended.error}
                end_run(tx, ended, EventKind.RUN_FAILED, data, was=run.state, callbacks=self._callbacks)
                tx.fenced.finish(job)
                return None
            if self._limits.terms.must_wait(tx, run, lock=True):
                resting = tx.fenced.checkpoint(job, job.step, rested(job))
                tx.fenced.postpone(resting, run_at=_next_look(run, now=now), error="waits for a place")
                return None
            begun = rules.started(run, now=now)
            tx.runs.replace(begun, was=run.state)
            if run.progress is not None:
                tx.runs.note_progress(run.id, begun.progress)
            tx.events.add(run.account_id, run.id, EventKind.RUN_STARTED, {"attempt": job.attempt}, now=now)
            if run.state is RunState.QUEUED:  # a later attempt is no second start
                self._callbacks.tell(tx, begun, Moment.STARTED, now=now)
            tx.fenced.checkpoint(job, _STARTED, job.state)
        self._log("run.started", run_id=run.id, model=run.model, attempt=job.attempt)
        return begun

    def _attempt(self, job: Job, run: Run, workdir: Path) -> None:
        seconds, late = self._patience(run)
        context = _Context(self, job, run, workdir, deadline=time.monotonic() + seconds, late=late)
        runner = self._runners.get(run.runner)
        if runner is None:
            message = f"no runner named {run.runner} is configured for this model"
            self._end_failed(job, run, context, message, RunFault.UNAVAILABLE)
            return
        try:
            output = runner.run(run.runner_model, self._inputs(run, context), context)
            context.close()
            stored, made = self._outputs.store(job, run, output)
        except RunCancelledError:
            self._end_cancelled(job, run, context)
            return
        except RunnerFailed as error:
            self._end_failed(job, run, context, error.message, RunFault.MODEL)
            return
        except RunImpossibleError as error:
            self._end_failed(job, run, context, str(error), RunFault.SERVER)
            return
        finally:
            context.close()
        ended = rules.succeeded(run, output=stored, cost=run.held, now=self._clock.now())
        self._end(job, ended, EventKind.RUN_SUCCEEDED, {}, made=mortal(made, job, ended))

    def _end_cancelled(self, job: Job, run: Run, context: _Context) -> None:
        if context.timed_out():
            self._end_failed(job, run, context, context.late, RunFault.TIMEOUT)
        elif self._interrupt.is_set() and not self.cancel_wanted(run):
            raise AttemptInterruptedError
        else:
            self._end(job, rules.cancelled(run, now=self._clock.now()), EventKind.RUN_CANCELLED, {})

    def _patience(self, run: Run) -> tuple[float, str]:
        """How many seconds an attempt has, and what is said when they are over."""
        timeout = self._limits.terms.timeout(run)
        left = run.deadline_at - self._clock.now() if run.deadline_at is not None else timeout
        if left < timeout:
            return left.total_seconds(), rules.overdue_message(run)
        return timeout.total_seconds(), f"the run took longer than {timeout.total_seconds():.0f} s"

    def _end_failed(self, job: Job, run: Run, context: _Context, message: str, fault: RunFault) -> None:
        context.close()
        ended = rules.failed(run, error=message, now=self._clock.now(), fault=fault)
        self._end(job, ended, EventKind.RUN_FAILED, {"error": message})

    def _inputs(self, run: Run, context: _Context) -> dict[str, JsonLike]:
        with self._database.read() as tx:
            leased = {asset.id: asset for asset in tx.assets.leased_by(run.id)}
            weights = {file.id: file for file in tx.model_leases.leased_by(run.id)}
        context.assets, context.weights = leased, weights
        inputs: dict[str, JsonLike] = {
            name: with_models(value, lambda model: _weights_input(model, weights)) for name, value in run.values.items()
        }
        for name, asset_id in run.files.items():
            asset = leased.get(asset_id)
            if asset is None:
                msg = f"the input file of {name} is gone"
                raise RunImpossibleError(msg)
            file = FileInput(asset_id=asset.id, name=asset.name, content_type=type_by_bytes(asset), size=asset.size)
            _put(inputs, name, file)
        return inputs

    def _end(
        self, job: Job, ended: Run, kind: EventKind, data: Mapping[str, object], *, made: list[Asset] | None = None
    ) -> None:
        keys = [asset.object_key for asset in made or ()]
        committing = False
        try:
            with self._database.write() as tx:
                removed_at = tx.runs.get(ended.account_id, ended.id).deleted_at
                written = end_run(tx, ended, kind, data, was=RunState.RUNNING, callbacks=self._callbacks)
                if written and removed_at is None:
                    for asset in made or ():
                        tx.assets.add(asset)
                        begin_intake(tx, asset, entropy=self._entropy)
                tx.fenced.finish(job)
                committing = True
        except Exception:
            if not committing:  # a commit that failed may have happened (P6)
                self._outputs.discard(keys)
            raise
        if not written or removed_at is not None:
            self._outputs.discard(keys)
        if not written:
            return
        seconds = (ended.finished_at - ended.created_at).total_seconds() if ended.finished_at else None
        self._log("run.finished", run_id=ended.id, state=ended.state.value, seconds=seconds)

    def tell(self, job: Job, run: Run, kind: EventKind, data: Mapping[str, object]) -> None:
        """Add an event of a running run; dropped when the run has ended meanwhile. Raises `LeaseLostError`."""
        with self._database.write() as tx:
            if tx.runs.get(run.account_id, run.id).state is RunState.RUNNING:
                tx.fenced.checkpoint(job, _STARTED, job.state)  # a late attempt does not speak for its successor (F25)
                tx.events.add(run.account_id, run.id, kind, data, now=self._clock.now())
                fraction = data.get("fraction")
                if kind is EventKind.RUN_PROGRESS and isinstance(fraction, float):
                    tx.runs.note_progress(run.id, fraction)

    def interrupted(self) -> bool:
        """Whether the server ends and attempts shall not go on."""
        return self._interrupt.is_set()

    def cancel_wanted(self, run: Run) -> bool:
        """Whether the run's owner asked to cancel."""
        with self._database.read() as tx:
            return tx.runs.cancel_requested(run.id)

    def fetch(self, asset: Asset, target: Path) -> None:
        """Bring an asset's bytes into a file. Raises `RunImpossibleError` when they are gone."""
        partial = target.with_name(target.name + ".part")
        try:
            with partial.open("wb") as sink:
                for chunk in self._objects.read(asset.object_key):
                    sink.write(chunk)
        except ObjectNotFoundError:
            msg = f"the input file {asset.name} is gone"
            raise RunImpossibleError(msg) from None
        partial.replace(target)

    def signed_get(self, asset: Asset) -> str:
        """A short-lived URL of an asset's bytes. The run holds a lease, so the asset's own expiry does not count."""
        return self._assets.signed_get(replace(asset, expires_at=None))

    def weights_url(self, file: ModelFile) -> str:
        """A short-lived URL of a model's weights."""
        return self._weights.url(file)

    @staticmethod
    def _names(job: Job) -> tuple[AccountId, RunId]:
        return AccountId(str(job.payload["account_id"])), RunId(str(job.payload["run_id"]))


class _Context:
    """One attempt's window (`ports.runners.RunContext`). Looks at the wish to cancel at most ten times a second."""

    def __init__(self, flow: RunFlow, job: Job, run: Run, workdir: Path, *, deadline: float, late: str) -> None:
        self.late = late
        self.assets: Mapping[AssetId, Asset] = {}
        self.weights: Mapping[ModelFileId, ModelFile] = {}
        self._flow = flow
        self._job = job
        self._run = run
        self._workdir = workdir
        self._deadline = deadline
        self._lock = threading.Lock()
        self._lines = 0
        self._last_progress = 0.0
        self._pending_progress: float | None = None
        self._next_look = 0.0
        self._cancelled = False

    @property
    def workdir(self) -> Path:
        return self._workdir

    def fetch(self, file: FileInput) -> Path:
        suffix = Path(url_slug(file.name)).suffix
        target = self._workdir / f"input-{file.asset_id}{suffix}"
        if not target.exists():
            self._flow.fetch(self.assets[AssetId(file.asset_id)], target)
        return target

    def url(self, file: FileInput | WeightsInput) -> str:
        if isinstance(file, WeightsInput):
            return self._flow.weights_url(self.weights[ModelFileId(file.file_id)])
        return self._flow.signed_get(self.assets[AssetId(file.asset_id)])

    def log(self, message: str, *, level: str = "info") -> None:
        with self._lock:
            self._lines += 1
            if self._lines > _MAX_LOG_LINES:
                return
        self._tell(EventKind.RUN_LOG, {"message": message[:_MAX_LOG_LINE], "level": level, "source": self._run.runner})

    def progress(self, fraction: float) -> None:
        now = time.monotonic()
        with self._lock:
            fraction = min(1.0, max(0.0, fraction))
            if now - self._last_progress < _PROGRESS_EVERY_SECONDS:
                self._pending_progress = fraction
                return
            self._last_progress, self._pending_progress = now, None
        self._tell(EventKind.RUN_PROGRESS, {"fraction": round(fraction, 3)})

    def cancelled(self) -> bool:
        now = time.monotonic()
        if now >= self._next_look and not self._cancelled:
            self._next_look = now + _CANCEL_LOOK_SECONDS
            self._cancelled = self._flow.cancel_wanted(self._run)
        return self._cancelled or self.timed_out() or self._flow.interrupted()

    def timed_out(self) -> bool:
        """Whether the attempt has used up its time."""
        return time.monotonic() >= self._deadline

    def close(self) -> None:
        """Tell the last progress that was held back."""
        with self._lock:
            pending, self._pending_progress = self._pending_progress, None
        if pending is not None:
            self._tell(EventKind.RUN_PROGRESS, {"fraction": round(pending, 3)})

    def _tell(self, kind: EventKind, data: Mapping[str, object]) -> None:
        self._flow.tell(self._job, self._run, kind, data)


def _put(inputs: dict[str, JsonLike], name: str, file: FileInput) -> None:
    """A file under its name, or beside the model at whose side it stands (`catalog.place_beside`)."""
    beside = _BESIDE.fullmatch(name)
    entries = inputs.get(beside[1]) if beside else None
    if beside and isinstance(entries, list):
        entries[int(beside[2])][beside[3]] = file
    else:
        inputs[name] = file


def _weights_input(model: UsedModel, leased: Mapping[ModelFileId, ModelFile]) -> WeightsInput:
    file = leased.get(model.file_id)
    if file is None:
        msg = f"the weights of {model.air} are gone"
        raise RunImpossibleError(msg)
    return WeightsInput(
        air=model.air,
        name=model.name,
        category=model.category,
        architecture=model.architecture,
        file_id=file.id,
        size=file.optimized_size,
        sha256=file.optimized_sha256,
    )


def _next_look(run: Run, *, now: datetime) -> datetime:
    """When a run looks for a place again by itself: it is woken when one becomes free, and by this if not it was."""
    later = now + _PLACE_LOOK
    return later if run.deadline_at is None else min(later, run.deadline_at)
