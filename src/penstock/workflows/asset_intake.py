"""Intake: what is measured of an asset after it was admitted. Steps: measure (SHA-256 by reading back) → settle."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.domain import uploads as rules
from penstock.domain.errors import AssetNotFound
from penstock.domain.events import EventKind
from penstock.domain.ids import AccountId, AssetId
from penstock.domain.uploads import UploadState
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.objects import ObjectNotFoundError

if TYPE_CHECKING:
    import threading

    from penstock.domain.assets import Asset
    from penstock.domain.jobs import Job
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database
    from penstock.ports.objects import ObjectStore

_MEASURED = "measured"


class AssetIntake:
    """The flow of kind `asset_intake`; payload `{asset_id}`."""

    def __init__(self, database: Database, objects: ObjectStore, *, clock: Clock, interrupt: threading.Event) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._interrupt = interrupt

    def run(self, job: Job) -> None:
        """Measure, then settle. An asset that is gone ends the job quietly."""
        try:
            if job.step != _MEASURED:
                job = self._measure(job)
            self._settle(job)
        except (AssetNotFound, ObjectNotFoundError):
            with self._database.write() as tx:
                tx.fenced.finish(job)

    def give_up(self, job: Job, reason: str) -> None:
        """The asset stays usable; only its hash stays unknown."""
        with self._database.write() as tx:
            tx.fenced.bury(job, error=reason)

    def _measure(self, job: Job) -> Job:
        asset = self._asset(job)
        digest = hashlib.sha256()
        for chunk in self._objects.read(asset.object_key):
            digest.update(chunk)
            if self._interrupt.is_set():
                raise AttemptInterruptedError
        with self._database.write() as tx:
            return tx.fenced.checkpoint(job, _MEASURED, {"sha256": digest.hexdigest()})

    def _settle(self, job: Job) -> None:
        sha256 = str(job.state["sha256"])
        with self._database.write() as tx:
            asset = tx.assets.get(*self._names(job))
            tx.assets.replace(replace(asset, sha256=sha256))
            if asset.upload_id is not None:
                upload = tx.uploads.get(asset.account_id, asset.upload_id)
                if upload.state is UploadState.STORED:
                    tx.uploads.replace(rules.settled(upload), was=upload.state)
                    data = {"asset_id": asset.id, "sha256": sha256}
                    tx.events.add(asset.account_id, upload.id, EventKind.UPLOAD_READY, data, now=self._clock.now())
            tx.fenced.finish(job)

    def _asset(self, job: Job) -> Asset:
        with self._database.read() as tx:
            return tx.assets.get(*self._names(job))

    @staticmethod
    def _names(job: Job) -> tuple[AccountId, AssetId]:
        if job.account_id is None:
            raise AssetNotFound
        return job.account_id, AssetId(str(job.payload["asset_id"]))
