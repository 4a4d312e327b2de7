"""Multipart uploads on disk: parts are files of a directory, and completing writes a record that names it.

No byte is moved at the end, whatever the sizes and gaps. All that changes an upload happens under the lock of its key's
shard, so that of complete, abort and a part's arrival one wins and the others find no upload (F15).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from penstock.store.completion import Claim, completed_record, digest_of_list, require_parts
from penstock.store.failpoints import failpoint
from penstock.store.faults import INTERNAL_ERROR, NO_SUCH_UPLOAD, SLOW_DOWN, Refused
from penstock.store.layout import entry_name, open_to_read, part_name, part_place, sync_directory
from penstock.store.partfiles import opened_parts
from penstock.store.partmemory import PartMemory, Stamp, stamp_of
from penstock.store.record import USUAL_TAIL, DamagedError, Record, read_record
from penstock.store.segments import segments_of
from penstock.store.syncs import sync
from penstock.store.uploads import Completed, Upload, UploadFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from penstock.store.incoming import Incoming
    from penstock.store.objects import Check, Objects

_ATTEMPTS = 100


class _ChangedError(Exception):
    """A part was sent again, or the upload was closed, between the look at the parts and the commit."""


class Multipart:
    """The uploads of one data directory. `least_bytes` bounds each part but the last, `most_bytes` the whole."""

    def __init__(self, objects: Objects, *, least_bytes: int, most_bytes: int) -> None:
        self._objects = objects
        self._layout = objects.layout
        self._least_bytes = least_bytes
        self._most_bytes = most_bytes
        self._memory = PartMemory()
        self.files = UploadFiles(objects.layout, objects.keyring)

    def begin(self, upload: Upload) -> None:
        """Open an upload, durably. Raises `OSError`."""
        directory = self._layout.entry(upload.directory)
        os.mkdir(directory, 0o700)  # noqa: PTH102 - the layout's paths are strings
        failpoint("upload.begun")
        sync_directory(self._layout.shard(upload.name))
        self.files.write(upload)

    def require_open(self, bucket: str, key: str, upload_id: str) -> Upload:
        """The open upload of this id, bucket and key. Raises `Refused` (`NoSuchUpload`)."""
        upload = self._open_upload(bucket, key, upload_id)
        if upload is None:
            raise Refused(NO_SUCH_UPLOAD)
        return upload

    def put_part(self, upload: Upload, number: int, incoming: Incoming, record: Record) -> None:
        """Make `incoming` the part of this number; of several the one that is completed last stays (F11).

        Raises `Refused` (`NoSuchUpload`) when the upload was closed meanwhile: then nothing is left.
        """
        incoming.seal(record, place=part_place(upload.id, number))
        directory = self._layout.entry(upload.directory)
        try:
            with self._objects.alone(upload.name):
                self.require_open(upload.bucket, upload.key, upload.id)
                path = f"{directory}/{part_name(number)}"
                os.rename(incoming.path, path)  # noqa: PTH104 - the layout's paths are strings
                failpoint("part.renamed")
                stat = os.stat(path)  # noqa: PTH116 - the layout's paths are strings
                self._memory.keep(upload.id, number, stamp_of(stat), record)
            sync_directory(directory)
        except FileNotFoundError:
            raise Refused(NO_SUCH_UPLOAD) from None
        failpoint("part.synced")

    def complete(
        self, bucket: str, key: str, upload_id: str, claim: Claim, *, check: Check, modified_us: int
    ) -> Completed:
        """Make the listed parts the object of the key, all or nothing. The same again gets the same answer (F14).

        Raises `Refused`; then the upload is as it was, and can be completed.
        """
        for _ in range(_ATTEMPTS):
            upload = self._open_upload(bucket, key, upload_id)
            if upload is None:
                return self._completed_before(bucket, key, upload_id, claim)
            try:
                return self._complete(upload, claim, check=check, modified_us=modified_us)
            except _ChangedError:
                continue
            except FileNotFoundError:
                raise Refused(NO_SUCH_UPLOAD) from None
            except Refused:
                # What was missing may have gone because somebody else completed or aborted the upload.
                if self._open_upload(bucket, key, upload_id) is not None:
                    raise
        raise Refused(SLOW_DOWN)

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """Close an upload without an object, durably. Raises `Refused` (`NoSuchUpload`)."""
        with self._objects.alone(entry_name(bucket, key)):
            upload = self.require_open(bucket, key, upload_id)
            self.files.remove(upload_id)
        self._memory.forget(upload_id)
        failpoint("abort.removed")
        self.files.sync()
        failpoint("abort.synced")
        self._objects.drop_parts(upload.directory)

    def parts(self, upload: Upload, *, after: int, limit: int) -> list[tuple[int, Record]]:
        """Up to `limit` parts that have arrived, ascending, with numbers above `after`."""
        with opened_parts(self._layout.entry(upload.directory)) as directory:
            names = os.listdir(directory)  # noqa: PTH208 - by descriptor, so that no other directory can be meant
            numbers = sorted(int(name) for name in names if name > part_name(after))[:limit]
            found = self._records(directory, upload.id, numbers)
        return [(number, record) for number, (record, _) in found.items()]

    def forget_bucket(self, bucket: str) -> None:
        """Abort every upload of a bucket that is gone, unless another process has created it again meanwhile.

        Then an upload may be a new one, or may have become an object.
        """
        removed = []
        for upload in self.files.all():
            if upload.bucket == bucket:
                with self._objects.alone(upload.name):
                    if self._objects.has_bucket(bucket):
                        break
                    self.files.remove(upload.id)
                removed.append(upload.directory)
        self.files.sync()
        for directory in removed:
            self._objects.drop_parts(directory)

    def recover(self) -> None:
        """Close what a process that died had completed already. To be called before the first request."""
        for upload_id, _ in self.files.answers():
            self.files.remove(upload_id)
        for upload in self.files.all():
            # What is damaged keeps nothing from starting.
            with self._objects.alone(upload.name), contextlib.suppress(FileNotFoundError, Refused):
                self._close_completed(upload)
        self.files.sync()

    def _open_upload(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        upload = self.files.read(upload_id)
        if upload is None or (upload.bucket, upload.key) != (bucket, key) or self._is_committed(upload):
            return None
        return upload

    def _is_committed(self, upload: Upload) -> bool:
        """Whether the object is there although the upload was not closed: the process died, or the disk failed."""
        record = self._objects.current(upload.name)
        return record is not None and record.linked == upload.directory

    def _complete(self, upload: Upload, claim: Claim, *, check: Check, modified_us: int) -> Completed:
        with opened_parts(self._layout.entry(upload.directory)) as directory:
            found = self._records(directory, upload.id, (part.number for part in claim.parts))
            records = {number: record for number, (record, _) in found.items()}
            require_parts(claim, records, least_bytes=self._least_bytes, most_bytes=self._most_bytes)
            record = completed_record(upload, claim, records, modified_us=modified_us)
            answer = _answer(record, records)
            with self._objects.begin(()) as incoming, self.files.sealed(answer, upload.id) as sealed:
                stat = incoming.seal(record)
                # Parts whose PUT is not yet answered are listed too: their names must be durable before the record.
                sync(directory, "directory")
                failpoint("complete.sealed")
                with self._objects.alone(upload.name):
                    if self._open_upload(upload.bucket, upload.key, upload.id) is None:
                        raise _ChangedError
                    if any(_stamp(directory, number) != stamp for number, (_, stamp) in found.items()):
                        raise _ChangedError
                    old = self._commit(incoming.path, record, stat, check)
                    self.files.close(upload.id, sealed)
            self._memory.forget(upload.id)
            self.files.sync()
            failpoint("complete.closed")
            self._objects.drop_data(old)
            _remove_others(directory, found)
        return answer

    def _commit(self, temporary: str, record: Record, stat: os.stat_result, check: Check) -> Record | None:
        """The commit point. The upload may be closed only after it, so the lock is held until it is durable."""
        old = self._objects.replace_entry(temporary, record, stat, check)
        name = entry_name(record.bucket, record.key)
        try:
            sync_directory(self._layout.shard(name))
        except OSError:
            if old is None:
                self._objects.retract(name, stat)
            raise
        failpoint("publish.synced")
        return old

    def _completed_before(self, bucket: str, key: str, upload_id: str, claim: Claim) -> Completed:
        with self._objects.alone(entry_name(bucket, key)):
            upload = self.files.read(upload_id)
            if upload is not None and (upload.bucket, upload.key) == (bucket, key):
                self._close_completed(upload)
            answer = self.files.answer(upload_id)
        self.files.sync()
        listed = digest_of_list([(part.number, part.etag) for part in claim.parts])
        if answer is None or (answer.bucket, answer.key, answer.listed) != (bucket, key, listed):
            raise Refused(NO_SUCH_UPLOAD)
        return answer

    def _close_completed(self, upload: Upload) -> None:
        """Close an upload whose object is there. To be called `alone`."""
        record = self._objects.current(upload.name)
        if record is None or record.linked != upload.directory:
            return
        sync_directory(self._layout.shard(upload.name))
        with opened_parts(self._layout.entry(upload.directory)) as directory:
            found = self._records(directory, upload.id, (segment.number for segment in segments_of(record.segments)))
            answer = _answer(record, {number: part for number, (part, _) in found.items()})
            with self.files.sealed(answer, upload.id) as sealed:
                self.files.close(upload.id, sealed)
            _remove_others(directory, found)

    def _records(self, directory: int, upload_id: str, numbers: Iterable[int]) -> dict[int, tuple[Record, Stamp]]:
        """The records of parts, in the order of `numbers`; without those that are not there."""
        stamps = {number: stamp for number in numbers if (stamp := _stamp(directory, number))}
        known = {number: self._memory.recall(upload_id, number, stamp) for number, stamp in stamps.items()}
        _read_ahead(directory, [number for number, record in known.items() if record is None])
        found = {}
        for number, stamp in stamps.items():
            record = known[number] or self._read_part(directory, upload_id, number)
            if record is not None:
                found[number] = record, stamp
        return found

    def _read_part(self, directory: int, upload_id: str, number: int) -> Record | None:
        try:
            fd = open_to_read(part_name(number), directory=directory)
        except FileNotFoundError:
            return None
        try:
            return read_record(fd, self._objects.keyring, place=part_place(upload_id, number))
        except DamagedError:
            raise Refused(INTERNAL_ERROR, "A stored part is damaged.") from None
        finally:
            os.close(fd)


def _answer(record: Record, parts: dict[int, Record]) -> Completed:
    return Completed(
        bucket=record.bucket,
        key=record.key,
        etag=record.etag,
        checksums=record.checksums,
        listed=digest_of_list([(number, part.etag) for number, part in parts.items()]),
    )


def _read_ahead(directory: int, numbers: Sequence[int]) -> None:
    """Ask the disk for the ends of all parts at once: after a large upload hardly any is in memory any more."""
    for number in numbers:
        with contextlib.suppress(FileNotFoundError):
            fd = open_to_read(part_name(number), directory=directory)
            try:
                end = os.fstat(fd).st_size
                os.posix_fadvise(fd, max(0, end - USUAL_TAIL), USUAL_TAIL, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(fd)


def _stamp(directory: int, number: int) -> Stamp | None:
    """None when there is no such part."""
    try:
        return stamp_of(os.stat(part_name(number), dir_fd=directory, follow_symlinks=False))
    except FileNotFoundError:
        return None


def _remove_others(directory: int, kept: Iterable[int]) -> None:
    """Remove the parts that the object does not have. A crash before this leaves strays for the janitor."""
    names = {part_name(number) for number in kept}
    for name in os.listdir(directory):
        if name not in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
