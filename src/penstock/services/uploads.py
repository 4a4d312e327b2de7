"""Uploads: begin one, admit its bytes, complete it, give it up.

Admission is synchronous and quick: look at the first bytes, decide, seal (a server-side copy to a key that is never
presigned for writing), then one transaction. Nothing is believed that was not looked at (P6).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
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
    UploadIncomplete,
    UploadNotCompletable,
)
from penstock.domain.events import EventKind
from penstock.domain.filenames import clean_filename, url_slug
from penstock.domain.idempotency import require_same
from penstock.domain.ids import AssetId, MediaKey, UploadId
from penstock.domain.parts import part_size_for
from penstock.domain.sharing import share
from penstock.domain.tags import clean_tags
from penstock.domain.uploads import Upload, UploadMethod, UploadState
from penstock.ports.database import IdempotencyRaceError
from penstock.ports.objects import ObjectChangedError, ObjectNotFoundError
from penstock.services.folders import in_its_folder
from penstock.services.identity import new_id, new_media_key
from penstock.services.intake import begin_intake
from penstock.services.paging import Page, check_limit, decode_cursor, page_of
from penstock.services.parts import Parts, largest_size
from penstock.services.sniffing import sha256_of_object, sniff_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from penstock.domain.idempotency import IdempotentRequest
    from penstock.domain.ids import AccountId, FolderId
    from penstock.domain.uploads import Admission, UploadPolicy
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction
    from penstock.ports.objects import ObjectInfo, ObjectStore, Presigner, SignedForm, SignedRequest
    from penstock.telemetry import Log

_VERB = "begin_upload"
_SEAL_TRIES = 3
OVERDUE_GRACE = timedelta(hours=1)
STAGING_GRACE = timedelta(hours=2)
"""A PUT that began within the life of its URL may still be under way; nothing is ended or removed under it."""
_SEAL_SUFFIX_BYTES = 4
_MAX_UNREAD = 10
"""So many objects that cannot be read mean a store that is down: the sweep tries again later."""
_STORE_TICK = timedelta(seconds=1)
"""Stores tell times in whole seconds, cut off (RFC 9110 §5.6.7): a life must not end earlier than promised (P8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """What a caller declares. `size` in bytes or unknown.

    `lifetime` of the asset counts from the completion that the caller asks for, or else from the arrival of the bytes;
    None: until deleted. `folder_id` and `tags` are for the asset. With a `source_url` the server fetches the bytes;
    `sha256` (hex) is what they must have.
    `part_size` (bytes) is a wish, for the method `multipart`.
    """

    dialect: str
    filename: str
    content_type: str
    size: int | None
    lifetime: timedelta | None = None
    source_url: str | None = None
    sha256: str | None = None
    method: UploadMethod = UploadMethod.PUT
    part_size: int | None = None
    folder_id: FolderId | None = None
    tags: tuple[str, ...] = ()


class Uploads:
    """Use cases on uploads."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        presigner: Presigner,
        *,
        clock: Clock,
        entropy: Entropy,
        log: Log,
    ) -> None:
        self._database = database
        self._objects = objects
        self._presigner = presigner
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self.parts = Parts(database, objects, presigner, clock=clock)

    def begin_upload(
        self,
        account_id: AccountId,
        declared: NewUpload,
        policy: UploadPolicy,
        *,
        idempotency: IdempotentRequest | None = None,
        along: Callable[[Transaction, Upload], None] = lambda _tx, _upload: None,
    ) -> Upload:
        """Create an upload to which bytes can be PUT (`signed_put`). A repeat under one key returns the first.

        Where the account holds bytes of the declared `sha256`, the upload is ready at once, with an asset of its own on
        the same bytes; it is judged here then, and raises as `complete_upload`. `along` is done in the transaction that
        creates a pending one. Raises `InvalidField`, `FileTooLarge`, `FileTooSmall`, `FolderNotFound`,
        `IdempotencyMismatch`, `QuotaExceeded`.
        """
        method = declared.method if declared.source_url is None else UploadMethod.FETCH
        rules.check_declaration(content_type=declared.content_type, size=declared.size, policy=policy, method=method)
        in_parts = method is UploadMethod.MULTIPART
        part_size = part_size_for(declared.size, wanted=declared.part_size) if in_parts else None
        limit = policy.limit_of(method)
        now = self._clock.now()
        name = clean_filename(declared.filename)
        upload_id = UploadId(new_id(self._entropy))
        upload = Upload(
            id=upload_id,
            account_id=account_id,
            dialect=declared.dialect,
            method=method,
            state=UploadState.PENDING,
            name=name,
            declared_type=declared.content_type,
            declared_size=declared.size,
            size_policy=policy.size_policy,
            type_policy=policy.type_policy,
            min_size=policy.min_bytes,
            max_size=limit if part_size is None else largest_size(part_size, limit=limit),
            staging_key=f"staging/{upload_id}",
            media_key=MediaKey(new_media_key(self._entropy, url_slug(name))),
            asset_id=None,
            failure=None,
            lifetime=declared.lifetime,
            created_at=now,
            expires_at=now.replace(microsecond=0) + policy.life_of(method),
            sha256=declared.sha256,
            folder_id=declared.folder_id,
            tags=clean_tags(declared.tags),
            source_url=declared.source_url,
            reserved=declared.size or 0,
            part_size=part_size,
            final_key=self._new_final_key(upload_id) if in_parts else None,
        )
        try:
            return self._keep_new(upload, idempotency, along)
        except IdempotencyRaceError:
            return self._keep_new(upload, idempotency, along)

    def signed_put(self, upload: Upload) -> SignedRequest:
        """The PUT that brings the bytes, valid until `upload.expires_at`; the same however often it is asked for."""
        exact = upload.size_policy is rules.SizePolicy.EXACT
        return self._presigner.put(
            upload.staging_key,
            content_type=upload.declared_type,
            size=upload.declared_size if exact else None,
            max_size=None if exact and upload.declared_size is not None else upload.max_size,
            expires_in=upload.expires_at - upload.created_at.replace(microsecond=0),
            now=upload.created_at,
            sha256=upload.sha256,
        )

    def get(self, account_id: AccountId, upload_id: UploadId) -> Upload:
        """Raises `UploadNotFound`."""
        with self._database.read() as tx:
            return tx.uploads.get(account_id, upload_id)

    def page(self, account_id: AccountId, *, cursor: str | None, limit: int) -> Page[Upload]:
        """Newest first. Raises `InvalidCursor`, `InvalidField`."""
        check_limit(limit)
        with self._database.read() as tx:
            found = tx.uploads.page(account_id, below=decode_cursor(cursor), limit=limit + 1)
        return page_of(found, limit, lambda upload: (upload.created_at, upload.id))

    def signed_form(self, upload: Upload) -> SignedForm:
        """The form that brings the bytes, valid until `upload.expires_at` (S25)."""
        exact = upload.size_policy is rules.SizePolicy.EXACT and upload.declared_size is not None
        size = upload.declared_size or 0
        return self._presigner.form(
            upload.staging_key,
            content_type=upload.declared_type,
            min_size=size if exact else upload.min_size,
            max_size=size if exact else upload.max_size,
            expires_in=upload.expires_at - upload.created_at.replace(microsecond=0),
            now=upload.created_at,
        )

    def complete_upload(
        self, account_id: AccountId, upload_id: UploadId, *, parts: Mapping[int, str] | None = None
    ) -> Asset:
        """The asset that the upload makes; the same one however often it is asked for.

        `parts` are ETags by number, for the method `multipart`; None takes all that arrived. Raises `UploadNotFound`,
        `FileNotStored` (no bytes yet), `UploadIncomplete`, `UploadNotCompletable`, an `InputError` when the bytes are
        refused, `AssetNotFound` when the asset is gone again.
        """
        upload = self.get(account_id, upload_id)
        if upload.method is UploadMethod.FETCH and upload.state is UploadState.PENDING:
            raise FileNotStored(upload.id)  # whoever fetches the bytes admits them
        return self._admit(upload, lives_from=self._clock.now(), parts=parts)

    def abort_upload(self, account_id: AccountId, upload_id: UploadId) -> Upload:
        """Give a pending upload up; idempotent. Raises `UploadNotFound`, `IllegalTransition`."""
        while True:  # until it is given up, or somebody else has ended it
            with self._database.write() as tx:
                upload = tx.uploads.get(account_id, upload_id)
                if upload.state is UploadState.ABORTED:
                    return upload
                given_up = rules.aborted(upload)
                done = tx.uploads.replace(given_up, was=upload.state)
                if done:
                    self._tell(tx, upload, EventKind.UPLOAD_ABORTED, {})
            if done:
                self._discard(given_up)
                return given_up

    def admit(self, upload: Upload, *, sha256: str | None = None) -> Asset:
        """Admit the bytes of a pending upload without its owner's word, or return the asset of an admitted one.

        A lifetime counts from the arrival of the bytes, so the asset may be over at once: look before reading it.
        `sha256` is what somebody measured over all bytes on their way in. Raises as `complete_upload`.
        """
        return self._admit(upload, lives_from=None, sha256=sha256)

    def _admit(
        self,
        upload: Upload,
        *,
        lives_from: datetime | None,
        sha256: str | None = None,
        parts: Mapping[int, str] | None = None,
    ) -> Asset:
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
            except ObjectNotFoundError:
                return self._without_bytes(upload)
            except ObjectChangedError:
                continue
        msg = "the file is being replaced while it is read; try again"
        raise ObjectStoreUnavailable(msg)

    def _place(self, upload: Upload, parts: Mapping[int, str] | None, *, asked: bool) -> str:
        """The key that the bytes are under."""
        if upload.method is UploadMethod.MULTIPART:
            return self.parts.assemble(upload, parts, asked=asked)
        return upload.final_key or upload.staging_key

    def _discard(self, upload: Upload) -> None:
        """Free at once what can be freed; the sweep does what fails now."""
        with contextlib.suppress(Unavailable):
            self.parts.discard(upload)

    def _new_final_key(self, upload_id: UploadId) -> str:
        return f"assets/{upload_id}-{self._entropy.random_bytes(_SEAL_SUFFIX_BYTES).hex()}"

    def expire_overdue(self, *, limit: int) -> int:
        """Admit overdue uploads whose bytes came, end the others (F17). Returns how many it looked at."""
        with self._database.read() as tx:
            overdue = tx.uploads.overdue(now=self._clock.now() - OVERDUE_GRACE, limit=limit)
        unread: list[ObjectStoreUnavailable] = []
        for upload in overdue:
            try:
                self._settle_overdue(upload)
            except ObjectStoreUnavailable as error:  # one damaged object must not keep all that come after it
                unread.append(error)
                if len(unread) == _MAX_UNREAD:
                    break
        if unread:
            raise unread[0]
        return len(overdue)

    def _settle_overdue(self, upload: Upload) -> None:
        if upload.method is UploadMethod.FETCH:
            self._expire(upload)
            return
        try:
            self.admit(upload)
        except (FileNotStored, UploadIncomplete):
            self._expire(upload)
        except (InputError, UploadNotCompletable, AssetNotFound):
            return  # its end is written

    def sweep_staging(self, *, limit: int) -> int:
        """Remove the staging objects of uploads that are over and whose URL can write no more. Returns how many."""
        with self._database.read() as tx:
            done = tx.uploads.unswept(now=self._clock.now() - STAGING_GRACE, limit=limit)
        self._objects.delete(upload.staging_key for upload in done)
        for upload in done:
            if upload.asset_id is None:
                self.parts.discard(upload)
        if done:
            with self._database.write() as tx:
                tx.uploads.mark_swept(upload.id for upload in done)
        return len(done)

    def _keep_new(
        self, upload: Upload, idempotency: IdempotentRequest | None, along: Callable[[Transaction, Upload], None]
    ) -> Upload:
        with self._database.write() as tx:
            if idempotency is not None:
                known = tx.idempotency.find(upload.account_id, _VERB, idempotency.key)
                if known is not None:
                    require_same(idempotency, fingerprint=known[0])
                    return tx.uploads.get(upload.account_id, UploadId(known[1]))
                tx.idempotency.add(
                    upload.account_id,
                    _VERB,
                    idempotency.key,
                    fingerprint=idempotency.fingerprint,
                    subject=upload.id,
                    now=upload.created_at,
                )
            if upload.folder_id is not None:
                tx.folders.get(upload.account_id, upload.folder_id)
            instant = self._instant(tx, upload)
            if instant is not None:
                return instant
            tx.uploads.add(upload)
            along(tx, upload)
        return upload

    def _instant(self, tx: Transaction, upload: Upload) -> Upload | None:
        """The upload, ready at once, where its account holds its bytes already. Raises what judging them raises.

        The account alone is asked: whether others hold them shows in nothing (S23). What is shared cannot be purged
        meanwhile, for its row is locked, and is never found once it was.
        """
        sha256, now = upload.sha256, upload.created_at
        if sha256 is None or upload.method is UploadMethod.FETCH:
            return None
        if upload.folder_id is not None and not tx.folders.hold(upload.account_id, upload.folder_id):
            upload = replace(upload, folder_id=None)  # removed since it was looked at
        source = tx.assets.holding(upload.account_id, sha256, now=now)
        if source is None:
            return None
        ready, asset = share(upload, source, now=now)
        tx.uploads.add(ready)
        tx.assets.add(asset)
        self._tell(tx, ready, EventKind.UPLOAD_STORED, {"asset_id": asset.id, "size": asset.size})
        self._tell(tx, ready, EventKind.UPLOAD_READY, {"asset_id": asset.id, "sha256": asset.sha256})
        begin_intake(tx, asset, entropy=self._entropy)
        return ready

    def _refuse(self, upload: Upload, error: InputError) -> Asset:
        """End the upload and raise `error`. When somebody has admitted earlier bytes meanwhile, theirs is the asset."""
        with self._database.write() as tx:
            refused = tx.uploads.replace(rules.rejected(upload, reason=error.message), was=upload.state)
            if refused:
                self._tell(tx, upload, EventKind.UPLOAD_FAILED, {"reason": error.message, "code": error.code})
        if refused:
            self._log("upload.rejected", upload_id=upload.id, reason=error.code)
            self._discard(upload)
            raise error
        current = self.get(upload.account_id, upload.id)
        if current.asset_id is None:
            raise error
        return self._asset_of(current)

    def _expire(self, upload: Upload) -> None:
        with self._database.write() as tx:
            if tx.uploads.replace(rules.expired(upload), was=upload.state):
                self._tell(tx, upload, EventKind.UPLOAD_EXPIRED, {})

    def _seal(self, upload: Upload, info: ObjectInfo, admission: Admission, *, lives_from: datetime) -> Asset:
        """Copy to the final key, then commit. Who loses a race removes its copy and takes the winner's asset (F14).

        What came in parts is on its final key already, where no URL can write: that one object is everybody's.
        """
        now = self._clock.now()
        own_copy = upload.final_key is None
        final_key = upload.final_key or self._new_final_key(upload.id)
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
        current = self.get(upload.account_id, upload.id)
        if current.asset_id is None:
            self._discard(current)
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
        current = self.get(upload.account_id, upload.id)
        if current.asset_id is not None:
            return self._asset_of(current)
        rules.require_completable(current)
        raise FileNotStored(upload.id)

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
