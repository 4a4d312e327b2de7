"""Objects on disk: atomic, durable, under hashed names. Docs: docs/architecture/store.md.

    objects/ab/<name>        the object of one key: data and record, or the record alone when the data is linked
    objects/ab/<name>.<id>   data that such a record names: a hard link of the copied file
    tmp/<id>                 what is being written; swept at start
    buckets/<bucket>         one empty file per bucket

`name` is the SHA-256 of bucket and key, `ab` its first two digits. Whoever holds an open `Stored` reads one version to
its end, whatever happens to the key. Every method that changes something returns after the change is durable (P1).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import sqlite3
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.store.digests import Digests, HashThreads
from penstock.store.failpoints import failpoint
from penstock.store.faults import BUCKET_NOT_EMPTY, INTERNAL_ERROR, NO_SUCH_BUCKET, NO_SUCH_KEY, Refused
from penstock.store.index import Entry, KeyIndex
from penstock.store.record import DamagedError, Record, encode, read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

SHARDS = tuple([f"{number:02x}" for number in range(256)])
_CANNOT_LINK = frozenset({errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV})
_ATTEMPTS = 100
_COPY_STEP = 1024 * 1024
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


def entry_name(bucket: str, key: str) -> str:
    """The file name of a key's object. A bucket's name holds no NUL, so two pairs never give the same text."""
    return hashlib.sha256(f"{bucket}\0{key}".encode()).hexdigest()


def write_all(fd: int, data: bytes | memoryview) -> None:
    """`os.write` until everything is in the file."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@dataclass(frozen=True, slots=True)
class Stored:
    """An open object: its record and a descriptor of its data, to be closed by whoever opened it."""

    record: Record
    fd: int

    def close(self) -> None:
        os.close(self.fd)


