"""Moving one file from somebody's server into the object store: part by part, and on from the last one after a break.

What is in the store decides where to go on; what the next attempt must know besides is kept through a `Keeper`. Two
versions of a file are never spliced (F29): only a strong ETag that is still the same lets a transfer go on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from penstock.domain import uploads as rules
from penstock.domain.foreign import FetchManner
from penstock.domain.sniffing import MAX_BYTES, SNIFF_BYTES, find_type
from penstock.ports.fetch import Download, SourceFailedError, SourceRefusedError
from penstock.ports.objects import MultipartGoneError, ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from penstock.domain.uploads import Admission, Upload
    from penstock.ports.fetch import Answer, Fetcher
    from penstock.ports.objects import ObjectStore, StoredPart

_MOST_PARTS = 10_000
_LARGEST_PART = 128 * 2**20
"""A part is in memory while it comes."""
_WORTHWHILE = 2**20
"""A connection that brought so many bytes before it broke is followed by the next one at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The version of the file that is being fetched: its strong ETag and its size, where the server tells them."""

    etag: str | None
    size: int | None


class _NotYetError(Exception):
    """A look at the type wants bytes that have not come."""


class Keeper(Protocol):
    """What a transfer tells whoever runs it. All may raise to end it."""

    def answered(self, source: Source) -> None:
        """The file's first bytes came and are welcome: this version is what is fetched from now on."""
        ...

    def parts_begun(self, upload: Upload) -> None:
        """The upload's parts go there from now on; to be durable before the first one is."""
        ...

    def judged(self, admission: Admission) -> None:
        """The first bytes show what it is, and at least so large; an `InputError` if that is not welcome."""
        ...

    def look(self, received: int) -> None:
        """Called often: so many bytes are there."""
        ...


