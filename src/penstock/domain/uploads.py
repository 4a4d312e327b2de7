"""Uploads: the act of bringing bytes in. A table of states, and what admission decides about the bytes that arrived.

pending ──admit──▶ stored ──settle──▶ ready
   │ ├─reject─▶ failed ◀─reject─┘
   │ ├─expire─▶ expired
   │ └─abort──▶ aborted
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.errors import (
    FileHashMismatch,
    FileNotStored,
    FileSizeMismatch,
    FileTooLarge,
    FileTooSmall,
    FileTypeMismatch,
    InvalidField,
    UploadNotCompletable,
)
from penstock.domain.lifecycles import advance
from penstock.domain.media_types import (
    MEDIA_TYPES,
    OCTET_STREAM,
    contradicts,
    is_media_type,
    kind_of,
    says_nothing,
    type_that_counts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.ids import AccountId, AssetId, FolderId, MediaKey, UploadId
    from penstock.domain.media_types import Kind


class UploadState(StrEnum):
    """Where an upload stands."""

    PENDING = "pending"
    STORED = "stored"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"
    ABORTED = "aborted"


class UploadEvent(StrEnum):
    """What can happen to an upload."""

    ADMIT = "admit"
    SETTLE = "settle"
    REJECT = "reject"
    EXPIRE = "expire"
    ABORT = "abort"


class UploadMethod(StrEnum):
    """How the bytes travel: one PUT, a POST form, parts, or fetched by the server from `source_url`."""

    PUT = "put"
    FORM = "form"
    MULTIPART = "multipart"
    FETCH = "fetch"


class SizePolicy(StrEnum):
    """Whether a declared size binds (signed into the URL) or is a hint below a limit."""

    EXACT = "exact"
    ADVISORY = "advisory"


class PartPolicy(StrEnum):
    """How large the parts of a file may be: all but the last as large as we say, or as its owner likes from 5 MiB on.

    Of a file whose parts have any size it is its owner who says when it is whole.
    """

    EVEN = "even"
    ANY = "any"


class TypePolicy(StrEnum):
    """What a declared type that contradicts the bytes means: a refusal, or a fact.

    Under `record` the file is served under the type that was declared of it, unless that said nothing, and the bytes
    alone decide its kind: what models may take it, and whether it may ever be shown inline.
    """

    REFUSE = "refuse"
    RECORD = "record"


UPLOAD_TABLE: Mapping[tuple[UploadState, UploadEvent], UploadState] = {
    (UploadState.PENDING, UploadEvent.ADMIT): UploadState.STORED,
    (UploadState.PENDING, UploadEvent.REJECT): UploadState.FAILED,
    (UploadState.PENDING, UploadEvent.EXPIRE): UploadState.EXPIRED,
    (UploadState.PENDING, UploadEvent.ABORT): UploadState.ABORTED,
    (UploadState.STORED, UploadEvent.SETTLE): UploadState.READY,
    (UploadState.STORED, UploadEvent.REJECT): UploadState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPolicy:
    """What a dialect allows. Sizes in bytes. `url_ttl` is for a client to bring the bytes, `fetch_ttl` for us to.

    `free_form_fields` are fields of a form, beside those that are signed, that a client may fill in as it likes.
    `binds_type`: a PUT must come under the declared type. `confirm_within`: how long its owner may complete an upload
    after having begun it, while nobody else makes an asset of its bytes. None: whoever uses it first does, and in the
    end the server.
    """

    max_bytes: int
    min_bytes: int = 0
    url_ttl: timedelta
    fetch_ttl: timedelta = timedelta(hours=24)
    size_policy: SizePolicy = SizePolicy.EXACT
    type_policy: TypePolicy = TypePolicy.RECORD
    part_policy: PartPolicy = PartPolicy.EVEN
    max_multipart_bytes: int | None = None
    multipart_ttl: timedelta = timedelta(hours=24)
    free_form_fields: tuple[str, ...] = ()
    binds_type: bool = True
    confirm_within: timedelta | None = None

    def life_of(self, method: UploadMethod) -> timedelta:
        """How long an upload may take this way."""
        if method is UploadMethod.FETCH:
            return self.fetch_ttl
        return self.multipart_ttl if method is UploadMethod.MULTIPART else self.url_ttl

    def limit_of(self, method: UploadMethod) -> int:
        """The most bytes that may come this way."""
        in_parts = method in {UploadMethod.MULTIPART, UploadMethod.FETCH}
        if in_parts and self.max_multipart_bytes is not None:
            return self.max_multipart_bytes
        return self.max_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload. `lifetime` is how long its asset shall live after admission (None: until deleted).

    `sha256` (hex) is what the bytes must have. `folder_id` and `tags` are for the asset. Parts have `part_size` bytes
    (None: any size, under `PartPolicy.ANY`) and belong to the store's multipart upload `store_upload_id`, which
    completes on `final_key`. `reserved` bytes of the account's quota are set aside for it until it is over. With a
    `confirm_by` its owner alone completes it, until then; otherwise it ends without an asset.
    """

    id: UploadId
    account_id: AccountId
    dialect: str
    method: UploadMethod
    state: UploadState
    name: str
    declared_type: str
    declared_size: int | None
    size_policy: SizePolicy
    type_policy: TypePolicy
    min_size: int
    max_size: int
    staging_key: str
    media_key: MediaKey
    asset_id: AssetId | None
    failure: str | None
    lifetime: timedelta | None
    created_at: datetime
    expires_at: datetime
    sha256: str | None = None
    folder_id: FolderId | None = None
    tags: tuple[str, ...] = ()
    part_size: int | None = None
    store_upload_id: str | None = None
    final_key: str | None = None
    source_url: str | None = None
    reserved: int = 0
    confirm_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What admission decided about the bytes: the type that counts, the kind, the measured size.

    `found_type` is what the bytes show, `application/octet-stream` where that is no type we know.
    """

    content_type: str
    found_type: str
    kind: Kind
    size: int


def check_declaration(
    *, content_type: str, size: int | None, policy: UploadPolicy, method: UploadMethod = UploadMethod.PUT
) -> None:
    """Check a declaration before anything is created. Raises `InvalidField`, `FileTooLarge`, `FileTooSmall`."""
    if not is_media_type(content_type):
        raise InvalidField(("content_type",), "must be a media type such as image/png")
    if size is None:
        return
    if size < 0:
        raise InvalidField(("size_bytes",), "must not be negative")
    if size > policy.limit_of(method):
        raise FileTooLarge(limit=policy.limit_of(method), actual=size)
    if size < policy.min_bytes:
        raise FileTooSmall(limit=policy.min_bytes, actual=size)


def judge(upload: Upload, *, size: int, found: str | None) -> Admission:
    """Decide about the stored bytes from their size and the type that they show (`sniffing.find_type`).

    Raises `FileTooLarge`, `FileTooSmall`, `FileSizeMismatch` (policy `exact`) or `FileTypeMismatch` (policy `refuse`).
    """
    if size > upload.max_size:
        raise FileTooLarge(limit=upload.max_size, actual=size)
    if size < upload.min_size:
        raise FileTooSmall(limit=upload.min_size, actual=size)
    if upload.size_policy is SizePolicy.EXACT and upload.declared_size not in (None, size):
        raise FileSizeMismatch(declared=upload.declared_size or 0, actual=size)
    if upload.type_policy is TypePolicy.REFUSE and contradicts(upload.declared_type, found):
        if not size:
            raise FileTooSmall(limit=1, actual=0)
        raise FileTypeMismatch(
            declared=upload.declared_type,
            found=found or OCTET_STREAM,
            title=MEDIA_TYPES[found].title if found else "no type that is known here",
        )
    counts = type_that_counts(upload.declared_type, found)
    recorded = upload.type_policy is TypePolicy.RECORD and not says_nothing(upload.declared_type)
    return Admission(
        content_type=upload.declared_type if recorded else counts,
        found_type=found or OCTET_STREAM,
        kind=kind_of(counts),
        size=size,
    )


def require_hash(upload: Upload, sha256: str) -> None:
    """Raises `FileHashMismatch` when the bytes do not have the SHA-256 (hex) that they must have."""
    if upload.sha256 not in {None, sha256}:
        raise FileHashMismatch(declared=upload.sha256 or "", actual=sha256)


def admitted(upload: Upload, *, asset_id: AssetId) -> Upload:
    """The upload after its bytes were accepted as an asset. Raises `IllegalTransition`."""
    return replace(upload, state=_next(upload, UploadEvent.ADMIT), asset_id=asset_id)


def settled(upload: Upload) -> Upload:
    """The upload after intake has finished. Raises `IllegalTransition`."""
    return replace(upload, state=_next(upload, UploadEvent.SETTLE))


def rejected(upload: Upload, *, reason: str) -> Upload:
    """The upload after its bytes were refused. Raises `IllegalTransition`."""
    return replace(upload, state=_next(upload, UploadEvent.REJECT), failure=reason)


def expired(upload: Upload) -> Upload:
    """The upload whose bytes never came, or were not confirmed, in time. Raises `IllegalTransition`."""
    missing = "no bytes arrived in time" if upload.confirm_by is None else "it was not confirmed in time"
    return replace(upload, state=_next(upload, UploadEvent.EXPIRE), failure=missing)


def aborted(upload: Upload) -> Upload:
    """The upload that its owner gave up. Raises `IllegalTransition`."""
    return replace(upload, state=_next(upload, UploadEvent.ABORT))


def is_over(upload: Upload) -> bool:
    """Whether nothing more will happen to the upload itself."""
    return upload.state not in {UploadState.PENDING, UploadState.STORED}


def require_unasked(upload: Upload) -> None:
    """Raises `FileNotStored` when an upload is to be completed by its owner's word alone, and was not yet."""
    if upload.confirm_by is not None and upload.asset_id is None:
        raise FileNotStored(upload.id)


def require_completable(upload: Upload) -> None:
    """Raises `UploadNotCompletable` when the upload has ended without an asset."""
    if upload.state in {UploadState.FAILED, UploadState.EXPIRED, UploadState.ABORTED}:
        raise UploadNotCompletable(upload_id=upload.id, state=upload.state.value, reason=upload.failure)


def _next(upload: Upload, event: UploadEvent) -> UploadState:
    return advance(UPLOAD_TABLE, upload.state, event, subject=f"upload {upload.id}")
