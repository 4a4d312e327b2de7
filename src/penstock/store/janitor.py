"""Removes what crashes and readers left over: data that nothing names, answers that nobody asks for any more (P12).

It removes only what is older than an hour, so that it never meets a write that is under way; and never what a damaged
record or description might have named: that is for `fsck` to report.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from functools import partial
from typing import TYPE_CHECKING

from penstock.store.failpoints import failpoint
from penstock.store.layout import SHARDS, opened, part_name, remove
from penstock.store.record import DamagedError, Record, read_record
from penstock.store.segments import segments_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from penstock.store.objects import Objects
    from penstock.store.uploads import UploadFiles

EVERY_SECONDS = 3600.0
GRACE_SECONDS = 3600.0
ANSWERS_SECONDS = 24 * 3600.0
_PAUSE_SECONDS = 0.01


def steady(wall: Callable[[], float], passed: Callable[[], float]) -> Callable[[], float]:
    """A clock by which nothing is older than it is, whichever way the wall clock is set while the process lives.

    Both count seconds; `passed` is monotonic. Files carry the wall clock's time: set forward, it would age those that
    are there; counted on from the start alone, it would age those that come after it was set back.
    """
    began = wall() - passed()
    return lambda: min(wall(), began + passed())


class Janitor:
    """One pass at a time. `now` gives seconds since the epoch and makes nothing older than it is (`steady`).

    It pauses between shards, so that requests hardly notice.
    """

    def __init__(
        self, objects: Objects, files: UploadFiles, *, now: Callable[[], float], pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        self._objects = objects
        self._layout = objects.layout
        self._files = files
        self._now = now
        self._pause_seconds = pause_seconds

    def clean(self, stop: threading.Event) -> int:
        """One pass over everything, ended early by `stop`. Returns how many files and directories of parts went."""
        removed = 0
        shards = [partial(self._clean_shard, shard) for shard in SHARDS]
        work: list[Callable[[], int]] = [self._clean_answers, self._clean_uploads, *shards]
        for clean in work:
            if stop.wait(self._pause_seconds):
                break
            # What cannot be read or removed now is there in the next pass, too.
            with contextlib.suppress(OSError):
                removed += clean()
        return removed

    def _clean_answers(self) -> int:
        old = [name for name, completed in self._files.answers() if self._now() - completed > ANSWERS_SECONDS]
        for upload_id in old:
            self._files.forget(upload_id)
        return len(old)

    def _clean_uploads(self) -> int:
        """Uploads whose parts have gone: a crash brought the description back after the object was replaced."""
        removed = 0
        for upload in self._files.all():
            if self._now() - upload.created_us / 1_000_000 <= GRACE_SECONDS:
                continue
            with self._objects.alone(upload.name):
                if not os.path.lexists(self._layout.entry(upload.directory)):
                    self._files.remove(upload.id)
                    removed += 1
        return removed

    def _clean_shard(self, shard: str) -> int:
        removed = 0
        for file in os.scandir(f"{self._layout.objects}/{shard}"):
            name, dot, _ = file.name.partition(".")
            if not dot:
                continue
            with contextlib.suppress(FileNotFoundError):
                directory = file.is_dir(follow_symlinks=False)
                # The time of a link's making is not in its modification time, which it shares with its source.
                if not self._is_old(file.stat(follow_symlinks=False)):
                    continue
                if self._is_named(name, file.name):
                    removed += self._clean_parts(name, file.name) if directory else 0
                    continue
                unnamed = f"{name}.{secrets.token_hex(16)}"
                with self._objects.alone(name):
                    if self._is_named(name, file.name):
                        continue
                    # Out of reach of a copy that is late, before the lock is given back.
                    os.rename(file.path, self._layout.entry(unnamed))  # noqa: PTH104 - the layout's paths are strings
                failpoint("janitor.found")
                if directory:
                    self._objects.drop_parts(unnamed)
                else:
                    remove(self._layout.entry(unnamed))
                removed += 1
        return removed

    def _clean_parts(self, name: str, directory: str) -> int:
        """Parts that arrived, but were not listed when their upload was completed."""
        try:
            record = self._record(name)
        except DamagedError:
            return 0
        if record is None or record.linked != directory:
            return 0
        kept = {part_name(segment.number) for segment in segments_of(record.segments)}
        strays = [file.path for file in os.scandir(self._layout.entry(directory)) if file.name not in kept]
        for path in strays:
            remove(path)
        return len(strays)

    def _is_named(self, name: str, data: str) -> bool:
        """Whether the record of an entry, or an open upload, may need this data."""
        if self._files.is_open(data.partition(".")[2]):
            return True
        try:
            record = self._record(name)
        except DamagedError:
            return True
        return record is not None and record.linked == data

    def _record(self, name: str) -> Record | None:
        try:
            with opened(self._layout.entry(name)) as fd:
                return read_record(fd, self._objects.keyring, place=name)
        except FileNotFoundError:
            return None

    def _is_old(self, stat: os.stat_result) -> bool:
        return self._now() - stat.st_ctime > GRACE_SECONDS
