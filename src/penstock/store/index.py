"""The ordered index of keys, for listings only. Every fact in it also stands in the objects' own files.

SQLite in WAL mode with `synchronous=NORMAL`: no fsync per object, consistent after any crash, at worst without its
last entries. Every start compares it with the files, so it need not be durable to be right.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.store.record import SealedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from penstock.store.changes import SharedChanges
    from penstock.store.record import Seal

    _Row = tuple[str, str, str, int, str | bytes, int, int, int]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    name TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified_us INTEGER NOT NULL, inode INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS entry_by_key ON entry (bucket, key);
"""
_VERSION = 1
_MOST_PENDING = 2000
_UPSERT = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object as a listing shows it, and which file said so."""

    name: str
    bucket: str
    key: str
    size: int
    etag: str
    modified_us: int
    inode: int
    mtime_ns: int


class KeyIndex:
    """Keys in the order of their UTF-8 bytes. Safe to use from several threads.

    With `seal`, ETags are encrypted from now on: blobs, where others are texts.

    Changes are gathered and written together: before every look at the index, and when `flush` is called. A change
    that could not be written stays gathered. With `changes` they are gathered where other processes see them, too.
    """

    def __init__(self, path: Path, seal: Seal | None = None, changes: SharedChanges | None = None) -> None:
        self._seal = seal
        self._lock = threading.Lock()
        self._pending: dict[str, Entry | None] = {}
        self._changes = changes
        self._gathered = 0
        # Of several processes none may replace a file that the others have open.
        self._db = _open(path) if changes is None else _prepared(path)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.flush()
        with self._lock:
            self._db.close()
            if self._changes is not None:
                self._changes.close()

    def put(self, entry: Entry) -> None:
        self._gather(entry.name, entry)

    def remove(self, name: str) -> None:
        self._gather(name, None)

    def flush(self) -> None:
        """Write what was gathered. Raises `OSError`."""
        with self._lock, _errors_of_the_disk():
            self._write()

    def files(self, shard: str) -> dict[str, tuple[int, int]]:
        """Name → (inode, mtime) of the entries whose name begins with `shard`. Raises `OSError`."""
        with self._seen() as db:
            rows = db.execute(
                "SELECT name, inode, mtime_ns FROM entry WHERE name >= ? AND name < ?", (shard, shard + "g")
            ).fetchall()
        return {name: (inode, mtime_ns) for name, inode, mtime_ns in rows}

    def page(self, bucket: str, *, prefix: str, after: str, inclusive: bool, limit: int) -> list[Entry]:
        """Up to `limit` entries whose key begins with `prefix`, from above `after` on (from it on if `inclusive`).

        Raises `OSError`, and `DamagedError` for an encrypted ETag that does not open.
        """
        start, at_or_above = (prefix, ">=") if prefix > after else (after, ">=" if inclusive else ">")
        where, values = f"bucket = ? AND key {at_or_above} ?", [bucket, start]
        bound = beyond_prefix(prefix)
        if bound is not None:
            where, values = f"{where} AND key < ?", [*values, bound]
        query = f"SELECT * FROM entry WHERE {where} ORDER BY key LIMIT ?"  # noqa: S608 - no value is in the text
        with self._seen() as db:
            rows = db.execute(query, (*values, limit)).fetchall()
        return [_entry(row, self._seal) for row in rows]

    def is_empty(self, bucket: str) -> bool:
        """Raises `OSError`."""
        with self._seen() as db:
            return db.execute("SELECT 1 FROM entry WHERE bucket = ? LIMIT 1", (bucket,)).fetchone() is None

    def _gather(self, name: str, entry: Entry | None) -> None:
        if self._changes is None:
            with self._lock:
                self._pending[name] = entry
                full = len(self._pending) >= _MOST_PENDING
        else:
            self._changes.append(_line(name, entry))
            self._gathered += 1
            full = self._gathered >= _MOST_PENDING
        if full:
            # What cannot be written now stays gathered; whoever flushes every second hears of it. The object that is
            # being published must not fail for the sake of a cache.
            with contextlib.suppress(OSError):
                self.flush()

    @contextlib.contextmanager
    def _seen(self) -> Iterator[sqlite3.Connection]:
        """The database with all that was gathered: written, or, while the disk takes nothing, for this look alone.

        So a full disk hinders no listing (P10): SQLite keeps an open transaction in memory (`cache_spill`).
        """
        with self._lock, _errors_of_the_disk():
            try:
                self._write()
            except sqlite3.Error:
                shared = _from_lines(self._changes.peek()) if self._changes is not None else {}
                self._db.execute("BEGIN")
                try:
                    _apply(self._db, self._pending | shared, self._seal)
                    yield self._db
                finally:
                    self._db.execute("ROLLBACK")
            else:
                yield self._db

    def _write(self) -> None:
        if self._pending:
            _commit(self._db, self._pending, self._seal)
            self._pending.clear()
        if self._changes is not None:
            self._gathered = 0
            with self._changes.unread() as lines:
                if lines:
                    _commit(self._db, _from_lines(lines), self._seal)


@contextlib.contextmanager
def _errors_of_the_disk() -> Iterator[None]:
    """SQLite's errors as the `OSError`s that they come from."""
    try:
        yield
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if full else errno.EIO, "the index of keys cannot be used") from error


