"""Fetching the bytes of an upload from its URL: transfer → admit → tidy up.

Every step may run twice. Where a transfer stands is read from the store; the version that is being fetched and the
count of vain tries are the job's state. What the source does wrong is told to the upload's owner and tried again, or
ends the upload; what goes wrong on our side is the worker's affair (F24).
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain import uploads as rules
from penstock.domain.egress import shown_url
from penstock.domain.errors import AssetNotFound, InputError, UploadNotCompletable, UploadNotFound
from penstock.domain.events import EventKind
from penstock.domain.ids import AccountId, UploadId
from penstock.domain.jobs import retry_delay
from penstock.domain.uploads import UploadState
from penstock.ports.fetch import SourceFailedError, SourceRefusedError
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.objects import MultipartGoneError
from penstock.services.callbacks import SILENT
from penstock.services.run_files import RunFiles, errand_of, manner_of, require_fit
from penstock.workflows.transfer import Source, Transfer

if TYPE_CHECKING:
    import threading

    from penstock.domain.jobs import Job, JobData
    from penstock.domain.uploads import Admission, Upload
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction
    from penstock.ports.fetch import Fetcher
    from penstock.ports.objects import ObjectStore
    from penstock.services.callbacks import Callbacks
    from penstock.services.uploads import Uploads
    from penstock.telemetry import Log

PART_BYTES = 16 * 2**20
_TRIES_TO_BEGIN = 5
"""Vain tries in a row before the server ever answered: a wrong name or a forbidden place is told within a minute."""
_TRIES_TO_GO_ON = 12
_LONGEST_WISH = timedelta(hours=1)
"""So much of a server's wish to be left alone is granted."""
_LOOK_SECONDS = 1.0
_PROGRESS_SECONDS = 2.0
_LONGEST_SILENCE_SECONDS = 10.0
_PROGRESS_SHARE = 100


class _OverError(Exception):
    """The upload was given up, has expired or has ended otherwise: nobody waits for its bytes."""


