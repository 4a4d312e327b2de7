"""Compares everything in a data directory with what it says of itself. It reads; only `rebuild_index` changes anything.

The store must not be running: what it is writing would look like damage.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.store.digests import HashThreads, new_digest
from penstock.store.encryption import EncryptionError
from penstock.store.index import KeyIndex
from penstock.store.layout import SHARDS, Layout, entry_name, open_to_read, opened, part_name, part_place
from penstock.store.objects import Objects
from penstock.store.record import DamagedError, FlippedError, Record, SealedError, is_sealed, read_record
from penstock.store.segments import segments_of
from penstock.store.uploads import DONE, UPLOAD_ID, Upload, UploadFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.store.keyring import Keyring

_STEP = 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PART = re.compile(r"[0-9]{5}", re.ASCII)


class InUseError(Exception):
    """A store process serves the directory."""


class Kind(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    STRAY = "stray"
    TRUNCATED = "truncated"
    FLIPPED = "flipped"
    UNREADABLE = "unreadable"
    TEMPORARY = "temporary"
    INDEX = "index"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be. `path` is relative to the data directory."""

    kind: Kind
    path: str
    detail: str


class Check:
    """One pass over a data directory. `objects` and `bytes` grow while `findings` runs; memory does not.

    `encrypted` counts the objects whose records are. Without a keyring, of those only the lengths and the checksums of
    records are compared, and what belongs to whom is unknown. `progress` is called after every shard with the share
    that is done, and after every MiB that was hashed.
    """

    def __init__(self, directory: Path, *, progress: Callable[[float], None], keyring: Keyring | None = None) -> None:
        self.objects = 0
        self.encrypted = 0
        self.bytes = 0
        self._root = directory
        self._layout = Layout(directory)
        self._progress = progress
        self._share = 0.0
        self._buffer = bytearray(_STEP)
        self._buckets: set[str] = set()
        self._keyring = keyring
        self._unchecked = 0
        self._files = UploadFiles(self._layout, keyring)

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong. Raises `OSError` when the directory is no store's."""
        self._buckets = {file.name for file in os.scandir(self._layout.buckets)}
        for file in _sorted(self._layout.temporary):
            yield self._finding(
                Kind.TEMPORARY, file.path, "left by a write that did not end; the next start removes it"
            )
        for file in _sorted(self._layout.objects):
            if file.name not in SHARDS or not file.is_dir(follow_symlinks=False):
                yield self._finding(Kind.STRAY, file.path, "nothing of the store's has such a name")
        yield from self._uploads()
        with _index_copy(self._layout.index) as index:
            if index is None:
                yield Finding(
                    kind=Kind.INDEX, path=self._layout.index.name, detail="cannot be read; the next start rebuilds it"
                )
            for number, shard in enumerate(SHARDS):
                yield from self._shard(shard, index)
                self._share = (number + 1) / len(SHARDS)
                self._progress(self._share)
        if self._unchecked:
            yield self._without_keys()

    def _without_keys(self) -> Finding:
        unchecked = f"{self._unchecked} encrypted files were not compared with their hashes"
        if self._layout.keys.exists():
            return self._finding(Kind.UNCHECKED, str(self._layout.keys), f"no key file was named: {unchecked}")
        return self._finding(Kind.MISSING, str(self._layout.keys), f"the keys of the store: {unchecked}")

    def _shard(self, shard: str, index: KeyIndex | None) -> Iterator[Finding]:
        known = index.files(shard) if index else {}
        place = f"{self._layout.objects}/{shard}"
        if not Path(place).is_dir():
            yield self._finding(Kind.MISSING, place, "a directory of the store")
        else:
            for file in _sorted(place):
                name, dot, _ = file.name.partition(".")
                directory = bool(dot) and file.is_dir(follow_symlinks=False)
                if not _NAME.fullmatch(name) or name[:2] != shard or not (directory or _is_file(file)):
                    yield self._finding(Kind.STRAY, file.path, "nothing of the store's has such a name")
                elif directory:
                    yield from self._parts(file.path, name)
                elif dot:
                    yield from self._linked(file.path, name)
                else:
                    yield from self._entry(file, known.pop(file.name, None), indexed=index is not None)
        for name in known:
            yield self._finding(Kind.MISSING, self._layout.entry(name), "an object that the index knows has no file")

    def _uploads(self) -> Iterator[Finding]:
        """Every open upload must have its bucket and its directory; the parts are checked where they stand."""
        for file in _sorted(self._layout.uploads):
            upload_id = file.name.removesuffix(DONE)
            if not UPLOAD_ID.fullmatch(upload_id) or not _is_file(file):
                yield self._finding(Kind.STRAY, file.path, "nothing of the store's has such a name")
                continue
            try:
                upload = self._files.read(upload_id) if upload_id == file.name else self._files.answer(upload_id)
            except OSError as error:
                yield self._finding(Kind.UNREADABLE, file.path, _reason(error))
                continue
            if upload is None and self._is_closed_to_us(file.path):
                self._unchecked += 1
            elif upload is None:
                yield self._finding(Kind.FLIPPED, file.path, "the description of an upload cannot be read")
            elif isinstance(upload, Upload):
                if upload.bucket not in self._buckets:
                    yield self._finding(Kind.STRAY, file.path, "an upload in a bucket that does not exist")
                if not Path(self._layout.entry(upload.directory)).is_dir():
                    yield self._finding(Kind.MISSING, file.path, "the directory of the parts of this upload")

    def _parts(self, path: str, name: str) -> Iterator[Finding]:
        """A directory of parts must belong to an object, where its parts are checked, or to an open upload."""
        try:
            with opened(self._layout.entry(name)) as fd:
                record = read_record(fd, self._keyring, place=name)
        except DamagedError:
            return  # whose parts these are, nobody can say while the record is damaged
        except FileNotFoundError:
            record = None
        except OSError as error:
            yield self._finding(Kind.UNREADABLE, path, _reason(error))
            return
        upload_id = Path(path).name.partition(".")[2]
        upload = self._files.read(upload_id)
        if upload is None and self._is_closed_to_us(f"{self._layout.uploads}/{upload_id}"):
            return
        if record is not None and record.linked == Path(path).name:
            named = {part_name(segment.number) for segment in segments_of(record.segments)}
            for file in _sorted(path):
                if file.name not in named:
                    yield self._finding(Kind.STRAY, file.path, "a part that the record does not name")
        elif upload is not None and upload.directory == Path(path).name:
            yield from self._open_parts(path, upload_id)
        else:
            yield self._finding(Kind.STRAY, path, "parts that no record and no open upload names")

    def _open_parts(self, path: str, upload_id: str) -> Iterator[Finding]:
        for file in _sorted(path):
            if not _PART.fullmatch(file.name) or not _is_file(file):
                yield self._finding(Kind.STRAY, file.path, "nothing of the store's has such a name")
                continue
            try:
                found = self._wrong_part(path, upload_id, int(file.name), size=None)
            except OSError as error:
                found = Kind.UNREADABLE, _reason(error)
            if found:
                yield self._finding(found[0], file.path, found[1])

    def _linked(self, path: str, name: str) -> Iterator[Finding]:
        """Data of a copy must be named by the record of its key; the record is checked where it stands."""
        try:
            with opened(self._layout.entry(name)) as fd:
                named = read_record(fd, self._keyring, place=name).linked == Path(path).name
        except DamagedError:
            return  # whose data this is, nobody can say while the record is damaged
        except FileNotFoundError:
            named = False
        except OSError as error:
            yield self._finding(Kind.UNREADABLE, path, _reason(error))
            return
        if not named:
            yield self._finding(Kind.STRAY, path, "data that no record names")

    def _entry(self, file: os.DirEntry[str], indexed_as: tuple[int, int] | None, *, indexed: bool) -> Iterator[Finding]:
        self.objects += 1
        try:
            with opened(file.path) as fd:
                self.encrypted += is_sealed(fd)
                record = read_record(fd, self._keyring, place=file.name)
                found = self._wrong_place(record, file.name) or self._wrong_data(record, fd)
            stat = file.stat(follow_symlinks=False)
        except SealedError:
            self._unchecked += 1
            return
        except FlippedError as error:
            found = Kind.FLIPPED, str(error)
        except DamagedError as error:
            found = Kind.TRUNCATED, f"{error}: it was cut off, or its end was overwritten"
        except OSError as error:
            found = Kind.UNREADABLE, _reason(error)
        else:
            if indexed and indexed_as != (stat.st_ino, stat.st_mtime_ns):
                detail = "the index knows another version" if indexed_as else "not in the index"
                yield self._finding(Kind.INDEX, file.path, f"{detail}: {record.bucket}/{record.key}")
            if found:
                found = found[0], f"{found[1]}: {record.bucket}/{record.key}"
        if found:
            yield self._finding(found[0], file.path, found[1])

    def _wrong_place(self, record: Record, name: str) -> tuple[Kind, str] | None:
        if entry_name(record.bucket, record.key) != name:
            return Kind.STRAY, "the object of another key"
        if record.bucket not in self._buckets:
            return Kind.STRAY, "an object in a bucket that does not exist"
        return None

    def _wrong_data(self, record: Record, fd: int) -> tuple[Kind, str] | None:
        if record.linked is None:
            return self._wrong_bytes(record, fd)
        if record.segments:
            path = self._layout.entry(record.linked)
            if not Path(path).is_dir():
                return Kind.MISSING, f"the parts {record.linked} that the record names"
            for segment in segments_of(record.segments):
                found = self._wrong_part(path, record.upload or "", segment.number, size=segment.size)
                if found:
                    return found[0], f"part {segment.number}: {found[1]}"
            return None
        try:
            data = open_to_read(self._layout.entry(record.linked))
        except FileNotFoundError:
            return Kind.MISSING, f"the data {record.linked} that the record names"
        try:
            return self._wrong_bytes(record, data)
        finally:
            os.close(data)

    def _wrong_part(self, path: str, upload_id: str, number: int, *, size: int | None) -> tuple[Kind, str] | None:
        try:
            with opened(f"{path}/{part_name(number)}") as fd:
                part = read_record(fd, self._keyring, place=part_place(upload_id, number))
                if size not in (None, part.size):
                    return Kind.TRUNCATED, f"{part.size} bytes of {size}"
                return self._wrong_bytes(part, fd)
        except FileNotFoundError:
            return Kind.MISSING, "a part that the record names"
        except SealedError:
            self._unchecked += 1
            return None
        except FlippedError as error:
            return Kind.FLIPPED, str(error)
        except DamagedError as error:
            return Kind.TRUNCATED, f"{error}: it was cut off, or its end was overwritten"

    def _wrong_bytes(self, record: Record, fd: int) -> tuple[Kind, str] | None:
        try:
            return self._wrong_plaintext(record, fd)
        except FlippedError as error:
            return Kind.FLIPPED, str(error)
        except DamagedError as error:
            return Kind.TRUNCATED, str(error)

    def _wrong_plaintext(self, record: Record, fd: int) -> tuple[Kind, str] | None:
        name, expected = record.proof
        digest, position, view = new_digest(name), 0, memoryview(self._buffer)
        read = self._reader(record, fd)
        while position < record.size:
            count = read(view[: record.size - position], position)
            if not count:
                return Kind.TRUNCATED, f"{position} bytes of {record.size}"
            digest.update(view[:count])
            position += count
            self.bytes += count
            if count == _STEP:
                self._progress(self._share)
        if digest.digest() != expected:
            return Kind.FLIPPED, f"the data does not have the {name} of the record"
        return None

    def _reader(self, record: Record, fd: int) -> Callable[[memoryview, int], int]:
        """What fills a buffer with the data's plaintext from a position on, as `os.preadv` does."""
        if record.cipher is None or self._keyring is None:
            return lambda view, position: os.preadv(fd, [view], position)
        decryptor = self._keyring.decryptor(record.cipher)
        return lambda view, position: decryptor.read_into(fd, view, size=record.size, offset=position)

    def _is_closed_to_us(self, path: str) -> bool:
        """Whether this is a whole file that only lacks its keys."""
        try:
            with opened(path) as fd:
                return self._keyring is None and is_sealed(fd)
        except (OSError, DamagedError):
            return False

    def _finding(self, kind: Kind, path: str, detail: str) -> Finding:
        return Finding(kind=kind, path=str(Path(path).relative_to(self._root)), detail=detail)


