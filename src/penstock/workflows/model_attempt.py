"""One attempt at a model upload: what it keeps for the next one, what it tells, and whether it may go on."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from penstock.domain.events import EventKind
from penstock.domain.jobs import rested
from penstock.domain.model_uploads import Phase, advanced
from penstock.domain.weights import Category
from penstock.ports.fetch import SourceRefusedError
from penstock.ports.jobs import AttemptInterruptedError, LeaseLostError
from penstock.workflows.model_original import Begun, Standing
from penstock.workflows.model_rewriting import Found, Rewritten
from penstock.workflows.transfer import Source

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from penstock.domain.events import EventData
    from penstock.domain.ids import ModelFileId
    from penstock.domain.jobs import Job, JobData
    from penstock.domain.model_uploads import ModelUpload, PhaseEvent
    from penstock.ports.database import Transaction
    from penstock.telemetry import Log
    from penstock.workflows.model_phases import ModelTools

_LOOK_SECONDS = 1.0
_PROGRESS_SECONDS = 2.0
_LONGEST_SILENCE_SECONDS = 10.0
_PROGRESS_SHARE = 100
_SPENT = "spent"
OUT_OF_TIME = "the model did not come in time"

TOLD = {
    Phase.DOWNLOADED: EventKind.MODEL_DOWNLOADED,
    Phase.OPTIMIZED: EventKind.MODEL_OPTIMIZED,
    Phase.STORED: EventKind.MODEL_STORED,
}
"""The event that tells of a phase's end; of the last one tells `services.model_uploads`."""


class Attempt:
    """What one attempt keeps and tells: `model_original.Keeper`, and the same for the phases after it.

    `job` and `upload` are what they were written as last; only the thread that made it may use it.
    """

    def __init__(
        self, tools: ModelTools, job: Job, upload: ModelUpload, *, log: Log, interrupt: threading.Event
    ) -> None:
        self.job = job
        self.upload = upload
        self._database = tools.database
        self._clock = tools.clock
        self._within = tools.options.within
        self._spent_before = spent_of(job)
        self._log = log
        self._interrupt = interrupt
        self._state = {**job.state}
        self._began = self._looked_at = self._told_at = self._phase_began = time.monotonic()
        self._told = 0
        self._aim: tuple[Phase, int | None] = (Phase.DOWNLOADED, None)

    @property
    def spent(self) -> timedelta:
        """How long the upload has been worked on: this attempt, and those before with the rests that they took.

        Measured without the clock on the wall, which may jump; a wait for a worker is nobody's fault and no part of it.
        """
        return self._spent_before + timedelta(seconds=time.monotonic() - self._began)

    @property
    def left(self) -> timedelta:
        """How long it may still take."""
        return self._within - self.spent

    @property
    def original(self) -> Mapping[str, Any]:
        """What is remembered of the file that came: `size`, `sha256`, `etag`; `header`: the bytes before its data."""
        original = self._state["original"]
        return original if isinstance(original, dict) else {}

    @property
    def rewritten(self) -> Rewritten | None:
        """What is remembered of the served file."""
        rewritten = self._state.get("rewritten")
        return Rewritten(**rewritten) if isinstance(rewritten, dict) else None

    def remember(self, **facts: object) -> None:
        """What a later attempt must know; written with whatever is written next."""
        self._state.update(facts)

    def keep(self) -> None:
        """Write what is remembered. Raises `LeaseLostError`."""
        with self._database.write() as tx:
            self._write(tx)

    def own(self, tx: Transaction, file_id: ModelFileId) -> None:
        """From now on that file is needed. Raises `LeaseLostError`."""
        self.upload = replace(self.upload, file_id=file_id)
        self._write(tx)

    def standing(self, standing: Standing) -> None:
        """Remember where the download stands."""
        self.remember(**_state_of(standing))
        with self._database.write() as tx:
            self._write(tx)
            self._tell(tx, 0)

    def aim(self, phase: Phase, size: int | None) -> None:
        """From now on `look` counts towards the end of that phase."""
        self._aim, self._told = (phase, size), 0

    def advance(self, tx: Transaction, event: PhaseEvent, data: EventData) -> None:
        """End a phase, and tell of it. Raises `LeaseLostError`."""
        was, self.upload = self.upload.phase, advanced(self.upload, event)
        self._write(tx, was=was)
        upload = self.upload
        tx.events.add(upload.account_id, upload.id, TOLD[upload.phase], data, now=self._clock.now())
        now = time.monotonic()
        seconds, self._phase_began = round(now - self._phase_began, 3), now
        self._log("model.phase", model_upload_id=upload.id, phase=upload.phase.value, seconds=seconds)

    def confirm(self, tx: Transaction) -> None:
        """Whoever lost the job writes nothing more (F25). Raises `LeaseLostError`."""
        self._write(tx)

    def note_ranges(self, connections: int, ranges: int) -> None:
        """Tell whoever reads the log by how many connections the file came, and in how many ranges."""
        self._log("model.ranges", model_upload_id=self.upload.id, connections=connections, ranges=ranges)

    def look(self, done: int) -> None:
        """Once a second: does the worker go on, is there time left? Tell how far it is, now and then."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        if self._interrupt.is_set():
            raise AttemptInterruptedError
        if self.left <= timedelta(0):
            raise SourceRefusedError(OUT_OF_TIME, code="source_failed")
        if self._is_news(done, after=now - self._told_at):
            with self._database.write() as tx:
                self._write(tx)
                self._tell(tx, done)

    def _is_news(self, done: int, *, after: float) -> bool:
        size = self._aim[1]
        enough = size is None or done - self._told >= size / _PROGRESS_SHARE
        wait = _PROGRESS_SECONDS if enough else _LONGEST_SILENCE_SECONDS
        return done > self._told and after >= wait

    def _tell(self, tx: Transaction, done: int) -> None:
        self._told_at, self._told = time.monotonic(), done
        phase, size = self._aim
        upload = self.upload
        if phase is Phase.DOWNLOADED:
            tx.model_uploads.note_progress(upload.id, received=done, size=size)
            self.upload = replace(upload, received=done, size=size)
        data = {"phase": phase.value, "done": done, "size": size}
        tx.events.add(upload.account_id, upload.id, EventKind.MODEL_PROGRESS, data, now=self._clock.now())

    def _write(self, tx: Transaction, *, was: Phase | None = None) -> None:
        """Write job and upload, as long as both are this attempt's."""
        state = {**self._state, _SPENT: self.spent.total_seconds()}
        self.job = tx.fenced.checkpoint(self.job, self.upload.phase.value, state)
        if not tx.model_uploads.replace(self.upload, was=was or self.upload.phase):
            raise LeaseLostError


