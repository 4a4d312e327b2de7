"""Files of other servers that runs wait for: each is fetched by a job of its own (`workflows/asset_fetch`).

The last to arrive lets its run begin; one that cannot be had ends it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from penstock.domain import runs as rules
from penstock.domain.assets import is_readable, type_by_bytes
from penstock.domain.errors import AssetNotFound, FileTooLarge, FileTypeRefused, InputError, RunNotFound, UploadNotFound
from penstock.domain.events import EventKind
from penstock.domain.foreign import FetchManner
from penstock.domain.ids import JobId, RunId
from penstock.domain.runs import RunFault, RunState
from penstock.services.identity import new_id
from penstock.services.run_ends import RUN_JOB, end_run

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from penstock.domain.foreign import WantedFile
    from penstock.domain.ids import AccountId, UploadId
    from penstock.domain.media_types import Kind
    from penstock.domain.runs import Run
    from penstock.domain.uploads import Upload
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Transaction
    from penstock.services.callbacks import Callbacks

RUN_FETCH_JOB = "run_fetch"
"""A kind of its own beside that of imports, for an import may take a day and a run waits."""
Errand = Mapping[str, object]
"""What a job that fetches has to know of the run that waits: `run_id`, `field`, `kinds`, `limits`, and its `job`."""
_LOG_SOURCE = "fetch"
_GONE = "the file was fetched, and is gone again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that is to be fetched for a run: under which name its field was given, and the upload it comes by."""

    field: str
    file: WantedFile
    upload: Upload


class RunFiles:
    """Begins to fetch what a run waits for, and takes to the run what came."""

    def __init__(self, *, clock: Clock, entropy: Entropy, callbacks: Callbacks) -> None:
        self._clock = clock
        self._entropy = entropy
        self._callbacks = callbacks

    def begin(self, tx: Transaction, run: Run, wanted: Mapping[str, Fetched], *, job: Mapping[str, object]) -> None:
        """Let the run begin, with a job of that payload: at once, or when all that is wanted has come."""
        for fetched in wanted.values():
            tx.uploads.add(fetched.upload)
            errand = _errand(run, fetched, job)
            tx.jobs.enqueue(
                RUN_FETCH_JOB,
                {"upload_id": fetched.upload.id, "manner": asdict(fetched.file.manner), "run": errand},
                job_id=JobId(new_id(self._entropy)),
                now=run.created_at,
                dedupe_key=fetched.upload.id,
                account_id=run.account_id,
            )
        if not wanted:
            self._enqueue(tx, run, job)

    def hold(self, tx: Transaction, account_id: AccountId, errand: Errand) -> None:
        """Lock the run that waits. Whoever changes a run and uploads that are for it comes by the run first."""
        with contextlib.suppress(RunNotFound):
            tx.runs.get(account_id, RunId(str(errand["run_id"])))

    def arrived(self, tx: Transaction, account_id: AccountId, upload_id: UploadId, errand: Errand) -> None:
        """Take what became of an upload to the run that waits for it. May be told twice.

        To be called before the transaction changes the upload, or after `hold`.
        """
        try:
            run = tx.runs.get(account_id, RunId(str(errand["run_id"])))
        except RunNotFound:
            return
        if run.state is not RunState.QUEUED:
            return
        try:
            asset = self._asset(tx, account_id, upload_id, errand)
        except InputError as error:
            self._fail(tx, run, f"{errand['field']}: {error.message}")
            return
        tx.assets.lease(run.id, [asset.id])
        leased = {held.id for held in tx.assets.leased_by(run.id)}
        told = f"{errand['field']}: fetched {asset.size} bytes, {type_by_bytes(asset)}"
        line = {"message": told, "level": "info", "source": _LOG_SOURCE}
        tx.events.add(account_id, run.id, EventKind.RUN_LOG, line, now=self._clock.now())
        job = errand["job"]
        if leased.issuperset(run.files.values()) and isinstance(job, dict):
            self._enqueue(tx, run, job)

    def _asset(self, tx: Transaction, account_id: AccountId, upload_id: UploadId, errand: Errand) -> Asset:
        """Raises an `InputError` that says why there is none, or why it does not fit."""
        try:
            upload = tx.uploads.get(account_id, upload_id)
        except UploadNotFound:
            raise InputError(_GONE) from None
        if upload.asset_id is None:
            raise InputError(upload.failure or "the upload by which the file was to come was given up")
        try:
            asset = tx.assets.get(account_id, upload.asset_id)
        except AssetNotFound:
            raise InputError(_GONE) from None
        if not is_readable(asset, at=self._clock.now()):
            raise InputError(_GONE)
        require_fit(errand, kind=asset.kind, size=asset.size, content_type=type_by_bytes(asset))
        return asset

    def _fail(self, tx: Transaction, run: Run, message: str) -> None:
        ended = rules.failed(run, error=message, now=self._clock.now(), fault=RunFault.INPUT)
        end_run(tx, ended, EventKind.RUN_FAILED, {"error": message}, was=run.state, callbacks=self._callbacks)

    def _enqueue(self, tx: Transaction, run: Run, job: Mapping[str, object]) -> None:
        tx.jobs.enqueue(
            RUN_JOB,
            job,
            job_id=JobId(new_id(self._entropy)),
            now=self._clock.now(),
            dedupe_key=run.id,
            account_id=run.account_id,
        )


def manner_of(payload: Mapping[str, object]) -> FetchManner:
    """In what manner a job is to fetch."""
    kept = payload.get("manner")
    if not isinstance(kept, dict):
        return FetchManner()
    return FetchManner(**{**kept, "told_kinds": tuple(kept["told_kinds"])})


def errand_of(payload: Mapping[str, object]) -> Errand | None:
    """What a job that fetches for a run knows of it; None for other ones."""
    errand = payload.get("run")
    return errand if isinstance(errand, dict) else None


def require_fit(errand: Errand, *, kind: Kind, size: int, content_type: str) -> None:
    """Raises `FileTypeRefused` or `FileTooLarge` for a file that the field of the run does not take."""
    kinds, limits = errand["kinds"], errand["limits"]
    if isinstance(kinds, list) and kinds and kind.value not in kinds:
        raise FileTypeRefused(content_type, accepted=tuple(kinds))
    if isinstance(limits, dict):
        limit = int(limits[kind.value if kind.value in limits else ""])
        if size > limit:
            raise FileTooLarge(limit=limit, actual=size)


def _errand(run: Run, fetched: Fetched, job: Mapping[str, object]) -> Errand:
    rules_ = fetched.file.rules
    return {
        "run_id": run.id,
        "field": fetched.field,
        "kinds": list(fetched.file.kinds),
        "limits": {"": rules_.max_bytes, **rules_.max_bytes_by_kind},
        "job": dict(job),
    }
