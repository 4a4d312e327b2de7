"""Orphans: what is in the store and nothing in the database leads to, left behind by what crashed between two steps.

That is objects, and uploads in parts that were begun in the store.

An empty or an old database would call every object an orphan. So nothing is removed unless the bucket and the database
bear the same mark (`domain.installation`), and of many orphans only when an operator says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from penstock.domain.ids import UploadId
from penstock.domain.installation import (
    MARK_KEY,
    MARK_TYPE,
    Belonging,
    Mark,
    belonging,
    format_mark,
    parse_mark,
)
from penstock.ports.objects import ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database
    from penstock.ports.objects import Multipart, ObjectInfo, ObjectStore
    from penstock.telemetry import Log

PREFIXES = ("assets/", "models/", "staging/", "thumbs/")
AGE = timedelta(hours=12)
"""No step leaves its object without a row for so long; with a look every few hours none is older than a day (P12)."""
MULTIPART_AGE = timedelta(hours=24)
_PAGE = 500
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FEW = 100
_SHARE = 0.05
"""So many orphans, or such a share of all objects, may go without anybody's word: a crash leaves one or two."""
_MARK_BYTES = 1000
_OBSTACLES = {
    Belonging.UNMARKED: "the bucket bears no mark and holds objects that this database does not know",
    Belonging.FOREIGN: "the bucket bears the mark of another installation",
    Belonging.AHEAD: "the bucket was marked later than this database, which seems to be restored from a backup",
}
_NO_MARK, _ILLEGIBLE = Mark(id="none", generation=0), Mark(id="illegible", generation=0)
_ADVICE = "; if they belong together, `penstock sweep --adopt-bucket` says so"


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many objects were looked at, and the orphans among them, with their bytes."""

    objects: int
    orphans: int
    size: int

    @property
    def is_ordinary(self) -> bool:
        """Whether crashes explain so many."""
        return self.orphans <= max(_FEW, int(self.objects * _SHARE))


class Orphans:
    """Finds and removes orphans. Memory does not grow with the bucket."""

    def __init__(self, database: Database, objects: ObjectStore, *, clock: Clock, entropy: Entropy, log: Log) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._entropy = entropy
        self._log = log

    def find(self) -> Iterator[ObjectInfo]:
        """The orphans that are old enough to be nothing else, as they are found. Changes nothing."""
        for page in self._strangers(older=AGE):
            yield from page

    def find_multiparts(self) -> Iterator[Multipart]:
        """Uploads in parts that no pending upload goes on with, and that are old. Changes nothing."""
        for page in self._stray_multiparts():
            yield from page

    def multipart_obstacle(self) -> str | None:
        """Why no upload in parts would be aborted now, for an operator. Changes nothing."""
        ours, theirs = self._marks()
        verdict = belonging(database=ours or _NO_MARK, bucket=theirs)
        if verdict is Belonging.OURS or (verdict is Belonging.UNMARKED and self._knows_everything()):
            return None
        return _OBSTACLES[verdict] + _ADVICE

    def sweep_multiparts(self) -> int:
        """Abort the uploads in parts of which no upload knows, in a bucket that is ours. Returns how many."""
        verdict = self._claim()
        if verdict is not Belonging.OURS:
            self._log("sweep.refused", what="multiparts", reason=_OBSTACLES[verdict])
            return 0
        aborted = 0
        for page in self._stray_multiparts():
            for found in page:
                self._objects.multiparts.abort(found.key, found.upload_id)
            aborted += len(page)
        return aborted

    def obstacle(self) -> str | None:
        """Why no orphan would be removed now, for an operator; None when they would be. Changes nothing."""
        foreign = self.multipart_obstacle()
        if foreign is not None:
            return foreign
        census = self._census()
        if not census.is_ordinary:
            return (
                f"{census.orphans} of {census.objects} objects are too many to go unasked; --confirm says that they may"
            )
        return None

    def sweep(self, *, confirmed: bool = False) -> int:
        """Remove the orphans, unless there is an obstacle; `confirmed`: however many they are. Returns how many."""
        verdict = self._claim()
        if verdict is not Belonging.OURS:
            self._log("sweep.refused", what="orphans", reason=_OBSTACLES[verdict])
            return 0
        census = self._census()
        if not (census.is_ordinary or confirmed):
            self._log("sweep.refused", what="orphans", reason=f"{census.orphans} of {census.objects} objects")
            return 0
        removed = 0
        for page in self._strangers(older=AGE) if census.orphans else ():
            self._objects.delete([info.key for info in page])
            removed += len(page)
        self._advance()
        return removed

    def adopt(self) -> Mark:
        """Mark the bucket as this database's, whatever mark it bore. For an operator who knows."""
        self._own_mark()
        return self._advance()

    def _claim(self) -> Belonging:
        """What the bucket is to us. One without a mark becomes ours when this database knows all that is in it."""
        ours = self._own_mark()
        theirs = self._bucket_mark()
        verdict = belonging(database=ours, bucket=theirs)
        if verdict is Belonging.UNMARKED and self._knows_everything():
            self._write(ours)
            return Belonging.OURS
        return verdict

    def _knows_everything(self) -> bool:
        return not any(self._strangers(older=timedelta(0)))

    def _census(self) -> Census:
        objects = orphans = size = 0
        for looked_at, page in self._pages(older=AGE):
            objects += looked_at
            orphans += len(page)
            size += sum(info.size for info in page)
        return Census(objects=objects, orphans=orphans, size=size)

    def _strangers(self, *, older: timedelta) -> Iterator[list[ObjectInfo]]:
        return (page for _, page in self._pages(older=older) if page)

    def _pages(self, *, older: timedelta) -> Iterator[tuple[int, list[ObjectInfo]]]:
        """How many objects were looked at, and those of them that are strangers and not younger than `older`."""
        before = self._clock.now() - older
        for prefix in PREFIXES:
            found = iter(self._objects.list(prefix))
            while page := list(islice(found, _PAGE)):
                old = [info for info in page if info.modified_at <= before]
                with self._database.read() as tx:
                    strangers = tx.installation.strangers(info.key for info in old)
                yield len(page), [info for info in old if info.key in strangers]

    def _stray_multiparts(self) -> Iterator[list[Multipart]]:
        before = self._clock.now() - MULTIPART_AGE
        for prefix in PREFIXES:
            found = self._objects.multiparts.all(prefix)
            old = (multipart for multipart in found if multipart.initiated_at <= before)
            while page := list(islice(old, _PAGE)):
                names = {multipart.key: name[0] for multipart in page if (name := _UUID.search(multipart.key))}
                with self._database.read() as tx:
                    begun = tx.uploads.begun(UploadId(name) for name in names.values())
                    being_made = tx.installation.being_made(names.values())
                yield [
                    multipart
                    for multipart in page
                    if multipart.upload_id not in begun and names.get(multipart.key) not in being_made
                ]

    def _marks(self) -> tuple[Mark | None, Mark | None]:
        with self._database.read() as tx:
            ours = tx.installation.mark()
        return ours, self._bucket_mark()

    def _own_mark(self) -> Mark:
        with self._database.read() as tx:
            mark = tx.installation.mark()
        if mark is not None:
            return mark
        with self._database.write() as tx:
            return tx.installation.make_mark(self._entropy.random_bytes(16).hex())

    def _bucket_mark(self) -> Mark | None:
        """An object that cannot be read as a mark is nobody's that we know."""
        try:
            _, data = self._objects.peek(MARK_KEY, length=_MARK_BYTES)
        except ObjectNotFoundError:
            return None
        return parse_mark(data) or _ILLEGIBLE

    def _advance(self) -> Mark:
        """The database first: a crash in between leaves it ahead, which is how it always is for a moment."""
        theirs = self._bucket_mark()
        with self._database.write() as tx:
            mark = tx.installation.advance(above=theirs.generation if theirs is not None else 0)
        self._write(mark)
        return mark

    def _write(self, mark: Mark) -> None:
        data = format_mark(mark)
        self._objects.put(MARK_KEY, data, size=len(data), content_type=MARK_TYPE)
