"""Admission: what becomes of the bytes that arrived. Synchronous and quick.

Look at the first bytes, decide, seal (a server-side copy to a key that is never presigned for writing), then one
transaction. Nothing is believed that was not looked at (P6).
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain import uploads as rules
from penstock.domain.assets import Asset, intake_of_new, is_readable
from penstock.domain.errors import (
    AssetNotFound,
    FileNotStored,
    InputError,
    ObjectStoreUnavailable,
    QuotaExceeded,
    Unavailable,
)
from penstock.domain.events import EventKind
from penstock.domain.ids import AssetId
from penstock.domain.uploads import Upload, UploadMethod, UploadState
from penstock.ports.objects import ObjectChangedError, ObjectNotFoundError
from penstock.services.folders import in_its_folder
from penstock.services.identity import new_final_key
from penstock.services.intake import begin_intake
from penstock.services.sniffing import sha256_of_object, sniff_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from penstock.domain.uploads import Admission
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction
    from penstock.ports.objects import ObjectInfo, ObjectStore
    from penstock.services.parts import Parts
    from penstock.telemetry import Log

_SEAL_TRIES = 3
_STORE_TICK = timedelta(seconds=1)
"""Stores tell times in whole seconds, cut off (RFC 9110 §5.6.7): a life must not end earlier than promised (P8)."""


class Admissions:
    """Admits, or refuses."""

    def __init__(
        self, database: Database, objects: ObjectStore, parts: Parts, *, clock: Clock, entropy: Entropy, log: Log
    ) -> None:
        self._database = database
        self._objects = objects
        self._parts = parts
        self._clock = clock
        self._entropy = entropy
        self._log = log

    def admit(
        self,
        upload: Upload,
        *,
        lives_from: datetime | None,
        sha256: str | None = None,
        parts: Mapping[int, str] | None = None,
    ) -> Asset:
        """Admit the bytes of a pending upload, or return the asset of an admitted one.

        A lifetime counts from `lives_from`, when its owner asked, or from the arrival of the bytes. `sha256` is what
        somebody measured over all bytes on their way in, `parts` are ETags by number. Raises as
        `Uploads.complete_upload`.
        """
        if upload.asset_id is not None:
            return self._asset_of(upload)
        rules.require_completable(upload)
        for _ in range(_SEAL_TRIES):
            try:
                info, found = sniff_object(self._objects, self._place(upload, parts, asked=lives_from is not None))
                admission = rules.judge(upload, size=info.size, found=found)
                info = replace(info, sha256=info.sha256 or sha256)
                if info.sha256 is not None:
                    rules.require_hash(upload, info.sha256)
                return self._seal(upload, info, admission, lives_from=lives_from or info.modified_at + _STORE_TICK)
            except InputError as error:
                return self._refuse(upload, error)
            except (ObjectNotFoundError, FileNotStored):
                return self._without_bytes(upload)
            except ObjectChangedError:
                continue
        msg = "the file is being replaced while it is read; try again"
        raise ObjectStoreUnavailable(msg)

    def discard(self, upload: Upload) -> None:
        """Free at once what can be freed; the sweep does what fails now."""
        with contextlib.suppress(Unavailable):
            self._parts.discard(upload)

    def _place(self, upload: Upload, parts: Mapping[int, str] | None, *, asked: bool) -> str:
        """The key that the bytes are under."""
        if upload.method is UploadMethod.MULTIPART:
            return self._parts.assemble(upload, parts, asked=asked)
        return upload.final_key or upload.staging_key

    def _refuse(self, upload: Upload, error: InputError) -> Asset:
        """End the upload and raise `error`. When somebody has admitted earlier bytes meanwhile, theirs is the asset."""
        with self._database.write() as tx:
            refused = tx.uploads.replace(rules.rejected(upload, reason=error.message), was=upload.state)
            if refused:
                self._tell(tx, upload, EventKind.UPLOAD_FAILED, {"reason": error.message, "code": error.code})
        if refused:
            self._log("upload.rejected", upload_id=upload.id, reason=error.code)
            self.discard(upload)
            raise error
        current = self._current(upload)
        if current.asset_id is None:
            raise error
        return self._asset_of(current)

    def _seal(self, upload: Upload, info: ObjectInfo, admission: Admission, *, lives_from: datetime) -> Asset:
        """Copy to the final key, then commit. Who loses a race removes its copy and takes the winner's asset (F14).

        What came in parts is on its final key already, where no URL can write: that one object is everybody's.
        """
        now = self._clock.now()
        own_copy = upload.final_key is None
        final_key = upload.final_key or new_final_key(self._entropy, upload.id)
        sealed = self._objects.copy(info, final_key, content_type=admission.content_type) if own_copy else info
        sha256 = self._required_hash(upload, sealed, sealed.sha256 or info.sha256)
        asset = Asset(
            id=AssetId(upload.id),
            account_id=upload.account_id,
            upload_id=upload.id,
            run_id=None,
            name=upload.name,
            size=admission.size,
            sha256=sha256,
            content_type=admission.content_type,
            declared_type=upload.declared_type,
            found_type=admission.found_type,
            kind=admission.kind,
            object_key=final_key,
            media_key=upload.media_key,
            created_at=now,
            expires_at=lives_from + upload.lifetime if upload.lifetime is not None else None,
            folder_id=upload.folder_id,
            tags=upload.tags,
            intake=intake_of_new(kind=admission.kind, sha256=sha256),
        )
        stored = rules.admitted(upload, asset_id=asset.id)
        final = rules.settled(stored) if sha256 is not None else stored
        committing = False
        try:
            with self._database.write() as tx:
                won = tx.uploads.replace(final, was=UploadState.PENDING)
                if won:
                    asset = in_its_folder(tx, asset)
                    tx.assets.add(asset)
                    self._tell(tx, upload, EventKind.UPLOAD_STORED, {"asset_id": asset.id, "size": asset.size})
                    begin_intake(tx, asset, entropy=self._entropy)
                    if sha256 is not None:
                        self._tell(tx, upload, EventKind.UPLOAD_READY, {"asset_id": asset.id, "sha256": sha256})
                committing = True
        except QuotaExceeded:
            if own_copy:
                with contextlib.suppress(Unavailable):
                    self._objects.delete([final_key])
            raise
        except Unavailable:
            if own_copy and not committing:  # a commit that failed may have happened (P6)
                with contextlib.suppress(Unavailable):
                    self._objects.delete([final_key])
            raise
        if not won:
            return self._asset_of_winner(upload, own_copy=[final_key] if own_copy else [])
        self._log(
            "upload.admitted", upload_id=upload.id, asset_id=asset.id, size=asset.size, content_type=asset.content_type
        )
        return asset

    def _asset_of_winner(self, upload: Upload, *, own_copy: Sequence[str]) -> Asset:
        """What became of an upload that somebody else has ended meanwhile."""
        self._objects.delete(own_copy)
        current = self._current(upload)
        if current.asset_id is None:
            self.discard(current)
        return self._asset_of(current)

    def _required_hash(self, upload: Upload, sealed: ObjectInfo, known: str | None) -> str | None:
        """The SHA-256 of sealed bytes as far as it is known; where one was declared it is measured, and must be that.

        Measured after sealing, so that no other bytes can be put in the place of those that were read (P7).
        """
        if upload.sha256 is None or known is not None:
            return known
        measured = sha256_of_object(self._objects, sealed.key)
        try:
            rules.require_hash(upload, measured)
        except InputError:
            if upload.final_key is None:
                with contextlib.suppress(Unavailable):
                    self._objects.delete([sealed.key])
            raise
        return measured

    def _without_bytes(self, upload: Upload) -> Asset:
        """No staging object: not there yet, or a concurrent caller has admitted it and it was swept."""
        current = self._current(upload)
        if current.asset_id is not None:
            return self._asset_of(current)
        rules.require_completable(current)
        raise FileNotStored(upload.id)

    def _current(self, upload: Upload) -> Upload:
        with self._database.read() as tx:
            return tx.uploads.get(upload.account_id, upload.id)

    def _asset_of(self, upload: Upload) -> Asset:
        rules.require_completable(upload)
        if upload.asset_id is None:
            raise FileNotStored(upload.id)
        with self._database.read() as tx:
            asset = tx.assets.get(upload.account_id, upload.asset_id)
            leased = asset.expires_at is not None and tx.assets.is_leased(asset.id)
        if not is_readable(asset, at=self._clock.now(), leased=leased):
            raise AssetNotFound(upload.asset_id)
        return asset

    def _tell(self, tx: Transaction, upload: Upload, kind: EventKind, data: dict[str, object]) -> None:
        tx.events.add(upload.account_id, upload.id, kind, data, now=self._clock.now())
