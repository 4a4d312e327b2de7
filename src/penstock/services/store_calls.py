"""Calls that a client's own S3 library makes to the store for one upload, signed one by one as it asks for them.

Such a client begins and completes its multipart upload itself. Whoever may complete could do it twice, so these bytes
go to the staging key and are copied when they are admitted (P7).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from penstock.domain.errors import FileTooLarge, InvalidField, WrongUploadMethod
from penstock.domain.parts import MOST_PARTS
from penstock.domain.uploads import UploadMethod, UploadState, require_completable
from penstock.ports.objects import SignedRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.domain.ids import AccountId, UploadId
    from penstock.domain.uploads import Upload
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database
    from penstock.ports.objects import Presigner

LARGEST_COPY_BYTES = 5 * 2**30
"""What a store copies in one call (S3 API, `CopyObject`)."""
_URL_TTL = timedelta(hours=1)
_SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCall:
    """What the client is about to do. With `multipart_id`, the store's, it is about an upload in parts.

    PUT sends the file, or a part; POST begins an upload in parts, or completes it; GET lists parts; DELETE aborts.
    """

    method: Literal["PUT", "POST", "GET", "DELETE"]
    multipart_id: str | None = None
    part_number: int | None = None


class StoreCalls:
    """Signs calls."""

    def __init__(
        self, database: Database, presigner: Presigner, signed_put: Callable[[Upload], SignedRequest], *, clock: Clock
    ) -> None:
        self._database = database
        self._presigner = presigner
        self._signed_put = signed_put
        self._clock = clock

    def sign(self, account_id: AccountId, upload_id: UploadId, call: StoreCall) -> SignedRequest:
        """The call's URL, for an hour or what is left of the upload's life (S24), and the headers it must carry.

        Raises `UploadNotFound`, `UploadNotCompletable`, `WrongUploadMethod` (also where parts were asked for
        otherwise), `InvalidField`, and `FileTooLarge` for what cannot be copied.
        """
        with self._database.read() as tx:
            upload = tx.uploads.get(account_id, upload_id)
        require_completable(upload)
        whole = call.method == "PUT" and call.multipart_id is None
        wanted = UploadMethod.PUT if whole else UploadMethod.MULTIPART
        if upload.method is not wanted or upload.store_upload_id is not None:
            raise WrongUploadMethod(upload.id, method=upload.method.value)
        if whole:
            put = self._signed_put(upload)
            headers = {name: value for name, value in put.headers.items() if name != "Content-Length"}
            return SignedRequest(method=put.method, url=put.url, headers=headers)
        _check(upload, call)
        return SignedRequest(method=call.method, url=self._url(upload, call), headers={})

    def _url(self, upload: Upload, call: StoreCall) -> str:
        now = self._clock.now().replace(microsecond=0)
        life = max(_SHORTEST, min(_URL_TTL, upload.expires_at - now))
        if call.part_number is not None and call.multipart_id is not None:
            return self._presigner.part(
                upload.staging_key, call.multipart_id, call.part_number, expires_in=life, now=now
            )
        return self._presigner.multipart(
            upload.staging_key, method=call.method, upload_id=call.multipart_id, expires_in=life, now=now
        )


def _check(upload: Upload, call: StoreCall) -> None:
    if upload.declared_size is None:
        raise InvalidField(("size_bytes",), "must be declared by who signs calls of an S3 client")
    if upload.declared_size > LARGEST_COPY_BYTES:
        raise FileTooLarge(limit=LARGEST_COPY_BYTES, actual=upload.declared_size)
    if upload.state is not UploadState.PENDING:
        raise WrongUploadMethod(upload.id, method=upload.method.value)
    if (call.method == "PUT") is not (call.part_number is not None):
        raise InvalidField(("partNumber",), "belongs to a PUT with an uploadId, and to no other call")
    if call.part_number is not None and not 1 <= call.part_number <= MOST_PARTS:
        raise InvalidField(("partNumber",), f"must be 1 to {MOST_PARTS}")
    if call.method != "POST" and call.multipart_id is None:
        raise InvalidField(("uploadId",), "is missing")