class AssetFetch:
    """The flow of kind `asset_fetch`; payload `{upload_id}`, and for a run's file what `services.run_files` adds."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        database: Database,
        objects: ObjectStore,
        uploads: Uploads,
        fetcher: Fetcher,
        *,
        clock: Clock,
        entropy: Entropy,
        log: Log,
        interrupt: threading.Event,
        part_bytes: int = PART_BYTES,
        callbacks: Callbacks = SILENT,
    ) -> None:
        self._database = database
        self._objects = objects
        self._uploads = uploads
        self._fetcher = fetcher
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self._interrupt = interrupt
        self._part_bytes = part_bytes
        self._run_files = RunFiles(clock=clock, entropy=entropy, callbacks=callbacks)

    def run(self, job: Job) -> None:
        """Bring the bytes, admit them, tidy up. An upload that is over only needs the last."""
        try:
            upload = self._upload(job)
        except UploadNotFound:
            with self._database.write() as tx:
                tx.fenced.finish(job)
            return
        if upload.state is UploadState.PENDING and not self._bring_and_admit(job, upload):
            return
        self._tidy_up(job)

    def give_up(self, job: Job, reason: str) -> None:
        """The upload fails; its remains are swept."""
        with self._database.write() as tx:
            with contextlib.suppress(UploadNotFound):
                names, errand = _names(job), errand_of(job.payload)
                if errand is not None:
                    self._run_files.hold(tx, names[0], errand)
                self._fail(tx, tx.uploads.get(*names), "the file could not be fetched", code="internal_error")
                self._tell_run(tx, job)
            tx.fenced.bury(job, error=reason)

    def _bring_and_admit(self, job: Job, upload: Upload) -> bool:
        """False when the job is to be run again later."""
        attempt = _Attempt(self._database, job, upload, clock=self._clock, interrupt=self._interrupt)
        transfer = Transfer(
            upload,
            _source_of(job.state),
            self._fetcher,
            self._objects,
            keeper=attempt,
            new_final_key=lambda: f"assets/{upload.id}-{self._entropy.random_bytes(4).hex()}",
            part_bytes=self._part_bytes,
            manner=manner_of(job.payload),
        )
        try:
            sha256 = transfer.bring(within=max(timedelta(0), upload.expires_at - self._clock.now()))
            self._admit(attempt, transfer.upload, sha256)
        except SourceFailedError as error:
            return not self._rests(
                attempt.job, upload, error, tries=1 if transfer.advanced else _tries_of(attempt.job) + 1
            )
        except SourceRefusedError as error:
            self._end(attempt.job, upload, error.reason, code=error.code)
        except InputError as error:
            self._end(attempt.job, upload, error.message, code=error.code)
        except MultipartGoneError:
            if self._upload(job).state is UploadState.PENDING:
                raise
        except (_OverError, UploadNotCompletable, AssetNotFound):
            pass
        return True

    def _admit(self, attempt: _Attempt, upload: Upload, sha256: str | None) -> None:
        """Admission holds the bytes to a hash that was asked for; it is measured here, where it can be interrupted."""
        if upload.sha256 is not None and sha256 is None:
            sha256 = self._read_back(upload, attempt)
        with self._database.write() as tx:
            tx.fenced.checkpoint(
                attempt.job, attempt.job.step, attempt.job.state
            )  # who lost the job admits nothing (F25)
        self._uploads.admit(upload, sha256=sha256)

    def _read_back(self, upload: Upload, attempt: _Attempt) -> str:
        """The hash of what is stored, when parts of it came by in another process."""
        digest = hashlib.sha256()
        received = 0
        for block in self._objects.read(upload.final_key or upload.staging_key):
            digest.update(block)
            received += len(block)
            attempt.look(received)
        return digest.hexdigest()

    def _rests(self, job: Job, upload: Upload, error: SourceFailedError, *, tries: int) -> bool:
        """Let the job rest and tell; False when it has tried for long enough and the upload has failed."""
        backoff = retry_delay(tries, jitter=self._entropy.random_bytes(1)[0] / 256)
        now = self._clock.now()
        retry_at = now + max(backoff, min(error.retry_after or timedelta(0), _LONGEST_WISH))
        most = _TRIES_TO_GO_ON if _source_of(job.state) is not None else _TRIES_TO_BEGIN
        if tries >= most or retry_at >= upload.expires_at:
            self._end(job, upload, error.reason, code=error.code)
            return False
        data = {"reason": error.reason, "code": error.code, "retry_at": retry_at.isoformat()}
        with self._database.write() as tx:
            job = tx.fenced.checkpoint(job, job.step, {**job.state, "tries": tries})
            tx.events.add(upload.account_id, upload.id, EventKind.UPLOAD_DELAYED, data, now=now)
            tx.fenced.postpone(job, run_at=retry_at, error=error.reason)
        self._log("job.retried", job_id=job.id, kind=job.kind, failures=tries, error=error.reason)
        return True

    def _end(self, job: Job, upload: Upload, reason: str, *, code: str) -> None:
        with self._database.write() as tx:
            tx.fenced.checkpoint(job, job.step, job.state)
            self._fail(tx, upload, reason, code=code)

    def _fail(self, tx: Transaction, upload: Upload, reason: str, *, code: str) -> None:
        """End a pending upload for good; one that is over stays as it is."""
        current = tx.uploads.get(upload.account_id, upload.id)
        if current.state is not UploadState.PENDING:
            return
        tx.uploads.replace(_discreet(rules.rejected(current, reason=reason)), was=current.state)
        data = {"reason": reason, "code": code}
        tx.events.add(upload.account_id, upload.id, EventKind.UPLOAD_FAILED, data, now=self._clock.now())
        self._log("upload.rejected", upload_id=upload.id, reason=code)

    def _tidy_up(self, job: Job) -> None:
        """Remove what no asset is made of, and the URL's query; the job is done."""
        upload = self._upload(job)
        if upload.store_upload_id is not None and upload.final_key is not None and upload.asset_id is None:
            self._objects.multiparts.abort(upload.final_key, upload.store_upload_id)
            self._objects.delete([upload.final_key])
        self._objects.delete([upload.staging_key])
        with self._database.write() as tx:
            self._tell_run(tx, job)
            upload = tx.uploads.get(upload.account_id, upload.id)
            tx.uploads.replace(_discreet(upload), was=upload.state)
            tx.fenced.finish(job)

    def _tell_run(self, tx: Transaction, job: Job) -> None:
        """Take what became of the upload to the run that waits for it, if any does."""
        errand = errand_of(job.payload)
        if errand is not None:
            self._run_files.arrived(tx, *_names(job), errand)

    def _upload(self, job: Job) -> Upload:
        with self._database.read() as tx:
            return tx.uploads.get(*_names(job))


