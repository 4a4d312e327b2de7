"""Model uploads: validated → downloaded → optimized → stored → ready, each told in the transaction of its effect.

The upload's row says which phase has ended, and the job's state what the one under way has come to; so every step may
run twice, in any process (F24), and only who holds the job's lease writes (F25). What the source does wrong is told and
tried again, or ends the upload; what goes wrong on our side is the worker's affair. A model that the AIR stood for
before stays as it is until the last transaction.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.errors import (
    AssetNotFound,
    InputError,
    InvalidField,
    ModelFileMismatch,
    ModelUploadNotFound,
    QuotaExceeded,
)
from penstock.domain.events import EventKind
from penstock.domain.ids import AccountId, ModelUploadId
from penstock.domain.jobs import rested, retry_delay
from penstock.domain.model_uploads import is_over
from penstock.ports.fetch import SourceError, SourceFailedError
from penstock.workflows.model_attempt import Attempt, resting, standing_of
from penstock.workflows.model_phases import Phases, own_file
from penstock.workflows.model_rewriting import places_of
from penstock.workflows.part_stream import abort_all

if TYPE_CHECKING:
    import threading

    from penstock.domain.errors import PenstockError
    from penstock.domain.jobs import Job
    from penstock.domain.model_uploads import ModelUpload
    from penstock.ports.database import Transaction
    from penstock.telemetry import Log
    from penstock.workflows.model_phases import ModelTools

_TRIES_TO_BEGIN = 5
"""Vain tries in a row before the server ever answered: a wrong name or a forbidden place is told within a minute."""
_TRIES_TO_GO_ON = 12
_LONGEST_WISH = timedelta(hours=1)
"""So much of a server's wish to be left alone is granted."""
_TURN = timedelta(seconds=30)
"""How long to wait for an earlier upload for the same AIR, whose end wakes the next."""


@dataclass(frozen=True, slots=True)
class _Why:
    """The code of an error, its text, and what of the upload it is about."""

    code: str
    reason: str
    field: str | None = None