def resting(attempt: Attempt, rest: timedelta) -> JobData:
    """The state of a job that is let rest for so long."""
    return {**rested(attempt.job), _SPENT: (attempt.spent + rest).total_seconds()}


def spent_of(job: Job) -> timedelta:
    """How long its upload has been worked on."""
    return timedelta(seconds=float(str(job.state.get(_SPENT, 0))))


def standing_of(state: JobData) -> Standing:
    """Where the download stands, of a job's state."""
    source, found, begun = (state.get(name) for name in ("source", "found", "begun"))
    return Standing(
        source=Source(**source) if isinstance(source, dict) else None,
        found=_found_of(found) if isinstance(found, dict) else None,
        begun=Begun(**begun) if isinstance(begun, dict) else None,
    )


def _found_of(values: dict[str, object]) -> Found:
    """What the header showed, as it was written it."""
    category = values["category"]
    return Found(**{**values, "category": Category(str(category)) if category is not None else None})  # type: ignore[arg-type]  # our own words, read back


def _state_of(standing: Standing) -> dict[str, object]:
    source, found, begun = standing.source, standing.found, standing.begun
    return {
        "source": {"etag": source.etag, "size": source.size} if source is not None else None,
        "found": _as_json(found) if found is not None else None,
        "begun": {"parts_id": begun.parts_id, "part_size": begun.part_size} if begun is not None else None,
    }


def _as_json(found: Found) -> dict[str, object]:
    """What the header showed, for a job's state."""
    return {
        "size": found.size,
        "header_size": found.header_size,
        "category": found.category.value if found.category is not None else None,
        "family": found.family,
    }
