"""The ordered index of keys, for listings only. Every fact in it also stands in the objects' own files.

SQLite in WAL mode with `synchronous=NORMAL`: no fsync per object, consistent after any crash, at worst without its
last entries. `reconcile` compares it with the files at start, so it need not be durable to be right.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    name TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified_us INTEGER NOT NULL, inode INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS entry_by_key ON entry (bucket, key);
"""
_VERSION = 1
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
    """Keys in the order of their UTF-8 bytes. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = _open(path)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def put(self, entry: Entry) -> None:
        with self._lock:
            self._db.execute(_UPSERT, _row(entry))

    def remove(self, name: str) -> None:
        with self._lock:
            self._db.execute("DELETE FROM entry WHERE name = ?", (name,))

    def replace_many(self, entries: Iterable[Entry], gone: Iterable[str]) -> None:
        """Bring many entries up to date in one transaction."""
        with self._lock, self._db:
            self._db.execute("BEGIN")
            self._db.executemany("DELETE FROM entry WHERE name = ?", [(name,) for name in gone])
            self._db.executemany(_UPSERT, map(_row, entries))

    def files(self, shard: str) -> dict[str, tuple[int, int]]:
        """Name → (inode, mtime) of the entries whose name begins with `shard`."""
        with self._lock:
            rows = self._db.execute(
                "SELECT name, inode, mtime_ns FROM entry WHERE name >= ? AND name < ?", (shard, shard + "g")
            ).fetchall()
        return {name: (inode, mtime_ns) for name, inode, mtime_ns in rows}

    def page(self, bucket: str, *, prefix: str, after: str, inclusive: bool, limit: int) -> list[Entry]:
        """Up to `limit` entries whose key begins with `prefix`, from above `after` on (from it on if `inclusive`)."""
        start, at_or_above = (prefix, ">=") if prefix > after else (after, ">=" if inclusive else ">")
        where, values = f"bucket = ? AND key {at_or_above} ?", [bucket, start]
        bound = beyond_prefix(prefix)
        if bound is not None:
            where, values = f"{where} AND key < ?", [*values, bound]
        query = f"SELECT * FROM entry WHERE {where} ORDER BY key LIMIT ?"  # noqa: S608 - no value is in the text
        with self._lock:
            rows = self._db.execute(query, (*values, limit)).fetchall()
        return [_entry(row) for row in rows]

    def is_empty(self, bucket: str) -> bool:
        with self._lock:
            return self._db.execute("SELECT 1 FROM entry WHERE bucket = ? LIMIT 1", (bucket,)).fetchone() is None


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
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.executescript(f"{_SCHEMA} PRAGMA user_version={_VERSION};")
    except sqlite3.DatabaseError:
        db.close()
        raise
    if version not in {0, _VERSION}:
        db.close()
        raise sqlite3.DatabaseError("an index of another version")
    return db


def _row(entry: Entry) -> tuple[str, str, str, int, str, int, int, int]:
    return (
        entry.name, entry.bucket, entry.key, entry.size, entry.etag, entry.modified_us, entry.inode, entry.mtime_ns,
    )  # fmt: skip


def _entry(row: tuple[str, str, str, int, str, int, int, int]) -> Entry:
    name, bucket, key, size, etag, modified_us, inode, mtime_ns = row
    return Entry(
        name=name, bucket=bucket, key=key, size=size, etag=etag, modified_us=modified_us, inode=inode, mtime_ns=mtime_ns
    )  # fmt: skip
