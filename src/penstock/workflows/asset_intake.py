"""Intake: what is found out about an asset after it was admitted. Steps: measure → inspect → settle.

*Measure* reads the bytes back for their SHA-256 where nobody computed it on the way in; an upload waits for that alone.
*Inspect* has a decoder look at media, and stores the thumbnail under a key that follows from the asset, so that doing
it again overwrites. *Settle* writes what was seen. The asset can be used all the while.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from penstock.domain import uploads as rules
from penstock.domain.assets import INSPECTED_KINDS, THUMBNAIL_TYPE, IntakeState, event_subject
from penstock.domain.errors import AssetNotFound, UploadNotFound
from penstock.domain.events import EventKind
from penstock.domain.ids import AccountId, AssetId
from penstock.domain.media_facts import MediaFacts
from penstock.domain.media_types import OCTET_STREAM
from penstock.domain.sniffing import SNIFF_BYTES, sniff
from penstock.domain.uploads import UploadState
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.media import Inspection, MediaFile
from penstock.ports.objects import ObjectNotFoundError
from penstock.workflows.excerpts import ExcerptLimits, excerpt

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from penstock.domain.assets import Asset
    from penstock.domain.jobs import Job
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database, Transaction
    from penstock.ports.media import MediaInspector
    from penstock.ports.objects import ObjectStore
    from penstock.telemetry import Log

_MEASURED = "measured"
_INSPECTED = "inspected"
_GONE = "the file is not in the store"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeOptions:
    """Where copies lie while they are looked into, how large they may be, and whether thumbnails are made."""

    scratch: Path
    excerpt: ExcerptLimits
    thumbnails: bool = True


class AssetIntake:
    """The flow of kind `asset_intake`; payload `{asset_id}`."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        database: Database,
        objects: ObjectStore,
        inspector: MediaInspector,
        *,
        options: IntakeOptions,
        clock: Clock,
        log: Log,
        interrupt: threading.Event,
    ) -> None:
        self._database = database
        self._objects = objects
        self._inspector = inspector
        self._options = options
        self._clock = clock
        self._log = log
        self._interrupt = interrupt

    def run(self, job: Job) -> None:
        """Every step that is not recorded yet. An asset that is gone ends the job quietly."""
        try:
            asset = self._asset(job)
            try:
                if asset.sha256 is None:
                    job = self._measure(job, asset)
                if job.step != _INSPECTED:
                    job = self._inspect(job, asset)
            except ObjectNotFoundError:
                job = replace(job, state=_recorded(Inspection(problem=_GONE)))
            self._settle(job)
        except AssetNotFound:
            self._leave_nothing(job)

    def give_up(self, job: Job, reason: str) -> None:
        """The asset stays usable; what was not found out stays unknown."""
        with self._database.write() as tx:
            try:
                asset = tx.assets.held(*_names(job))
            except AssetNotFound:
                pass
            else:
                seen = Inspection(facts=asset.facts, problem=f"it could not be looked into: {reason}")
                self._tell(tx, _settled(asset, seen, thumbnail_key=asset.thumbnail_key))
            tx.fenced.bury(job, error=reason)

    def _measure(self, job: Job, asset: Asset) -> Job:
        digest = hashlib.sha256()
        for chunk in self._objects.read(asset.object_key):
            digest.update(chunk)
            self._go_on()
        sha256 = digest.hexdigest()
        with self._database.write() as tx:
            measured = replace(tx.assets.held(*_names(job)), sha256=sha256)
            tx.assets.replace(measured)
            self._settle_upload(tx, measured, sha256)
            return tx.fenced.checkpoint(job, _MEASURED, {})

    def _settle_upload(self, tx: Transaction, asset: Asset, sha256: str) -> None:
        if asset.upload_id is None:
            return
        try:
            upload = tx.uploads.get(asset.account_id, asset.upload_id)
        except UploadNotFound:
            return
        if upload.state is UploadState.STORED:
            tx.uploads.replace(rules.settled(upload), was=upload.state)
            data = {"asset_id": asset.id, "sha256": sha256}
            tx.events.add(asset.account_id, upload.id, EventKind.UPLOAD_READY, data, now=self._clock.now())

    def _inspect(self, job: Job, asset: Asset) -> Job:
        if asset.kind not in INSPECTED_KINDS:
            return replace(job, state=_recorded(Inspection()))
        seen = self._look_into(asset)
        if seen.thumbnail is not None:
            self._objects.put(
                _thumbnail_key(asset.id), seen.thumbnail, size=len(seen.thumbnail), content_type=THUMBNAIL_TYPE
            )
        with self._database.write() as tx:
            return tx.fenced.checkpoint(job, _INSPECTED, _recorded(seen))

    def _look_into(self, asset: Asset) -> Inspection:
        options = self._options
        with excerpt(self._objects, asset, scratch=options.scratch, limits=options.excerpt, go_on=self._go_on) as (
            copy,
            complete,
        ):
            found = asset.found_type or sniff(copy.read(SNIFF_BYTES))
            copy.seek(0)
            if found in {None, OCTET_STREAM}:
                return Inspection(problem="the bytes are of no media type that is known here")
            file = MediaFile(bytes=copy, content_type=found, size=asset.size, complete=complete)
            return self._inspector.inspect(file, want_thumbnail=options.thumbnails, cancelled=self._interrupt.is_set)

    def _settle(self, job: Job) -> None:
        seen = _seen(job.state)
        with self._database.write() as tx:
            asset = tx.assets.held(*_names(job))
            key = _thumbnail_key(asset.id) if job.state.get("thumbnail") else None
            settled = _settled(asset, seen, thumbnail_key=key)
            self._tell(tx, settled)
            tx.fenced.finish(job)
        self._log("asset.ready", asset_id=settled.id, thumbnail=key is not None, problem=settled.intake_problem)

    def _tell(self, tx: Transaction, settled: Asset) -> None:
        tx.assets.replace(settled)
        data = {
            "asset_id": settled.id,
            "sha256": settled.sha256,
            "facts": _known(settled.facts),
            "thumbnail": settled.thumbnail_key is not None,
            "problem": settled.intake_problem,
        }
        subject = event_subject(settled.id)
        tx.events.add(settled.account_id, subject, EventKind.ASSET_READY, data, now=self._clock.now())

    def _leave_nothing(self, job: Job) -> None:
        """A thumbnail that came too late is named by no row, unless another worker's was, and is shared by now."""
        with self._database.read() as tx:
            unnamed = tx.asset_sweeps.unnamed([_thumbnail_key(_names(job)[1])])
        self._objects.delete(sorted(unnamed))
        with self._database.write() as tx:
            tx.fenced.finish(job)

    def _asset(self, job: Job) -> Asset:
        with self._database.read() as tx:
            return tx.assets.held(*_names(job))

    def _go_on(self) -> None:
        if self._interrupt.is_set():
            raise AttemptInterruptedError


def _names(job: Job) -> tuple[AccountId, AssetId]:
    if job.account_id is None:
        raise AssetNotFound
    return job.account_id, AssetId(str(job.payload["asset_id"]))


def _thumbnail_key(asset_id: AssetId) -> str:
    return f"thumbs/{asset_id}"


def _settled(asset: Asset, seen: Inspection, *, thumbnail_key: str | None) -> Asset:
    return replace(
        asset, facts=seen.facts, intake=IntakeState.DONE, intake_problem=seen.problem, thumbnail_key=thumbnail_key
    )


def _known(facts: MediaFacts | None) -> dict[str, object]:
    return {name: fact for name, fact in asdict(facts).items() if fact is not None} if facts is not None else {}


def _recorded(seen: Inspection) -> dict[str, object]:
    return {"facts": _known(seen.facts), "problem": seen.problem, "thumbnail": seen.thumbnail is not None}


def _seen(state: Mapping[str, object]) -> Inspection:
    facts, problem = state.get("facts"), state.get("problem")
    return Inspection(
        facts=MediaFacts(**facts) if isinstance(facts, dict) and facts else None,
        problem=problem if isinstance(problem, str) else None,
    )