@dataclass(slots=True, kw_only=True)
class _Bytes:
    """What is there of the file: parts in the store, and what came after them."""

    parts: list[StoredPart] = field(default_factory=list)
    buffer: bytearray = field(default_factory=bytearray)
    digest: hashlib._Hash | None = None

    @property
    def stored(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def total(self) -> int:
        return self.stored + len(self.buffer)


class Transfer:
    """One attempt at one upload, which it leaves with its bytes under `staging_key`, or under `final_key` if large."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        upload: Upload,
        source: Source | None,
        fetcher: Fetcher,
        objects: ObjectStore,
        *,
        keeper: Keeper,
        new_final_key: Callable[[], str],
        part_bytes: int,
        manner: FetchManner | None = None,
    ) -> None:
        self.upload = upload
        self._source = source
        self._fetcher = fetcher
        self._objects = objects
        self._keeper = keeper
        self._new_final_key = new_final_key
        self._part_bytes = part_bytes
        self._manner = manner or FetchManner()
        self._there = _Bytes(digest=hashlib.sha256())
        self._content_type: str | None = None
        self._found = 0

    def bring(self, *, within: timedelta) -> str | None:
        """Bring all bytes into the store. Returns their SHA-256 (hex) if all of them came by in this attempt.

        Raises `SourceError`s, an `InputError` for a file that is not welcome, and what the store and the keeper raise.
        """
        if self._find_what_is_there():
            return None
        while True:
            before = self._there.total
            try:
                self._receive(within)
                break
            except SourceFailedError:
                if self._etag is None or self._there.total - before < _WORTHWHILE:
                    raise
        self._finish()
        return self._there.digest.hexdigest() if self._there.digest is not None else None

    @property
    def advanced(self) -> bool:
        """Whether the next attempt will find more than this one did."""
        return self._there.stored > self._found

    @property
    def _etag(self) -> str | None:
        return self._source.etag if self._source is not None else None

    @property
    def _size(self) -> int | None:
        return self._source.size if self._source is not None else None

    def _find_what_is_there(self) -> bool:
        """Take up the parts of earlier attempts; True when the whole file is there already, as one object."""
        if self.upload.store_upload_id is None or self.upload.final_key is None:
            return False
        key, multipart = self.upload.final_key, self.upload.store_upload_id
        try:
            parts = list(self._objects.multiparts.parts(key, multipart))
        except MultipartGoneError:
            return self._is_whole(key)
        if sum(part.size for part in parts) == self._size and are_all(parts):
            self._objects.multiparts.complete(key, multipart, parts)
            return True
        self._there.parts = [
            part for number, part in enumerate(parts, 1) if part.number == number and part.size == self.upload.part_size
        ]
        if self._there.parts:
            self._found = self._there.stored
            self._there.digest = None  # nobody can go on with the hash of what another process saw
        return False

    def _is_whole(self, key: str) -> bool:
        """Whether the parts became the object before; if not, they are gone, and all begins anew."""
        try:
            self._objects.head(key)
        except ObjectNotFoundError:
            self.upload = replace(self.upload, store_upload_id=None, final_key=None)
            return False
        return True

    def _receive(self, within: timedelta) -> None:
        """Receive the rest of the file, or, when it is another version by now, all of it."""
        upload = self.upload
        resumes = self._etag is not None and self._there.total > 0
        download = Download(
            url=upload.source_url or "",
            max_bytes=upload.max_size,
            within=within,
            watch=lambda: self._keeper.look(self._there.total),
            start=self._there.total if resumes else 0,
            etag=self._etag if resumes else None,
            manner=self._manner,
        )
        with self._fetcher.get(download) as answer:
            if answer.start == 0:
                self._start_over(answer)
            for block in answer.blocks():
                self._take(block)
        if self._content_type is None and not self._there.parts:
            self._welcome(ended=True)

    def _start_over(self, answer: Answer) -> None:
        """Forget what is there of another version, or of one that nothing shows to be the same."""
        if self._there.parts and self.upload.store_upload_id is not None and self.upload.final_key is not None:
            self._objects.multiparts.abort(self.upload.final_key, self.upload.store_upload_id)
            self.upload = replace(self.upload, store_upload_id=None, final_key=None)
        self._there = _Bytes(digest=hashlib.sha256())
        self._source = Source(etag=answer.etag, size=answer.size)
        self._content_type = None

    def _take(self, block: bytes) -> None:
        there = self._there
        there.buffer += block
        if there.digest is not None:
            there.digest.update(block)
        if self._content_type is None and not there.parts and len(there.buffer) >= MAX_BYTES:
            self._welcome(ended=False)
        if len(there.buffer) > self._part_size:  # not when it is just full: the last part is never empty
            self._store_part(self._part_size)

    def _welcome(self, *, ended: bool) -> None:
        """Judge by the first bytes and the announced size, before all the others move. Raises an `InputError`.

        A type that only later bytes show is left to admission, which looks at the whole.
        """
        here, head = len(self._there.buffer), bytes(self._there.buffer[:SNIFF_BYTES])
        size = here if ended else self._size
        try:
            found = find_type(head, size=size if size is not None else self.upload.max_size, read=self._at_hand)
        except _NotYetError:
            self._content_type = self.upload.declared_type
        else:
            known = size if size is not None else max(here, self.upload.min_size)
            admission = rules.judge(self.upload, size=known, found=found)
            self._keeper.judged(admission)
            self._content_type = admission.content_type
        if self._source is not None:
            self._keeper.answered(self._source)

    def _at_hand(self, start: int, end: int) -> bytes:
        if end > len(self._there.buffer):
            raise _NotYetError
        return bytes(self._there.buffer[start:end])

    @property
    def _part_size(self) -> int:
        if self.upload.store_upload_id is not None and self.upload.part_size is not None:
            return self.upload.part_size
        return min(_LARGEST_PART, max(self._part_bytes, -(-(self._size or 0) // _MOST_PARTS)))

    def _store_part(self, size: int) -> None:
        if self.upload.store_upload_id is None:
            self._begin_parts()
        key, parts_id = self.upload.final_key or "", self.upload.store_upload_id or ""
        number = len(self._there.parts) + 1
        if number > _MOST_PARTS:
            raise SourceRefusedError("the file is too large to be taken in parts", code="file_too_large")
        self._there.parts.append(
            self._objects.multiparts.put_part(key, parts_id, number, bytes(self._there.buffer[:size]))
        )
        del self._there.buffer[:size]

    def _begin_parts(self) -> None:
        part_size, key = self._part_size, self._new_final_key()
        parts_id = self._objects.multiparts.begin(key, content_type=self._content_type or self.upload.declared_type)
        self.upload = replace(self.upload, part_size=part_size, store_upload_id=parts_id, final_key=key)
        self._keeper.parts_begun(self.upload)

    def _finish(self) -> None:
        upload, there = self.upload, self._there
        if not there.parts:
            data = bytes(there.buffer)
            content_type = self._content_type or upload.declared_type
            self._objects.put(upload.staging_key, data, size=len(data), content_type=content_type)
            return
        if there.buffer:
            self._store_part(len(there.buffer))
        self._objects.multiparts.complete(upload.final_key or "", upload.store_upload_id or "", there.parts)


def are_all(parts: Sequence[StoredPart]) -> bool:
    """Whether no number is missing."""
    return [part.number for part in parts] == list(range(1, len(parts) + 1))