def rebuild_index(directory: Path, keyring: Keyring | None = None) -> int:
    """Throw the index away and make it anew from the files. Returns how many objects it lists.

    Raises `EncryptionError` without the keys of an encrypted store, whose objects it could not list.
    """
    if keyring is None and Layout(directory).keys.exists():
        raise EncryptionError("the index of an encrypted store cannot be made without its encryption key file")
    index = Layout(directory).index
    for suffix in ("", "-wal", "-shm"):
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    threads = HashThreads(0)
    objects = Objects(directory, threads=threads, keyring=keyring)
    try:
        return objects.reconcile()
    finally:
        objects.close()
        threads.close()


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Keep store processes away, without writing. Raises `InUseError`, and `OSError` when this is no data directory."""
    descriptor = os.open(directory / "store.lock", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(f"a store process serves {directory}; stop it first") from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _index_copy(path: Path) -> Iterator[KeyIndex | None]:
    """A copy of the index, because SQLite writes beside a database even to read it; None when it cannot be read."""
    with tempfile.TemporaryDirectory(prefix="penstock-fsck-") as place:
        copy = Path(place) / path.name
        for suffix in ("", "-wal"):
            original = path.with_name(path.name + suffix)
            if original.exists():
                shutil.copyfile(original, copy.with_name(copy.name + suffix))
        if not _is_sound(copy):
            yield None
            return
        index = KeyIndex(copy)
        try:
            yield index
        finally:
            index.close()


def _is_sound(path: Path) -> bool:
    if not path.exists():
        return False
    db = sqlite3.connect(path)
    try:
        sound: bool = db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        db.execute("SELECT name, inode, mtime_ns FROM entry LIMIT 1")
    except sqlite3.DatabaseError:
        return False
    else:
        return sound
    finally:
        db.close()


def _is_file(file: os.DirEntry[str]) -> bool:
    return file.is_file(follow_symlinks=False)


def _sorted(directory: str) -> list[os.DirEntry[str]]:
    return sorted(os.scandir(directory), key=lambda file: file.name)


def _reason(error: OSError) -> str:
    return error.strerror or "cannot be read"
