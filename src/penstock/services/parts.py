"""Files that arrive in parts: URLs for the parts, what has arrived, and the object that they become (P7).

Parts go to the final key itself, and nothing can be written there by a part's URL once they are one object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.errors import (
    FileNotStored,
    FileTooLarge,
    UploadIncomplete,
    UploadNotCompletable,
    WrongUploadMethod,
)
from penstock.domain.parts import MOST_PARTS, check_part_numbers, chosen_parts, part_count
from penstock.domain.uploads import UploadMethod, UploadState, require_completable
from penstock.ports.objects import MultipartGoneError, ObjectNotFoundError, PartsRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from penstock.domain.ids import AccountId, UploadId
    from penstock.domain.uploads import Upload
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database
    from penstock.ports.objects import ObjectStore, Presigner, StoredPart

_URL_TTL = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedParts:
    """URLs by part number, each for one PUT of one part, until `expires_at`."""

    urls: Mapping[int, str]
    expires_at: datetime


class Parts:
    """Use cases on uploads of method `multipart`."""

    def __init__(self, database: Database, objects: ObjectStore, presigner: Presigner, *, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._presigner = presigner
        self._clock = clock

    def sign(self, account_id: AccountId, upload_id: UploadId, numbers: Sequence[int]) -> SignedParts:
        """URLs for parts, for an hour or what is left of the upload's life (S24).

        Raises `UploadNotFound`, `WrongUploadMethod`, `UploadNotCompletable`, `InvalidField`.
        """
        upload = self._open(account_id, upload_id)
        check_part_numbers(numbers, count=part_count(upload.declared_size, upload.part_size))
        upload = self._begun(upload)
        now = self._clock.now().replace(microsecond=0)
        life = min(_URL_TTL, upload.expires_at - now)
        urls = {
            number: self._presigner.part(
                upload.final_key or "", upload.store_upload_id or "", number, expires_in=life, now=now
            )
            for number in numbers
        }
        return SignedParts(urls=urls, expires_at=now + life)

    def arrived(
        self, account_id: AccountId, upload_id: UploadId, *, after: int, limit: int
    ) -> tuple[Sequence[StoredPart], bool]:
        """Up to `limit` parts that the store has, ascending, above the number `after`; and whether there are more.

        Raises `UploadNotFound`, `WrongUploadMethod`, `UploadNotCompletable`.
        """
        upload = self._open(account_id, upload_id)
        if upload.store_upload_id is None:
            return (), False
        found: list[StoredPart] = []
        try:
            for part in self._objects.multiparts.parts(upload.final_key or "", upload.store_upload_id, after=after):
                if len(found) == limit:
                    return found, True
                found.append(part)
        except MultipartGoneError:
            return (), False
        return found, False

    def assemble(self, upload: Upload, named: Mapping[int, str] | None, *, asked: bool) -> str:
        """Make one object of the parts, and return its key; the same one however often it is asked for.

        `named` are the ETags by number that make the file, None all that arrived. Not `asked` by the owner, a file of
        unknown size, or of parts of any size, is not taken for complete. Raises `FileNotStored`, `UploadIncomplete`,
        `FileTooLarge`.
        """
        if upload.store_upload_id is None or upload.final_key is None:
            raise _nothing_arrived(upload, named)
        multiparts, key = self._objects.multiparts, upload.final_key
        try:
            there = {part.number: part for part in multiparts.parts(key, upload.store_upload_id)}
        except MultipartGoneError:
            return self._made_before(upload, key)
        if not there:
            raise _nothing_arrived(upload, named)
        if not (asked or _shows_when_whole(upload)):
            raise FileNotStored(upload.id)
        numbers = chosen_parts(upload, {number: (part.size, part.etag) for number, part in there.items()}, named)
        total = sum(there[number].size for number in numbers)
        if total > upload.max_size:
            raise FileTooLarge(limit=upload.max_size, actual=total)
        try:
            multiparts.complete(key, upload.store_upload_id, [there[number] for number in numbers])
        except MultipartGoneError:
            raise FileNotStored(upload.id) from None
        except PartsRefusedError:
            raise UploadIncomplete(upload.id, "a part was replaced while they were joined, or none was sent") from None
        return key

    def discard(self, upload: Upload) -> None:
        """Free what arrived of an upload that ended without an asset. Idempotent. Raises `Unavailable`."""
        if upload.final_key is None:
            return
        if upload.store_upload_id is not None:
            self._objects.multiparts.abort(upload.final_key, upload.store_upload_id)
        self._objects.delete([upload.final_key])

    def _open(self, account_id: AccountId, upload_id: UploadId) -> Upload:
        with self._database.read() as tx:
            upload = tx.uploads.get(account_id, upload_id)
        if upload.method is not UploadMethod.MULTIPART:
            raise WrongUploadMethod(upload.id, method=upload.method.value)
        require_completable(upload)
        if upload.state is not UploadState.PENDING or upload.expires_at <= self._clock.now() + timedelta(seconds=1):
            raise UploadNotCompletable(upload_id=upload.id, state=upload.state.value, reason="it takes no more parts")
        return upload

    def _begun(self, upload: Upload) -> Upload:
        """The upload with its place in the store. Of two that begin at once, one gives its own up again."""
        if upload.store_upload_id is not None:
            return upload
        key = upload.final_key or ""
        begun = self._objects.multiparts.begin(key, content_type=upload.declared_type)
        with self._database.write() as tx:
            current = tx.uploads.get(upload.account_id, upload.id)
            if current.store_upload_id is None and current.state is UploadState.PENDING:
                current = replace(current, store_upload_id=begun)
                tx.uploads.replace(current, was=UploadState.PENDING)
        if current.store_upload_id != begun:
            self._objects.multiparts.abort(key, begun)
        require_completable(current)
        return current

    def _made_before(self, upload: Upload, key: str) -> str:
        """Joined by a call whose end nobody saw."""
        try:
            self._objects.head(key)
        except ObjectNotFoundError:
            raise FileNotStored(upload.id) from None
        return key


def largest_size(part_size: int | None, *, limit: int) -> int:
    """The largest file, in bytes, that so large parts can make within a limit."""
    return limit if part_size is None else min(limit, part_size * MOST_PARTS)


def are_whole(objects: ObjectStore, upload: Upload) -> bool:
    """Whether the parts that arrived make the file without its owner's word. Changes nothing."""
    if upload.store_upload_id is None or upload.final_key is None or not _shows_when_whole(upload):
        return False
    try:
        found = objects.multiparts.parts(upload.final_key, upload.store_upload_id)
        return bool(chosen_parts(upload, {part.number: (part.size, part.etag) for part in found}, None))
    except (MultipartGoneError, UploadIncomplete):
        return False


def _shows_when_whole(upload: Upload) -> bool:
    """Whether it can be told from the parts that all have arrived."""
    return upload.declared_size is not None and upload.part_size is not None


def _nothing_arrived(upload: Upload, named: Mapping[int, str] | None) -> FileNotStored | UploadIncomplete:
    if named:
        return UploadIncomplete(upload.id, "none of the parts arrived")
    return FileNotStored(upload.id)
