"""Where everything stands in the data directory, and how a change of a directory is made durable.

    objects/ab/<name>        the object of one key: data and record, or the record alone when the data is linked
    objects/ab/<name>.<id>   data that such a record names: a hard link of the copied file, or a directory of parts
    uploads/<id>             an open multipart upload; its parts are in objects/ab/<name>.<id>/
    uploads/<id>.done        what a completed one was answered, for whoever asks again
    tmp/<id>                 what is being written; swept at start
    buckets/<bucket>         one empty file per bucket
    index.sqlite3            the ordered keys, for listings; can be rebuilt
    keys.json                the keys of an encrypted store, sealed under the operator's; cannot be rebuilt
    store.lock               held by the process that serves the directory
    shards.lock              one byte per shard, when several processes serve it together; its content means nothing

`name` is the SHA-256 of bucket and key, `ab` its first two digits: no text of a client ever becomes a file name. Paths
are plain strings, because every request makes several.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import secrets
from typing import TYPE_CHECKING

from penstock.store.syncs import sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHARDS = tuple([f"{number:02x}" for number in range(256)])
BUCKET_NAME = re.compile(
    r"(?![0-9]+(?:\.[0-9]+){3}$)(?=.{3,63}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*",
    re.ASCII,
)
"""Labels as in host names, 3 to 63 characters in all, and no IPv4 address (S3 API, Bucket naming rules)."""


def entry_name(bucket: str, key: str) -> str:
    """The file name of a key's object. A bucket's name holds no NUL, so two pairs never give the same text."""
    return hashlib.sha256(f"{bucket}\0{key}".encode()).hexdigest()


def shard_of(name: str) -> str:
    """The shard of an entry, or of the data that belongs to one."""
    return name[:2]


class Layout:
    """The paths of one data directory. `writer` tells the temporary files of one process from those of another."""

    def __init__(self, root: Path, *, writer: str = "") -> None:
        self.writer = writer
        self._names = map(f"{writer}{secrets.token_hex(8)}-{{}}".format, itertools.count())
        self.root = str(root)
        self.temporary = str(root / "tmp")
        self.buckets = str(root / "buckets")
        self.objects = str(root / "objects")
        self.uploads = str(root / "uploads")
        self.index = root / "index.sqlite3"
        self.keys = root / "keys.json"
        self.locks = str(root / "shards.lock")

    def prepare(self) -> None:
        """Create what is missing, and make every name that is there durable.

        Names may be left from a process that died before it could do that, and had told nobody; but whoever looks
        from now on must not see them come and go (P6). 0.05 ms for each directory that has not changed.
        """
        shards = [f"{self.objects}/{shard}" for shard in SHARDS]
        for directory in (self.root, self.temporary, self.buckets, self.uploads, self.objects, *shards):
            os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103 - the layout's paths are strings
        for directory in (*shards, self.objects, self.uploads, self.buckets, self.root, f"{self.root}/.."):
            sync_directory(directory)

    def shard(self, name: str) -> str:
        """The directory of an entry."""
        return f"{self.objects}/{name[:2]}"

    def entry(self, name: str) -> str:
        """The file of an entry, or of the data that belongs to one."""
        return f"{self.objects}/{name[:2]}/{name}"

    def new_temporary(self) -> str:
        """The path of a file that nobody has yet."""
        return f"{self.temporary}/{next(self._names)}"

    def bucket(self, bucket: str) -> str:
        """The file that says that a bucket exists."""
        return f"{self.buckets}/{bucket}"


def sync_directory(path: str) -> None:
    """Make what happened to a directory's names durable. A new descriptor each time never hides an earlier error."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(fd, "directory")
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - the layout's paths are strings


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """A descriptor to read an entry."""
    fd = open_to_read(path)
    try:
        yield fd
    finally:
        os.close(fd)


def open_to_read(path: str, *, directory: int | None = None) -> int:
    """A descriptor to read an entry, to be closed by the caller. `directory` is where a relative path begins."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)


def open_directory(path: str) -> int:
    """A descriptor of a directory, to be closed by the caller."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)


def part_name(number: int) -> str:
    """The file name of a part in its directory: five digits, so that names sort as numbers do."""
    return f"{number:05}"


def part_place(upload_id: str, number: int) -> str:
    """What a part's record is written for; the same in the directory of every copy of the object."""
    return f"{upload_id}/{part_name(number)}"