def _line(name: str, entry: Entry | None) -> bytes:
    return json.dumps((name,) if entry is None else _row(entry, None)).encode() + b"\n"


def _from_lines(lines: Iterable[bytes]) -> dict[str, Entry | None]:
    """The last change of each name. A line that was not written whole was not acknowledged either."""
    changes: dict[str, Entry | None] = {}
    for line in lines:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            changes[row[0]] = _entry(row, None) if len(row) > 1 else None
    return changes


def _commit(db: sqlite3.Connection, changes: Mapping[str, Entry | None], seal: Seal | None) -> None:
    with db:  # commits, or rolls back
        db.execute("BEGIN")
        _apply(db, changes, seal)


def _apply(db: sqlite3.Connection, changes: Mapping[str, Entry | None], seal: Seal | None) -> None:
    gone = [(name,) for name, entry in changes.items() if entry is None]
    db.executemany("DELETE FROM entry WHERE name = ?", gone)
    db.executemany(_UPSERT, [_row(entry, seal) for entry in changes.values() if entry is not None])


def beyond_prefix(prefix: str) -> str | None:
    """The smallest text above every text that begins with `prefix`; None when there is no bound.

    The order is that of code points, which is that of UTF-8 bytes. Surrogates are no characters and are skipped.
    """
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:  # noqa: PLR2004 - the last code point of Unicode
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)  # noqa: PLR2004 - around the surrogates
        prefix = prefix[:-1]
    return None


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _prepared(path)
    except sqlite3.DatabaseError:
        # A cache that cannot be read is rebuilt from the files by the scan that follows every start.
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=32)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA journal_size_limit=16777216")
        db.execute("PRAGMA cache_spill=OFF")  # nothing of a transaction is written before its commit
        _require_usable(db)
        db.executescript(f"{_SCHEMA} PRAGMA user_version={_VERSION};")
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _require_usable(db: sqlite3.Connection) -> None:
    """Look at every page: a damaged one would otherwise be met when half of the files have been compared."""
    if db.execute("PRAGMA user_version").fetchone()[0] not in {0, _VERSION}:
        raise sqlite3.DatabaseError("an index of another version")
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("a damaged index")


def _row(entry: Entry, seal: Seal | None) -> _Row:
    # An ETag is a hash of the data: who can read it can tell whether an object is a file that he has.
    etag = seal.seal(entry.etag.encode(), place=entry.name) if seal else entry.etag
    return (
        entry.name, entry.bucket, entry.key, entry.size, etag, entry.modified_us, entry.inode, entry.mtime_ns,
    )  # fmt: skip


def _entry(row: _Row, seal: Seal | None) -> Entry:
    name, bucket, key, size, etag, modified_us, inode, mtime_ns = row
    if isinstance(etag, bytes):
        if seal is None:
            raise SealedError("the index is encrypted, and no key was given")
        etag = seal.open(etag, place=name).decode()
    return Entry(
        name=name, bucket=bucket, key=key, size=size, etag=etag, modified_us=modified_us, inode=inode, mtime_ns=mtime_ns
    )  # fmt: skip
