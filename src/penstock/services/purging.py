"""Purging: the bytes of assets that are over go, and nothing that is still named, leased or promised.

Three steps, each of which may be the last before a crash: mark (one transaction; from then on nothing leads to the
bytes and nobody may share them), remove the objects that no other asset names, record. What got stuck in between is
found again by its mark. Two that purge at once do no harm: whoever looks last sees the marks of both.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.domain.assets import Asset
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database
    from penstock.ports.objects import ObjectStore

GRACE = timedelta(minutes=1)
"""Bytes stay this much longer than they can be asked for. Leases need none: the lock decides. It is for machines whose
clocks differ (P8: never earlier than promised, by whoever's clock), and for the signed URL of the last second."""


class Purging:
    """Removes what is over. Every method may be repeated, or broken off at any point and repeated."""

    def __init__(self, database: Database, objects: ObjectStore, *, clock: Clock, tombstones: timedelta) -> None:
        """`tombstones`: how long it is remembered of an asset that its bytes are gone."""
        self._database = database
        self._objects = objects
        self._clock = clock
        self._tombstones = tombstones

    def purge(self, *, limit: int) -> int:
        """Purge up to `limit` assets that are over, those first that got stuck before. Returns how many.

        Raises `Unavailable`; what was marked by then is gone for everybody, and its bytes go the next time.
        """
        stuck = self._settle(limit)
        if stuck < limit:
            self._mark(limit - stuck)
            stuck += self._settle(limit - stuck)
        return stuck

    def forget(self, *, limit: int) -> int:
        """Forget up to `limit` purged assets whose time as tombstones is over. Returns how many."""
        with self._database.write() as tx:
            over = tx.asset_sweeps.forgettable(now=self._clock.now(), after=None, limit=limit)
            tx.asset_sweeps.remove(asset.id for _, asset in over)
        return len(over)

    def _mark(self, limit: int) -> None:
        now = self._clock.now()
        with self._database.write() as tx:
            tx.asset_sweeps.purge(due=now - GRACE, now=now, limit=limit)

    def _settle(self, limit: int) -> int:
        with self._database.read() as tx:
            purged = tx.asset_sweeps.unsettled(limit=limit)
            unnamed = tx.asset_sweeps.unnamed(keys_of(purged)) if purged else frozenset()
        if not purged:
            return 0
        self._objects.delete(sorted(unnamed))
        until = {asset.id: (asset.purged_at or self._clock.now()) + self._tombstones for asset in purged}
        with self._database.write() as tx:
            if self._tombstones:
                tx.asset_sweeps.remember(until)
            else:
                tx.asset_sweeps.remove(until)
        return len(purged)


def keys_of(assets: Iterable[Asset]) -> set[str]:
    """The objects that these assets name."""
    return {key for asset in assets for key in (asset.object_key, asset.thumbnail_key) if key is not None}