class ModelUploadFlow:
    """The flow of kind `model_upload`; payload `{model_upload_id}`."""

    def __init__(self, tools: ModelTools, *, log: Log, interrupt: threading.Event) -> None:
        self._tools = tools
        self._log = log
        self._interrupt = interrupt

    def run(self, job: Job) -> None:
        """Take it from phase to phase, then tidy up. An upload that is over only needs the last."""
        try:
            upload = self._upload(job)
        except ModelUploadNotFound:
            with self._tools.database.write() as tx:
                tx.fenced.finish(job)
            return
        if not is_over(upload):
            if self._waits_its_turn(job, upload):
                return
            attempt = Attempt(self._tools, job, upload, log=self._log, interrupt=self._interrupt)
            if not self._worked(attempt):
                return
            job = attempt.job
        self._tidy_up(job)

    def give_up(self, job: Job, reason: str) -> None:
        """The upload fails; its remains are swept."""
        with self._tools.database.write() as tx:
            with contextlib.suppress(ModelUploadNotFound):
                upload = tx.model_uploads.get(*_names(job))
                self._fail(tx, upload, _Why("internal_error", "the model could not be processed"))
            tx.fenced.bury(job, error=reason)

    def _waits_its_turn(self, job: Job, upload: ModelUpload) -> bool:
        """Uploads for one AIR go one after another, so that the newest has the last word."""
        with self._tools.database.read() as tx:
            first = next(iter(tx.model_uploads.going_on(upload.account_id, upload.air, limit=1)), upload)
        if first.id == upload.id:
            return False
        with self._tools.database.write() as tx:
            job = tx.fenced.checkpoint(job, job.step, rested(job))
            run_at = self._tools.clock.now() + _TURN
            tx.fenced.postpone(job, run_at=run_at, error="an earlier upload for the AIR goes on")
        return True

    def _worked(self, attempt: Attempt) -> bool:
        """False when the job is to be run again later."""
        phases = Phases(self._tools, attempt)
        try:
            phases.go_through()
        except SourceFailedError as error:
            tries = 1 if phases.advanced else _tries_of(attempt.job) + 1
            return not self._rests(attempt, error, tries=tries)
        except SourceError as error:
            self._end(attempt, _Why(error.code, error.reason, "source_url"))
        except (InputError, AssetNotFound) as error:
            self._end(attempt, _Why(error.code, error.message, _field_of(error, attempt.upload)))
        return True

    def _rests(self, attempt: Attempt, error: SourceFailedError, *, tries: int) -> bool:
        """Let the job rest and tell; False when it has tried for long enough and the upload has failed."""
        tools, upload = self._tools, attempt.upload
        backoff = retry_delay(tries, jitter=tools.entropy.random_bytes(1)[0] / 256)
        now = tools.clock.now()
        rest = max(backoff, min(error.retry_after or timedelta(0), _LONGEST_WISH))
        retry_at = now + rest
        has_begun = standing_of(attempt.job.state).begun is not None
        most = _TRIES_TO_GO_ON if has_begun else _TRIES_TO_BEGIN
        if tries >= most or rest >= attempt.left:
            self._end(attempt, _Why(error.code, error.reason, "source_url"))
            return False
        data = {"reason": error.reason, "code": error.code, "retry_at": retry_at.isoformat()}
        with tools.database.write() as tx:
            job = tx.fenced.checkpoint(attempt.job, attempt.job.step, {**resting(attempt, rest), "tries": tries})
            tx.events.add(upload.account_id, upload.id, EventKind.MODEL_DELAYED, data, now=now)
            tx.fenced.postpone(job, run_at=retry_at, error=error.reason)
        self._log("job.retried", job_id=job.id, kind=job.kind, failures=tries, error=error.reason)
        return True

    def _end(self, attempt: Attempt, why: _Why) -> None:
        with self._tools.database.write() as tx:
            tx.fenced.checkpoint(attempt.job, attempt.job.step, attempt.job.state)
            self._fail(tx, tx.model_uploads.get(attempt.upload.account_id, attempt.upload.id), why)

    def _fail(self, tx: Transaction, upload: ModelUpload, why: _Why) -> None:
        """End it for good; one that is over stays as it is."""
        if is_over(upload):
            return
        self._tools.uploads.fail(tx, upload, code=why.code, error=why.reason, field=why.field)
        self._log("model.failed", model_upload_id=upload.id, error=why.code)

    def _tidy_up(self, job: Job) -> None:
        """Remove what no model needs; the job is done."""
        tools = self._tools
        with tools.database.read() as tx:
            upload = tx.model_uploads.get(*_names(job))
            kept = bool(tx.model_files.of([own_file(upload)]))
        places = places_of(own_file(upload))
        abort_all(tools.objects, places.prefix)
        tools.objects.delete([places.survey] if kept else places.all())
        with tools.database.write() as tx:
            tx.fenced.finish(job)

    def _upload(self, job: Job) -> ModelUpload:
        with self._tools.database.read() as tx:
            return tx.model_uploads.get(*_names(job))


def _field_of(error: PenstockError, upload: ModelUpload) -> str | None:
    """What of an upload an error is about."""
    if isinstance(error, QuotaExceeded):
        return None
    if isinstance(error, ModelFileMismatch):
        return "architecture"
    if isinstance(error, InvalidField):
        return str(error.path[0]) if error.path else None
    return "source_url" if upload.asset_id is None else "asset_id"


def _tries_of(job: Job) -> int:
    return int(str(job.state.get("tries", 0)))


def _names(job: Job) -> tuple[AccountId, ModelUploadId]:
    if job.account_id is None:
        raise ModelUploadNotFound
    return job.account_id, ModelUploadId(str(job.payload["model_upload_id"]))
