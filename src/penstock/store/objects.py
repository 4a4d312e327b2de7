"""Objects on disk: atomic, durable, under hashed names (`layout`). Reasons: docs/architecture/store.md.

Whoever holds an open `Stored` reads one version to its end, whatever happens to the key. Every method that changes
something returns after the change is durable (P1); an `OSError` means that nothing was promised.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.store.bucket_settings import BucketSettings, SettingsFiles
from penstock.store.changes import SharedChanges
from penstock.store.failpoints import failpoint
from penstock.store.faults import BUCKET_NOT_EMPTY, DAMAGED, NO_SUCH_BUCKET, NO_SUCH_KEY, SLOW_DOWN, Refused
from penstock.store.incoming import Incoming, write_all
from penstock.store.index import Entry, KeyIndex
from penstock.store.layout import (
    BUCKET_NAME,
    SHARDS,
    Layout,
    entry_name,
    open_to_read,
    opened,
    remove,
    shard_of,
    sync_directory,
)
from penstock.store.locks import ShardLocks
from penstock.store.partfiles import CANNOT_LINK, drop_parts, is_large, link_parts, open_parts
from penstock.store.record import DamagedError, Record, read_record
from penstock.store.segments import segments_of
from penstock.store.stored import Stored
from penstock.store.syncs import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from penstock.store.digests import HashThreads
    from penstock.store.keyring import Keyring

    Check = Callable[[str | None], None]
    """Gets the current ETag of the key (None when it is free) and raises when the write must not happen."""

_ATTEMPTS = 100
_COPY_STEP = 1024 * 1024
_NO_NAMES = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """One of several processes that serve a directory together, all forked from one that has recovered it.

    `changes` is the descriptor of what they tell each other (`changes.create_changes`); `heir` says that this one takes
    the place of one that died.
    """

    number: int
    changes: int
    heir: bool


def _anything(_etag: str | None) -> None:
    """Whatever stands under the key."""


class Objects:
    """All objects of one data directory, for several threads; as a `sibling` also beside other processes."""

    def __init__(
        self, directory: Path, *, threads: HashThreads, sibling: Sibling | None = None, keyring: Keyring | None = None
    ) -> None:
        self._threads = threads
        self.keyring = keyring
        """What seals records and encrypts data; None when the store is not encrypted."""
        self._layout = Layout(directory, writer=f"{sibling.number}-" if sibling else "")
        if sibling is None:
            self._layout.prepare()
        # Whoever changes what a name stands for holds its shard's lock.
        self._locks = ShardLocks(self._layout.locks if sibling else None)
        self._buckets = None if sibling else {file.name for file in os.scandir(self._layout.buckets)}
        self._settings = SettingsFiles(self._layout)
        changes = SharedChanges(sibling.changes) if sibling else None
        self.index = KeyIndex(self._layout.index, keyring, changes)
        self._undropped: set[str] = set()

    def close(self) -> None:
        self.index.close()
        self._locks.close()

    # --- buckets

    def require_bucket(self, bucket: str) -> None:
        """Raises `Refused` when there is no such bucket."""
        if not self.has_bucket(bucket):
            raise Refused(NO_SUCH_BUCKET)

    def has_bucket(self, bucket: str) -> bool:
        """Whether there is such a bucket now."""
        if self._buckets is None:  # another process may have created or deleted it
            return bucket not in _NO_NAMES and os.access(self._layout.bucket(bucket), os.F_OK)
        return bucket in self._buckets

    def create_bucket(self, bucket: str) -> bool:
        """Whether it is new. The name must match `layout.BUCKET_NAME`."""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(self._layout.bucket(bucket), flags, 0o600))
            created = True
        except FileExistsError:
            created = False
        failpoint("bucket.created")
        sync_directory(self._layout.buckets)
        if self._buckets is not None:
            self._buckets.add(bucket)
        return created

    def delete_bucket(self, bucket: str) -> None:
        """Raises `Refused` when it does not exist or is not empty."""
        with self._locks.all():  # no object can come meanwhile
            self.require_bucket(bucket)
            if not self.index.is_empty(bucket):
                raise Refused(BUCKET_NOT_EMPTY)
            remove(self._layout.bucket(bucket))
            if self._buckets is not None:
                self._buckets.remove(bucket)
        failpoint("bucket.removed")
        sync_directory(self._layout.buckets)

    def settings(self, bucket: str) -> BucketSettings:
        """What the bucket has beside its name; the default when there is no such bucket. Raises `OSError`."""
        return self._settings.read(bucket) if BUCKET_NAME.fullmatch(bucket) else BucketSettings()

    def configure(self, bucket: str, change: Callable[[BucketSettings], BucketSettings]) -> None:
        """Change what a bucket has beside its name, durably. Raises `Refused` when it does not exist."""
        with self._locks.all():  # the bucket stays meanwhile
            self.require_bucket(bucket)
            self._settings.write(bucket, change(self._settings.read(bucket)))

    def buckets(self) -> list[tuple[str, float]]:
        """Names and creation times (seconds since the epoch), ascending by name."""
        return sorted((entry.name, entry.stat().st_mtime) for entry in os.scandir(self._layout.buckets))

    # --- objects

    def open(self, bucket: str, key: str) -> Stored:
        """The current version. Raises `Refused` (`NoSuchKey`, or `InternalError` for a damaged file)."""
        name = entry_name(bucket, key)
        for _ in range(_ATTEMPTS):
            try:
                return self._open_version(name)
            except FileNotFoundError:
                # The record may have been replaced, and its linked data removed, between the two openings.
                if not os.access(self._layout.entry(name), os.F_OK):
                    raise Refused(NO_SUCH_KEY) from None
            except DamagedError:
                break
        raise Refused(DAMAGED)

    def begin(self, digests: Iterable[str]) -> Incoming:
        """A new file to write an object into."""
        path = self._layout.new_temporary()
        return Incoming(path, digests=digests, threads=self._threads, keyring=self.keyring)

    def commit(self, incoming: Incoming, record: Record, *, check: Check) -> None:
        """Make `incoming` the object of `record.key`, all or nothing (P2). What `check` raises leaves all as it was."""
        stat = incoming.seal(record)
        self._publish(incoming.path, record, stat, check)

    def copy(self, bucket: str, key: str, *, describe: Callable[[Record], Record], check: Check) -> Record:
        """Make the data of one object that of another too, as a hard link: no byte is moved.

        `describe` gets the source's record and returns the new one, or raises. Where the file system allows no
        (further) link, the bytes are copied; and where data from before an encrypted store's keys is to be encrypted.
        Raises `Refused` when there is no such source.
        """
        for _ in range(_ATTEMPTS):
            source = self.open(bucket, key)
            try:
                record = describe(source.record)
                if self.keyring is not None and not source.is_encrypted():
                    return self._copy_encrypted(source, record, check)
                name = entry_name(record.bucket, record.key)
                linked = f"{name}.{secrets.token_hex(8)}"
                if self._link_data(source, self._layout.entry(linked)):
                    failpoint("copy.begun")
                    old = source.record
                    record = replace(record, linked=linked, segments=old.segments, upload=old.upload, cipher=old.cipher)
                    self._publish_link(name, record, check)
                    return record
            finally:
                source.close()
        raise Refused(NO_SUCH_KEY)

    def delete(self, bucket: str, keys: Iterable[str], *, check: Check = _anything) -> None:
        """Remove objects, durably; a key that is not there is no error, and its absence is made durable too.

        What `check` raises leaves its object, and those after it, as they were.
        """
        removed: list[Record | None] = []
        shards: set[str] = set()
        for key in keys:
            name = entry_name(bucket, key)
            with self._locks[shard_of(name)]:
                old = self.current(name)
                check(old.etag if old else None)
                removed.append(old)
                remove(self._layout.entry(name))
                failpoint("delete.unlinked")
                self.index.remove(name)
            shards.add(self._layout.shard(name))
        for shard in shards:
            sync_directory(shard)
        failpoint("delete.synced")
        for old in removed:
            self.drop_data(old)

    # --- for writes that take several steps

    @property
    def layout(self) -> Layout:
        return self._layout

    def alone(self, name: str) -> AbstractContextManager[object]:
        """Hold the lock of a name's shard: nobody else changes what stands under the name. Not re-entrant."""
        return self._locks[shard_of(name)]

    def replace_entry(self, temporary: str, record: Record, stat: os.stat_result, check: Check) -> Record | None:
        """Rename a sealed file to its key's entry. Returns the record it replaced. To be called `alone`."""
        name = entry_name(record.bucket, record.key)
        self.require_bucket(record.bucket)
        old = self.current(name)
        check(old.etag if old else None)
        if record.linked is not None and not os.path.lexists(self._layout.entry(record.linked)):
            raise Refused(SLOW_DOWN)  # it took so long that its data passed for a stray
        os.rename(temporary, self._layout.entry(name))  # noqa: PTH104 - the layout's paths are strings
        failpoint("publish.renamed")
        self.index.put(_entry(name, record, stat))
        return old

    def retract(self, name: str, stat: os.stat_result) -> None:
        """Take back a new object that could not be made durable, so that the key stays absent (F5). `alone`."""
        path = self._layout.entry(name)
        with contextlib.suppress(OSError), opened(path) as fd:
            if os.fstat(fd).st_ino == stat.st_ino:
                remove(path)
                self.index.remove(name)

    def current(self, name: str) -> Record | None:
        """The record that now stands under a name; None when there is none, or none that can be read."""
        try:
            fd = open_to_read(self._layout.entry(name))
        except FileNotFoundError:
            return None
        try:
            return read_record(fd, self.keyring, place=name)
        except DamagedError:
            return None
        finally:
            os.close(fd)

    def drop_data(self, old: Record | None) -> None:
        """Remove the data of a record that is gone for good. A crash before this leaves a stray for the janitor."""
        if old is None or old.linked is None:
            return
        if old.segments:
            self.drop_parts(old.linked)
        else:
            remove(self._layout.entry(old.linked))

    def drop_parts(self, directory: str) -> None:
        """Remove a directory of parts that nothing names any more: now, or by `drop_later` if it is read, or large."""
        path = self._layout.entry(directory)
        if is_large(path) or not drop_parts(path):
            self._undropped.add(directory)

    def drop_later(self) -> None:
        """Remove the directories that were not removed when their objects or uploads were. Raises `OSError`."""
        for directory in list(self._undropped):
            if drop_parts(self._layout.entry(directory)):
                self._undropped.discard(directory)

    # --- recovery, before the first request

    def sweep(self) -> int:
        """Remove what a dead process left half-written; a sibling, what its predecessor did. Returns how many files."""
        mine = self._layout.writer
        leftovers = [file.path for file in os.scandir(self._layout.temporary) if file.name.startswith(mine)]
        for path in leftovers:
            remove(path)
        return len(leftovers)

    def reconcile(self) -> int:
        """Bring the index up to date with the files. Returns how many entries were not.

        Only files that are not the indexed ones are opened, so the cost is one `stat` per object.
        """
        changed = 0
        for shard in SHARDS:
            with self._locks[shard]:
                changed += self._reconcile(shard)
        self.index.flush()
        return changed

    def _reconcile(self, shard: str) -> int:
        changed = 0
        known = self.index.files(shard)
        for file in os.scandir(f"{self._layout.objects}/{shard}"):
            if "." in file.name:
                continue
            stat = file.stat()
            if known.pop(file.name, None) != (stat.st_ino, stat.st_mtime_ns):
                changed += 1
                self._index_file(file.name, stat)
        for name in known:
            changed += 1
            self.index.remove(name)
        return changed

    # --- inside

    def _open_version(self, name: str) -> Stored:
        fd = open_to_read(self._layout.entry(name))
        try:
            record = read_record(fd, self.keyring, place=name)
            if record.linked is None:
                return Stored(record, fd, self.keyring)
            path = self._layout.entry(record.linked)
            data = open_parts(path) if record.segments else open_to_read(path)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return Stored(record, data, self.keyring)

    def _publish(self, temporary: str, record: Record, stat: os.stat_result, check: Check) -> None:
        name = entry_name(record.bucket, record.key)
        with self.alone(name):
            old = self.replace_entry(temporary, record, stat, check)
        try:
            sync_directory(self._layout.shard(name))
        except OSError:
            if old is None:
                with self.alone(name):
                    self.retract(name, stat)
            raise
        failpoint("publish.synced")
        self.drop_data(old)

    def _publish_link(self, name: str, record: Record, check: Check) -> None:
        try:
            with self.begin(()) as incoming:
                stat = incoming.seal(record)
                # The link must not be younger than the record that needs it, on any file system.
                sync_directory(self._layout.shard(name))
                failpoint("copy.linked")
                self._publish(incoming.path, record, stat, check)
        except BaseException:
            current = self.current(name)
            if current is None or current.linked != record.linked:
                self.drop_data(record)
            raise

    def _copy_encrypted(self, source: Stored, record: Record, check: Check) -> Record:
        """Write the data of an object that is not encrypted as that of one that is."""
        with self.begin(["sha256"]) as incoming:
            for piece in source.pieces(0, source.record.size):
                incoming.append(piece)
            found = incoming.finish()["sha256"].hex()
            if source.record.sha256 not in (None, found):
                raise Refused(DAMAGED)
            record = replace(record, sha256=found)
            self.commit(incoming, record, check=check)
        return record

    def _link_data(self, source: Stored, target: str) -> bool:
        """A second name for the data that `source` has open; False when its key has another version by now."""
        if source.record.segments:
            link_parts(source.fd, target, (segment.number for segment in segments_of(source.record.segments)))
            return True
        origin = source.record.linked or entry_name(source.record.bucket, source.record.key)
        try:
            os.link(self._layout.entry(origin), target)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in CANNOT_LINK:
                raise
            _copy_data(source, target)
            return True
        with opened(target) as fd:
            if os.path.sameopenfile(fd, source.fd):
                return True
        remove(target)
        return False

    def _index_file(self, name: str, stat: os.stat_result) -> None:
        """Index one file; one that cannot be read is not listed."""
        record = self.current(name)
        if record is None:
            self.index.remove(name)
        else:
            self.index.put(_entry(name, record, stat))


def _copy_data(source: Stored, target: str) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        position = 0
        while piece := os.pread(source.fd, min(_COPY_STEP, source.record.data_size - position), position):
            write_all(fd, piece)
            position += len(piece)
        sync(fd, "file")
    except BaseException:
        remove(target)
        raise
    finally:
        os.close(fd)


def _entry(name: str, record: Record, stat: os.stat_result) -> Entry:
    return Entry(
        name=name,
        bucket=record.bucket,
        key=record.key,
        size=record.size,
        etag=record.etag,
        modified_us=record.modified_us,
        inode=stat.st_ino,
        mtime_ns=stat.st_mtime_ns,
    )