class _Attempt:
    """What one attempt keeps and tells while bytes move: `transfer.Keeper`."""

    def __init__(
        self, database: Database, job: Job, upload: Upload, *, clock: Clock, interrupt: threading.Event
    ) -> None:
        self.job = job
        self._database = database
        self._upload = upload
        self._clock = clock
        self._interrupt = interrupt
        self._looked_at = time.monotonic()
        self._told_at = 0.0
        self._told = 0
        self._reserved = upload.reserved

    def judged(self, admission: Admission) -> None:
        """Refuse what does not fit the run that waits for it, before all of it comes."""
        errand = errand_of(self.job.payload)
        if errand is not None:
            require_fit(errand, kind=admission.kind, size=admission.size, content_type=admission.content_type)

    def answered(self, source: Source) -> None:
        """Remember the version that is fetched; tell how large it is, and set as much of the quota aside."""
        self.job = replace(self.job, state={**self.job.state, "etag": source.etag, "size": source.size})
        self._reserved = source.size or 0
        self._tell(0)

    def parts_begun(self, upload: Upload) -> None:
        """Remember where the parts go. Raises `_OverError`."""
        with self._database.write() as tx:
            tx.fenced.checkpoint(self.job, self.job.step, self.job.state)
            if not tx.uploads.replace(upload, was=UploadState.PENDING):
                raise _OverError

    def look(self, received: int) -> None:
        """Once a second: is it still wanted, by its owner and by the worker? Tell how far it is, now and then."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        if self._interrupt.is_set():
            raise AttemptInterruptedError
        with self._database.read() as tx:
            if tx.uploads.get(self._upload.account_id, self._upload.id).state is not UploadState.PENDING:
                raise _OverError
        if self._clock.now() >= self._upload.expires_at:
            raise SourceRefusedError("the file did not come in time", code="source_failed")
        source = _source_of(self.job.state)
        if source is not None and self._is_news(received, source.size, after=now - self._told_at):
            self._tell(received)

    def _is_news(self, received: int, size: int | None, *, after: float) -> bool:
        enough = size is None or received - self._told >= size / _PROGRESS_SHARE
        wait = _PROGRESS_SECONDS if enough else _LONGEST_SILENCE_SECONDS
        return received > self._told and after >= wait

    def _tell(self, received: int) -> None:
        self._told_at, self._told = time.monotonic(), received
        data = {"received": received, "size": self.job.state.get("size")}
        self._reserved = max(self._reserved, received)
        with self._database.write() as tx:
            self.job = tx.fenced.checkpoint(self.job, self.job.step, self.job.state)
            tx.uploads.reserve(self._upload, self._reserved)
            tx.events.add(
                self._upload.account_id, self._upload.id, EventKind.UPLOAD_PROGRESS, data, now=self._clock.now()
            )


def _discreet(upload: Upload) -> Upload:
    """The upload without its URL's query: that may be a secret, and is needed no more."""
    return replace(upload, source_url=shown_url(upload.source_url)) if upload.source_url is not None else upload


def _source_of(state: JobData) -> Source | None:
    """The version that was begun, of a job's state."""
    if "size" not in state:
        return None
    etag, size = state.get("etag"), state["size"]
    return Source(etag=str(etag) if etag is not None else None, size=int(str(size)) if size is not None else None)


def _tries_of(job: Job) -> int:
    return int(str(job.state.get("tries", 0)))


def _names(job: Job) -> tuple[AccountId, UploadId]:
    if job.account_id is None:
        raise UploadNotFound
    return job.account_id, UploadId(str(job.payload["upload_id"]))
