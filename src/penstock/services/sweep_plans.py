"""What the sweeps would do now, told without doing it. Each plan is lazy and takes constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.assets import over_at, tombstone_of
from penstock.domain.models import stored_bytes
from penstock.domain.sweeps import Finding
from penstock.domain.uploads import UploadMethod
from penstock.ports.objects import ObjectNotFoundError
from penstock.services.parts import are_whole
from penstock.services.purging import GRACE, keys_of
from penstock.services.uploads import OVERDUE_GRACE, STAGING_GRACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from typing import TypeVar

    from penstock.domain.assets import Asset
    from penstock.domain.ids import ModelFileId
    from penstock.domain.uploads import Upload
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database, Transaction
    from penstock.ports.objects import ObjectStore
    from penstock.ports.positions import Position
    from penstock.services.orphans import Orphans

    T = TypeVar("T", Asset, Upload)

_PAGE = 200


class SweepPlans:
    """One plan for each sweep."""

    def __init__(self, database: Database, objects: ObjectStore, orphans: Orphans, *, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._orphans = orphans
        self._clock = clock

    def files(self) -> Iterator[Finding]:
        """Assets that are expired, or whose time in the trash is over, and that no run holds.

        Bytes that another asset goes on sharing stay; those that only such assets share go with the last of them.
        Sizes are without thumbnails, which no row measures.
        """
        now = self._clock.now()
        with self._database.read() as tx:
            stuck = tx.asset_sweeps.unsettled(limit=_PAGE)
            unnamed = tx.asset_sweeps.unnamed(keys_of(stuck))
        yield from (_over(asset, unnamed & keys_of([asset])) for asset in stuck)
        for page in self._pages(
            lambda tx, after: tx.asset_sweeps.due(now=now - GRACE, after=after, limit=_PAGE), over_at
        ):
            with self._database.read() as tx:
                last = tx.asset_sweeps.last_sharers(keys_of(page), due=now - GRACE)
            yield from (_over(asset, {key for key in keys_of([asset]) if last.get(key) == asset.id}) for asset in page)

    def tombstones(self) -> Iterator[Finding]:
        """Assets that were purged long ago."""
        now = self._clock.now()
        after: Position | None = None
        while True:
            with self._database.read() as tx:
                page = tx.asset_sweeps.forgettable(now=now, after=after, limit=_PAGE)
            for since, asset in page:
                yield Finding(id=asset.id, keys=(), size=0, reason="purged long ago", since=since)
            if len(page) < _PAGE:
                return
            after = (page[-1][0], page[-1][1].id)

    def uploads(self) -> Iterator[Finding]:
        """Uploads whose time is over and whose bytes did not come. Where they did, the sweep completes the upload."""
        due = self._clock.now() - OVERDUE_GRACE
        for page in self._pages(lambda tx, after: tx.uploads.overdue(now=due, after=after, limit=_PAGE), _ended):
            for upload in page:
                if upload.confirm_by is not None:
                    yield Finding(
                        id=upload.id, keys=(), size=0, reason="it was not confirmed in time", since=upload.confirm_by
                    )
                elif self._size(upload.final_key or upload.staging_key) is None and not self._parts_came(upload):
                    yield Finding(
                        id=upload.id, keys=(), size=0, reason="no bytes arrived in time", since=upload.expires_at
                    )

    def staging(self) -> Iterator[Finding]:
        """What is left of uploads that are over and whose URL can write no more."""
        due = self._clock.now() - STAGING_GRACE
        for page in self._pages(lambda tx, after: tx.uploads.unswept(now=due, after=after, limit=_PAGE), _ended):
            for upload in page:
                left = (upload.staging_key, None if upload.asset_id is not None else upload.final_key)
                sizes = {key: size for key in left if key is not None and (size := self._size(key)) is not None}
                if sizes:
                    yield Finding(
                        id=upload.id,
                        keys=tuple(sizes),
                        size=sum(sizes.values()),
                        reason=f"the upload is {upload.state.value}",
                        since=upload.expires_at,
                    )

    def model_files(self) -> Iterator[Finding]:
        """Weights that no model, no upload and no run needs any more."""
        after: ModelFileId | None = None
        while True:
            with self._database.read() as tx:
                page = tx.model_files.unused(after=after, limit=_PAGE)
            for file in page:
                yield Finding(
                    id=file.id,
                    keys=tuple(sorted({file.original_key, file.optimized_key, file.manifest_key})),
                    size=stored_bytes(file),
                    reason="no model has it any more",
                    since=file.created_at,
                )
            if len(page) < _PAGE:
                return
            after = page[-1].id

    def multiparts(self) -> Iterator[Finding]:
        """Uploads in parts, begun in the store, that no pending upload goes on with. No object goes with them."""
        for found in self._orphans.find_multiparts():
            yield Finding(
                id=found.key, keys=(), size=0, reason="no upload goes on with its parts", since=found.initiated_at
            )

    def orphans(self) -> Iterator[Finding]:
        """Objects to which nothing leads."""
        for info in self._orphans.find():
            yield Finding(
                id=info.key, keys=(info.key,), size=info.size, reason="nothing leads to it", since=info.modified_at
            )

    def _pages(
        self, page_of: Callable[[Transaction, Position | None], Sequence[T]], moment: Callable[[T], datetime | None]
    ) -> Iterator[Sequence[T]]:
        after: Position | None = None
        while True:
            with self._database.read() as tx:
                page = page_of(tx, after)
            if page:
                yield page
            last = moment(page[-1]) if len(page) == _PAGE else None
            if last is None:
                return
            after = (last, page[-1].id)

    def _parts_came(self, upload: Upload) -> bool:
        """Whether the sweep would make the file of the parts that arrived."""
        return upload.method is UploadMethod.MULTIPART and are_whole(self._objects, upload)

    def _size(self, key: str) -> int | None:
        try:
            return self._objects.head(key).size
        except ObjectNotFoundError:
            return None


def _over(asset: Asset, keys: set[str] | frozenset[str]) -> Finding:
    told = tombstone_of(asset)
    return Finding(
        id=asset.id,
        keys=tuple(sorted(keys)),
        size=asset.size if asset.object_key in keys else 0,
        reason=told.ending.value if told is not None else "",
        since=over_at(asset) or asset.created_at,
    )


def _ended(upload: Upload) -> datetime:
    return upload.expires_at
