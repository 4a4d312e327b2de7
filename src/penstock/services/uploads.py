"""Uploads: begin one, say where its bytes go, complete it, give it up, end what is overdue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from penstock.domain import uploads as rules
from penstock.domain.errors import (
    AssetNotFound,
    FileNotStored,
    InputError,
    InvalidField,
    ObjectStoreUnavailable,
    UploadIncomplete,
    UploadNotCompletable,
)
from penstock.domain.events import EventKind
from penstock.domain.filenames import clean_filename, url_slug
from penstock.domain.idempotency import require_same
from penstock.domain.ids import MediaKey, UploadId
from penstock.domain.parts import part_size_for
from penstock.domain.sharing import share
from penstock.domain.tags import clean_tags
from penstock.domain.uploads import PartPolicy, Upload, UploadMethod, UploadState
from penstock.ports.events import IdempotencyRaceError
from penstock.services.admission import Admissions
from penstock.services.identity import new_final_key, new_id, new_media_key
from penstock.services.intake import begin_intake
from penstock.services.paging import Page, check_limit, decode_cursor, page_of
from penstock.services.parts import Parts, largest_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.domain.assets import Asset
    from penstock.domain.idempotency import IdempotentRequest
    from penstock.domain.ids import AccountId, FolderId
    from penstock.domain.uploads import UploadPolicy
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction
    from penstock.ports.objects import ObjectStore, Presigner, SignedForm, SignedRequest
    from penstock.telemetry import Log

_VERB = "begin_upload"
OVERDUE_GRACE = timedelta(hours=1)
STAGING_GRACE = timedelta(hours=2)
"""A PUT that began within the life of its URL may still be under way; nothing is ended or removed under it."""
_MAX_UNREAD = 10
"""So many objects that cannot be read mean a store that is down: the sweep tries again later."""


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
        self.parts = Parts(database, objects, presigner, clock=clock)
        self._admissions = Admissions(database, objects, self.parts, clock=clock, entropy=entropy, log=log)

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
        upload = self.declare(account_id, declared, policy)
        try:
            return self._keep_new(upload, idempotency, along)
        except IdempotencyRaceError:
            return self._keep_new(upload, idempotency, along)

    def declare(self, account_id: AccountId, declared: NewUpload, policy: UploadPolicy) -> Upload:
        """An upload as it is about to be kept. Raises `InvalidField`, `FileTooLarge`, `FileTooSmall`."""
        method = declared.method if declared.source_url is None else UploadMethod.FETCH
        rules.check_declaration(content_type=declared.content_type, size=declared.size, policy=policy, method=method)
        in_parts = method is UploadMethod.MULTIPART
        if declared.part_size is not None and not in_parts:
            raise InvalidField(("part_size",), "is for the method multipart alone")
        even = in_parts and policy.part_policy is PartPolicy.EVEN
        part_size = part_size_for(declared.size, wanted=declared.part_size) if even else None
        limit = policy.limit_of(method)
        now = self._clock.now()
        name = clean_filename(declared.filename)
        upload_id = UploadId(new_id(self._entropy))
        return Upload(
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
            max_size=largest_size(part_size, limit=limit),
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
            confirm_by=now + policy.confirm_within if policy.confirm_within is not None else None,
            part_size=part_size,
            final_key=new_final_key(self._entropy, upload_id) if in_parts else None,
        )

    def signed_put(self, upload: Upload, *, binds_type: bool = True) -> SignedRequest:
        """The PUT that brings the bytes, valid until `upload.expires_at`; the same however often it is asked for.

        Where it does not bind the type, the bytes may come under any Content-Type, or none.
        """
        exact = upload.size_policy is rules.SizePolicy.EXACT
        return self._presigner.put(
            upload.staging_key,
            content_type=upload.declared_type if binds_type else None,
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

    def signed_form(self, upload: Upload, *, free: tuple[str, ...] = ()) -> SignedForm:
        """The form that brings the bytes, valid until `upload.expires_at` (S25); `free` fields take any value."""
        exact = upload.size_policy is rules.SizePolicy.EXACT and upload.declared_size is not None
        size = upload.declared_size or 0
        return self._presigner.form(
            upload.staging_key,
            content_type=upload.declared_type,
            min_size=size if exact else upload.min_size,
            max_size=size if exact else upload.max_size,
            expires_in=upload.expires_at - upload.created_at.replace(microsecond=0),
            now=upload.created_at,
            free=free,
        )

    def complete_upload(
        self,
        account_id: AccountId,
        upload_id: UploadId,
        *,
        parts: Mapping[int, str] | None = None,
        lifetime: timedelta | Literal["as declared"] | None = "as declared",
        folder_id: FolderId | None = None,
    ) -> Asset:
        """The asset that the upload makes; the same one however often it is asked for.

        `parts` are ETags by number, for the method `multipart`; None takes all that arrived. A `lifetime` takes the
        place of the declared one, as long as the upload is pending, and `folder_id` of the declared folder. Raises
        `UploadNotFound`, `FolderNotFound`, `FileNotStored` (no bytes yet), `UploadIncomplete`, `UploadNotCompletable`,
        an `InputError` when the bytes are refused, `AssetNotFound` when the asset is gone again.
        """
        with self._database.read() as tx:
            upload = tx.uploads.get(account_id, upload_id)
            if folder_id is not None:
                tx.folders.get(account_id, folder_id)
        if upload.method is UploadMethod.FETCH and upload.state is UploadState.PENDING:
            raise FileNotStored(upload.id)  # whoever fetches the bytes admits them
        if lifetime != "as declared":
            upload = self._with_lifetime(upload, lifetime)
        if folder_id is not None:
            upload = replace(upload, folder_id=folder_id)
        return self._admissions.admit(upload, lives_from=self._clock.now(), parts=parts)

    def _with_lifetime(self, upload: Upload, lifetime: timedelta | None) -> Upload:
        """Kept before anything is made of the bytes, so that whoever ends what this call began knows it, too."""
        if upload.lifetime == lifetime:
            return upload
        with self._database.write() as tx:
            current = tx.uploads.get(upload.account_id, upload.id)
            if current.state is UploadState.PENDING:
                current = replace(current, lifetime=lifetime)
                tx.uploads.replace(current, was=UploadState.PENDING)
        return current

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
                self._admissions.discard(given_up)
                return given_up

    def use_upload(self, account_id: AccountId, upload_id: UploadId) -> Asset:
        """As `complete_upload`, for who uses the file; one that waits for its owner's word is not there yet."""
        rules.require_unasked(self.get(account_id, upload_id))
        return self.complete_upload(account_id, upload_id)

    def admit(self, upload: Upload, *, sha256: str | None = None) -> Asset:
        """Admit the bytes of a pending upload without its owner's word, or return the asset of an admitted one.

        A lifetime counts from the arrival of the bytes, so the asset may be over at once: look before reading it.
        `sha256` is what somebody measured over all bytes on their way in. Raises as `complete_upload`.
        """
        rules.require_unasked(upload)
        return self._admissions.admit(upload, lives_from=None, sha256=sha256)

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
        if upload.method is UploadMethod.FETCH or upload.confirm_by is not None:
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

    def _expire(self, upload: Upload) -> None:
        with self._database.write() as tx:
            if tx.uploads.replace(rules.expired(upload), was=upload.state):
                self._tell(tx, upload, EventKind.UPLOAD_EXPIRED, {})

    def _tell(self, tx: Transaction, upload: Upload, kind: EventKind, data: dict[str, object]) -> None:
        tx.events.add(upload.account_id, upload.id, kind, data, now=self._clock.now())
