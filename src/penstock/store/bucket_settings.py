"""What a bucket has beside its name: its CORS rules and its canned ACL, in the file that says that it exists."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.store.cors import CorsRule
from penstock.store.incoming import write_all
from penstock.store.layout import remove, sync_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.store.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSettings:
    """`acl` is a canned ACL (`access`); empty for a private bucket."""

    acl: str = ""
    cors: tuple[CorsRule, ...] = ()


class SettingsFiles:
    """The settings of all buckets. An empty file means none; a file is replaced, never changed.

    What was read is kept as long as it is the same file, so that a look costs one `stat`, and what another process
    wrote is seen.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[str, tuple[tuple[int, int], BucketSettings]] = {}

    def read(self, bucket: str) -> BucketSettings:
        """The settings of a bucket whose name is known to be one; the default ones when there is no such bucket.

        Raises `OSError`, and ValueError for a file that holds something else.
        """
        path = self._layout.bucket(bucket)
        try:
            stat = os.stat(path)  # noqa: PTH116 - the layout's paths are strings
            version = (stat.st_ino, stat.st_ctime_ns)
            known = self._known.get(bucket)
            if known is None or known[0] != version:
                with open(path, "rb") as file:  # noqa: PTH123 - the layout's paths are strings
                    known = self._known[bucket] = version, _decoded(file.read())
        except FileNotFoundError:
            return BucketSettings()
        return known[1]

    def write(self, bucket: str, settings: BucketSettings) -> None:
        """Replace the settings of a bucket that exists and stays while this runs, durably. Raises `OSError`."""
        path, draft = self._layout.bucket(bucket), self._layout.new_temporary()
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                write_all(fd, json.dumps(dataclasses.asdict(settings)).encode())
                created = os.stat(path).st_mtime_ns  # noqa: PTH116 - the layout's paths are strings
                os.utime(fd, ns=(created, created))  # the time of the file is the time of the bucket
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(draft, path)  # noqa: PTH104 - the layout's paths are strings
        except BaseException:
            remove(draft)
            raise
        sync_directory(self._layout.buckets)


def _decoded(data: bytes) -> BucketSettings:
    values: Mapping[str, object] = json.loads(data) if data else {}
    acl, cors = values.get("acl", ""), values.get("cors", [])
    if not isinstance(acl, str) or not isinstance(cors, list):
        raise ValueError("not the settings of a bucket")  # noqa: TRY004 - of a file, as from json
    return BucketSettings(acl=acl, cors=tuple([_rule(one) for one in cors]))


def _rule(values: dict[str, object]) -> CorsRule:
    return CorsRule(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})  # type: ignore[arg-type]  # as they were written
