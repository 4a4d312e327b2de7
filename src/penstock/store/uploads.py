"""What the disk says of multipart uploads: a description while one is open, its answer once it is complete.

    uploads/<id>        the description; it goes when the upload is completed or aborted
    uploads/<id>.done   the answer of a completed one, which a repeated completion gets again; swept after a day

A description never changes. Whoever removes one, or relies on its being there, holds the lock of the key's shard.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from penstock.store.failpoints import failpoint
from penstock.store.incoming import write_all
from penstock.store.layout import Layout, entry_name, opened, remove, sync_directory
from penstock.store.record import DamagedError, encode_values, read_values
from penstock.store.syncs import sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from penstock.store.record import Seal

UPLOAD_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
DONE = ".done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An open upload: what its object will be. `created_us` is in microseconds since the epoch (UTC).

    `algorithm` is the checksum that the client chose, `checksum_type` how that of the object is made of the parts'
    (`COMPOSITE` or `FULL_OBJECT`); both None where it chose none.
    """

    id: str
    bucket: str
    key: str
    content_type: str
    created_us: int
    headers: dict[str, str] = field(default_factory=dict)
    user: dict[str, str] = field(default_factory=dict)
    algorithm: str | None = None
    checksum_type: str | None = None

    @property
    def name(self) -> str:
        """The entry that the object will have."""
        return entry_name(self.bucket, self.key)

    @property
    def directory(self) -> str:
        """Where the parts are: in the entry's shard, under the name by which the object's record will know them."""
        return f"{self.name}.{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The answer to a completion, and by which list of parts (`completion.digest_of_list`) it was earned."""

    bucket: str
    key: str
    etag: str
    checksums: dict[str, str]
    listed: str


def new_id(created_us: int) -> str:
    """An id that nobody has yet; those of one key ascend with time, as listings show them (S3 API)."""
    return f"{created_us:016x}{secrets.token_hex(8)}"


class UploadFiles:
    """The files of one data directory's uploads."""

    def __init__(self, layout: Layout, seal: Seal | None) -> None:
        self._layout = layout
        self._seal = seal
        self._known: dict[str, Upload] = {}

    def write(self, upload: Upload) -> None:
        """Make an upload known, durably. Raises `OSError`."""
        with self._sealed(asdict(upload), upload.id) as temporary:
            os.rename(temporary, self._path(upload.id))  # noqa: PTH104 - the layout's paths are strings
        failpoint("upload.described")
        self.sync()

    def read(self, upload_id: str) -> Upload | None:
        """The description; None when there is no such open upload, or none that can be read."""
        values = self._read(upload_id, "")
        return Upload(**values) if values else None

    def answer(self, upload_id: str) -> Completed | None:
        """What a completed upload was answered; None when there is none, or it is too long ago."""
        values = self._read(upload_id, DONE)
        return Completed(**values) if values else None

    @contextlib.contextmanager
    def sealed(self, answer: Completed, upload_id: str) -> Iterator[str]:
        """The path of a durable file with the answer, for `close`. It does not outlive the context."""
        with self._sealed(asdict(answer), upload_id + DONE) as temporary:
            yield temporary

    def close(self, upload_id: str, sealed: str) -> None:
        """Put the answer in the place of the description. Durable after `sync`."""
        os.rename(sealed, self._path(upload_id) + DONE)  # noqa: PTH104 - the layout's paths are strings
        failpoint("complete.answered")
        self.remove(upload_id)

    def remove(self, upload_id: str) -> None:
        """Make an upload unknown. Durable after `sync`."""
        remove(self._path(upload_id))

    def sync(self) -> None:
        """Make what happened to the uploads durable. Raises `OSError`."""
        sync_directory(self._layout.uploads)

    def is_open(self, upload_id: str) -> bool:
        """Whether there is a description, readable or not."""
        return UPLOAD_ID.fullmatch(upload_id) is not None and os.path.lexists(self._path(upload_id))

    def all(self) -> list[Upload]:
        """Every open upload, ascending by bucket, key and id."""
        names = [file.name for file in os.scandir(self._layout.uploads) if UPLOAD_ID.fullmatch(file.name)]
        found = {name: self._known.get(name) or self.read(name) for name in names}
        self._known = {name: upload for name, upload in found.items() if upload}
        return sorted(self._known.values(), key=lambda upload: (upload.bucket, upload.key, upload.id))

    def answers(self) -> Iterator[tuple[str, float]]:
        """Ids of completed uploads, and when they were completed (seconds since the epoch)."""
        for file in os.scandir(self._layout.uploads):
            if file.name.endswith(DONE):
                with contextlib.suppress(FileNotFoundError):
                    yield file.name.removesuffix(DONE), file.stat().st_mtime

    def forget(self, upload_id: str) -> None:
        """Remove the answer of a completed upload."""
        remove(self._path(upload_id) + DONE)

    def _path(self, upload_id: str) -> str:
        return f"{self._layout.uploads}/{upload_id}"

    def _read(self, upload_id: str, suffix: str) -> dict[str, Any] | None:
        if not UPLOAD_ID.fullmatch(upload_id):
            return None
        try:
            with opened(self._path(upload_id) + suffix) as fd:
                return read_values(fd, self._seal, place=_place(upload_id + suffix))
        except (FileNotFoundError, DamagedError):
            return None

    @contextlib.contextmanager
    def _sealed(self, values: dict[str, Any], name: str) -> Iterator[str]:
        path = self._layout.new_temporary()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                write_all(fd, encode_values(values, self._seal, place=_place(name)))
                sync(fd, "file")
            finally:
                os.close(fd)
            yield path
        finally:
            remove(path)


def _place(name: str) -> str:
    return f"uploads/{name}"