class Incoming:
    """A file that is being written. Leave it with `discard` unless it was committed."""

    def __init__(self, path: Path, *, digests: Iterable[str], threads: HashThreads) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.digests = Digests(digests, fd=self.fd, threads=threads)
        self.size = 0

    def write(self, piece: bytes | memoryview) -> None:
        write_all(self.fd, piece)
        self.size += len(piece)
        self.digests.update(piece)

    def seal(self, record: Record) -> os.stat_result:
        """Append the record and make the file durable. The name is not yet the object's."""
        write_all(self.fd, encode(record))
        failpoint("seal.written")
        os.fsync(self.fd)
        failpoint("seal.synced")
        return os.fstat(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and remove it unless it was renamed."""
        self.digests.settle()
        os.close(self.fd)
        if kind is not None:
            self.path.unlink(missing_ok=True)


class Objects:
    """All objects of one data directory. Safe to use from several threads of one process."""

    def __init__(self, directory: Path, *, threads: HashThreads) -> None:
        self._root = directory
        self._threads = threads
        self._shards = directory / "objects"
        self._temporary = directory / "tmp"
        self._buckets = directory / "buckets"
        self._locks = {shard: threading.Lock() for shard in SHARDS}
        self._prepare()
        self._index = KeyIndex(directory / "index.sqlite3")
        self._unindexed: set[str] = set()

    def close(self) -> None:
        self._index.close()

    @property
    def index(self) -> KeyIndex:
        """The ordered keys, complete. Raises `OSError` when they cannot be."""
        if self._unindexed:
            self.reconcile(sorted(self._unindexed))
        return self._index

    # --- buckets

    def has_bucket(self, bucket: str) -> bool:
        return BUCKET_NAME.fullmatch(bucket) is not None and (self._buckets / bucket).exists()

    def require_bucket(self, bucket: str) -> None:
        if not self.has_bucket(bucket):
            raise Refused(NO_SUCH_BUCKET)

    def create_bucket(self, bucket: str) -> bool:
        """Whether it is new. The name must match `BUCKET_NAME`."""
        try:
            os.close(os.open(self._buckets / bucket, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            created = True
        except FileExistsError:
            created = False
        _sync_directory(self._buckets)
        return created

    def delete_bucket(self, bucket: str) -> None:
        """Raises `Refused` when it does not exist or is not empty."""
        for lock in self._locks.values():  # no object can come while all are held
            lock.acquire()
        try:
            self.require_bucket(bucket)
            if not self._index.is_empty(bucket):
                raise Refused(BUCKET_NOT_EMPTY)
            (self._buckets / bucket).unlink()
        finally:
            for lock in self._locks.values():
                lock.release()
        _sync_directory(self._buckets)

    def buckets(self) -> list[tuple[str, float]]:
        """Names and creation times (seconds since the epoch), ascending by name."""
        return sorted((entry.name, entry.stat().st_mtime) for entry in os.scandir(self._buckets))

    # --- objects

    def open(self, bucket: str, key: str) -> Stored:
        """The current version. Raises `Refused` (`NoSuchKey`, or `InternalError` for a damaged file)."""
        name = entry_name(bucket, key)
        for _ in range(_ATTEMPTS):
            try:
                return self._open_version(name)
            except FileNotFoundError:
                # The record may have been replaced, and its linked data removed, between the two openings.
                if not self._path(name).exists():
                    raise Refused(NO_SUCH_KEY) from None
            except DamagedError:
                break
        raise Refused(INTERNAL_ERROR, "The stored object is damaged.")

    def begin(self, digests: Iterable[str]) -> Incoming:
        """A new file to write an object into."""
        return Incoming(self._temporary / secrets.token_hex(16), digests=digests, threads=self._threads)

    def commit(self, incoming: Incoming, record: Record, *, check: Callable[[str | None], None]) -> None:
        """Make `incoming` the object of `record.key`, all or nothing (P2), and durable (P1).

        `check` gets the current ETag (None when the key is free) and may raise: then nothing changes.
        """
        stat = incoming.seal(record)
        self._publish(incoming.path, record, stat, check)

    def copy(
        self,
        bucket: str,
        key: str,
        *,
        describe: Callable[[Record], Record],
        check: Callable[[str | None], None],
    ) -> Record:
        """Make the data of one object that of another too, as a hard link: no byte is moved.

        `describe` gets the source's record and returns the new one, or raises. Where the file system allows no
        (further) link, the bytes are copied. Raises `Refused` when there is no such source.
        """
        for _ in range(_ATTEMPTS):
            source = self.open(bucket, key)
            try:
                record = describe(source.record)
                name = entry_name(record.bucket, record.key)
                linked = f"{name}.{secrets.token_hex(8)}"
                if self._link_data(source, self._path(linked)):
                    record = replace(record, linked=linked)
                    self._publish_link(name, record, check)
                    return record
            finally:
                source.close()
        raise Refused(NO_SUCH_KEY)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Remove objects, durably; a key that is not there is no error, and its absence is made durable too."""
        removed: list[Record | None] = []
        directories: set[Path] = set()
        for key in keys:
            name = entry_name(bucket, key)
            path = self._path(name)
            with self._locks[name[:2]]:
                removed.append(self._current(name))
                path.unlink(missing_ok=True)
                failpoint("delete.unlinked")
                self._forget(name)
            directories.add(path.parent)
        for directory in directories:
            _sync_directory(directory)
        failpoint("delete.synced")
        for old in removed:
            self._drop_data(old)

    # --- recovery

    def sweep(self) -> int:
        """Remove what a dead process left half-written. Returns how many files. Call before the first request."""
        leftovers = list(self._temporary.iterdir())
        for path in leftovers:
            path.unlink()
        return len(leftovers)

    def reconcile(self, shards: Iterable[str] = SHARDS) -> int:
        """Bring the index up to date with the files. Returns how many entries were not.

        Only files that are not the indexed ones are opened, so the cost is one `stat` per object.
        """
        return sum(self._reconcile(shard) for shard in shards)

    def _reconcile(self, shard: str) -> int:
        with self._locks[shard]:
            known = self._index.files(shard)
            fresh: list[Entry] = []
            for file in os.scandir(self._shards / shard):
                if "." in file.name:
                    continue
                stat = file.stat()
                if known.pop(file.name, None) != (stat.st_ino, stat.st_mtime_ns):
                    fresh += self._entries_of(file.name, stat)
            try:
                if fresh or known:
                    self._index.replace_many(fresh, known)
            except sqlite3.Error as error:
                raise OSError(errno.EIO, "the index of keys cannot be written") from error
            self._unindexed.discard(shard)
        return len(fresh) + len(known)

    # --- inside

    def _prepare(self) -> None:
        for directory in (self._root, self._temporary, self._buckets, self._shards):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for shard in SHARDS:
            (self._shards / shard).mkdir(exist_ok=True, mode=0o700)
        for directory in (self._shards, self._root, self._root.parent):
            _sync_directory(directory)

    def _path(self, name: str) -> Path:
        return self._shards / name[:2] / name

    def _open_version(self, name: str) -> Stored:
        fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            record = read_record(fd)
            if record.linked is None:
                return Stored(record, fd)
            data = os.open(self._path(record.linked), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return Stored(record, data)

    def _current(self, name: str) -> Record | None:
        """The record that now stands under a name; None when there is none, or none that can be read."""
        try:
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            return read_record(fd)
        except DamagedError:
            return None
        finally:
            os.close(fd)

    def _publish(
        self, temporary: Path, record: Record, stat: os.stat_result, check: Callable[[str | None], None]
    ) -> None:
        name = entry_name(record.bucket, record.key)
        path = self._path(name)
        with self._locks[name[:2]]:
            self.require_bucket(record.bucket)
            old = self._current(name)
            check(old.etag if old else None)
            temporary.rename(path)
            failpoint("publish.renamed")
            self._note(_entry(name, record, stat))
        try:
            _sync_directory(path.parent)
        except OSError:
            if old is None:
                self._retract(name, stat)
            raise
        failpoint("publish.synced")
        self._drop_data(old)

    def _retract(self, name: str, stat: os.stat_result) -> None:
        """Take back a new object that could not be made durable, so that the key stays absent (F5)."""
        path = self._path(name)
        with self._locks[name[:2]], contextlib.suppress(OSError):
            if path.stat().st_ino == stat.st_ino:
                path.unlink()
                self._forget(name)

    def _note(self, entry: Entry) -> None:
        """Bring one entry into the index, or remember that its shard must be compared with the files again."""
        try:
            self._index.put(entry)
        except sqlite3.Error as error:
            self._unindexed.add(entry.name[:2])
            raise OSError(errno.EIO, "the index of keys cannot be written") from error

    def _forget(self, name: str) -> None:
        try:
            self._index.remove(name)
        except sqlite3.Error as error:
            self._unindexed.add(name[:2])
            raise OSError(errno.EIO, "the index of keys cannot be written") from error

    def _publish_link(self, name: str, record: Record, check: Callable[[str | None], None]) -> None:
        data = self._path(record.linked or "")
        try:
            with self.begin(()) as incoming:
                stat = incoming.seal(record)
                # The link must not be younger than the record that needs it, on any file system.
                _sync_directory(data.parent)
                failpoint("copy.linked")
                self._publish(incoming.path, record, stat, check)
        except BaseException:
            current = self._current(name)
            if current is None or current.linked != record.linked:
                data.unlink(missing_ok=True)
            raise

    def _link_data(self, source: Stored, target: Path) -> bool:
        """A second name for the data that `source` has open; False when its key has another version by now."""
        origin = self._path(source.record.linked or entry_name(source.record.bucket, source.record.key))
        try:
            os.link(origin, target)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
            self._copy_data(source, target)
            return True
        if target.stat().st_ino == os.fstat(source.fd).st_ino:
            return True
        target.unlink()
        return False

    def _copy_data(self, source: Stored, target: Path) -> None:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            position = 0
            while piece := os.pread(source.fd, min(_COPY_STEP, source.record.size - position), position):
                write_all(fd, piece)
                position += len(piece)
            os.fsync(fd)
        except BaseException:
            target.unlink()
            raise
        finally:
            os.close(fd)

    def _names_data(self, name: str, linked: str) -> bool:
        current = self._current(name)
        return current is not None and current.linked == linked

    def _drop_data(self, old: Record | None) -> None:
        """Remove the data of a record that is gone for good. A crash before this leaves a stray file for fsck."""
        if old is not None and old.linked is not None:
            self._path(old.linked).unlink(missing_ok=True)

    def _entries_of(self, name: str, stat: os.stat_result) -> list[Entry]:
        record = self._current(name)
        return [] if record is None else [_entry(name, record, stat)]


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


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
