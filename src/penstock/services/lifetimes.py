"""Lifetimes: when files end if nobody says otherwise, and giving a file another end than it was promised."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.assets import is_readable
from penstock.domain.assets import kept as kept_until
from penstock.domain.errors import AssetNotFound

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId, AssetId
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLifetimes:
    """How long files of a class live when neither their owner nor the dialect says; None: until deleted."""

    uploads: timedelta | None = None
    outputs: timedelta | None = None
    inline: timedelta = timedelta(hours=24)


class Lifetimes:
    """Use cases on the ends of assets. No bytes move."""

    def __init__(self, database: Database, *, clock: Clock, classes: ClassLifetimes) -> None:
        """`classes`: what holds for files of whose end nobody spoke."""
        self._database = database
        self._clock = clock
        self.classes = classes

    def promote(self, account_id: AccountId, asset_id: AssetId) -> Asset:
        """Keep an asset that would expire, as long as it has not. Idempotent. Raises `AssetNotFound`."""
        return self.limit(account_id, asset_id, None)

    def limit(self, account_id: AccountId, asset_id: AssetId, lifetime: timedelta | None) -> Asset:
        """Let an asset live for so long from now, more or less than it had; None: until it is deleted.

        Raises `AssetNotFound`, also for one that is expired and that a run still holds: its time was over.
        """
        now = self._clock.now()
        with self._database.write() as tx:
            asset = tx.assets.get(account_id, asset_id)
            if not is_readable(asset, at=now):
                raise AssetNotFound(asset_id)
            until = None if lifetime is None else now + lifetime
            if asset.expires_at == until:
                return asset
            changed = kept_until(asset, until=until, now=now)
            tx.assets.replace(changed)
        return changed
