"""Whatever happens in whatever order: bytes that somebody was promised are there, and bytes of nobody go in time (P8).

Uploads, shared bytes, runs, other ends, deletions, restorations, sweeps and failing stores, interleaved at random over
a real database. A model of the promises, kept beside, knows nothing of rows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.assets import is_readable
from penstock.domain.errors import AssetNotFound, ObjectStoreUnavailable
from penstock.domain.ids import AssetId, MediaKey, RunId
from penstock.domain.installation import MARK_KEY
from penstock.services.orphans import AGE
from tests.support.core import HOUR, PNG, TRASH
from tests.support.records import uuid_text

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.ids import AccountId
    from tests.support.core import Core

STEPS = 150
MINUTE = timedelta(minutes=1)
STEPS_OF_TIME = (timedelta(seconds=1), 10 * MINUTE, HOUR, 13 * HOUR, 3 * 24 * HOUR, 8 * 24 * HOUR)


@dataclass(slots=True)
class Promise:
    """What its owner may expect of an asset."""

    key: str
    expires_at: datetime | None
    deleted_until: datetime | None = None
    runs: set[RunId] = field(default_factory=set)

    def holds(self, now: datetime) -> bool:
        """Whether the bytes must be there: to be read, to be restored, or because a run works with them."""
        expired = self.expires_at is not None and now >= self.expires_at
        trashed_for_good = self.deleted_until is not None and now >= self.deleted_until
        return bool(self.runs) or not (expired or trashed_for_good)

    def is_readable(self, now: datetime) -> bool:
        """Whether its owner may read it."""
        expired = self.expires_at is not None and now >= self.expires_at and not self.runs
        return self.deleted_until is None and not expired


class Life:
    """One random life of an installation."""

    def __init__(self, core: Core, seed: int) -> None:
        self.core = core
        self.chance = random.Random(seed)  # noqa: S311 - a test that can be repeated
        self.acme: AccountId = core.open_account()
        self.promises: dict[AssetId, Promise] = {}
        self.numbers = iter(range(10_000))

    @property
    def now(self) -> datetime:
        return self.core.clock.now()

    def step(self) -> None:
        """Do something, then look whether every promise is kept."""
        acts = (
            self.upload,
            self.upload,
            self.share,
            self.run,
            self.end_run,
            self.promote,
            self.limit,
            self.delete,
            self.restore,
            self.wait,
            self.sweep,
            self.sweep_while_the_store_fails,
            self.leave_an_orphan,
        )
        self.chance.choice(acts)()
        self.check()

    def upload(self) -> None:
        lifetime = self.chance.choice([None, HOUR, 5 * HOUR, 24 * HOUR])
        asset = self.core.upload(self.acme, lifetime=lifetime)
        self.promises[asset.id] = Promise(asset.object_key, asset.expires_at)

    def share(self) -> None:
        """Another asset of bytes that are here already: the source is read with its lock, and must be readable."""
        source_id = self.some()
        if source_id is None:
            return
        number = next(self.numbers)
        with self.core.database.write() as tx:
            try:
                source = tx.assets.get(self.acme, source_id)
            except AssetNotFound:
                return
            if not is_readable(source, at=self.now):
                return
            copy = replace(
                source,
                id=AssetId(uuid_text(50_000 + number)),
                media_key=MediaKey(f"{number:032x}-copy"),
                expires_at=self.chance.choice([None, self.now + 2 * HOUR]),
            )
            tx.assets.add(copy)
        self.promises[copy.id] = Promise(copy.object_key, copy.expires_at)

    def run(self) -> None:
        asset_id = self.some()
        if asset_id is None:
            return
        promise = self.promises[asset_id]
        try:
            run = self.core.submit(self.acme, "acme/free", image=f"asset_{asset_id.replace('-', '')}")
        except AssetNotFound:
            expired = promise.expires_at is not None and self.now >= promise.expires_at
            assert expired or not promise.is_readable(self.now)
            return
        promise.runs.add(run.id)

    def end_run(self) -> None:
        running = [(promise, run) for promise in self.promises.values() for run in promise.runs]
        if running:
            promise, run = self.chance.choice(running)
            self.core.runs.cancel(self.acme, run)
            promise.runs.discard(run)

    def promote(self) -> None:
        self.change_end(None)

    def limit(self) -> None:
        self.change_end(self.chance.choice([10 * MINUTE, 48 * HOUR]))

    def change_end(self, lifetime: timedelta | None) -> None:
        asset_id = self.some()
        if asset_id is None:
            return
        promise = self.promises[asset_id]
        over = promise.expires_at is not None and self.now >= promise.expires_at
        try:
            changed = self.core.lifetimes.limit(self.acme, asset_id, lifetime)
        except AssetNotFound:
            assert over or promise.deleted_until is not None
            return
        assert not over
        promise.expires_at = changed.expires_at

    def delete(self) -> None:
        asset_id = self.some()
        if asset_id is None:
            return
        promise, permanent = self.promises[asset_id], self.chance.random() < 0.3
        try:
            self.core.assets.delete(self.acme, asset_id, permanent=permanent)
        except AssetNotFound:
            assert not promise.is_readable(self.now)
            return
        until = self.now + (timedelta(0) if permanent else TRASH)
        promise.deleted_until = min(promise.deleted_until or until, until)

    def restore(self) -> None:
        asset_id = self.some()
        if asset_id is None:
            return
        promise = self.promises[asset_id]
        try:
            self.core.library.restore(self.acme, asset_id)
        except AssetNotFound:
            assert not promise.holds(self.now) or promise.runs
            return
        promise.deleted_until = None

    def wait(self) -> None:
        self.core.clock.advance(self.chance.choice(STEPS_OF_TIME))

    def sweep(self) -> None:
        self.chance.choice([self.core.purging.purge, self.core.purging.forget, self.core.uploads.sweep_staging])(
            limit=self.chance.choice([1, 3, 50])
        )
        if self.chance.random() < 0.3:
            self.core.orphans.sweep()

    def sweep_while_the_store_fails(self) -> None:
        def fail() -> None:
            raise ObjectStoreUnavailable("the store does not answer")

        self.core.objects.before["delete"] = fail
        try:
            self.core.purging.purge(limit=3)
        except ObjectStoreUnavailable:
            pass
        finally:
            self.core.objects.before.clear()

    def leave_an_orphan(self) -> None:
        key = f"{self.chance.choice(['assets', 'thumbs', 'staging'])}/orphan-{next(self.numbers)}"
        self.core.objects.put(key, PNG, size=len(PNG), content_type="image/png")

    def some(self) -> AssetId | None:
        return self.chance.choice(list(self.promises)) if self.promises else None

    def check(self) -> None:
        """Every promise that holds has its bytes, and what can be read is what the promises say."""
        there = set(self.core.keys("assets/"))
        readable = set(self.core.assets.many(self.acme, tuple(self.promises)))
        for asset_id, promise in self.promises.items():
            assert promise.key in there or not promise.holds(self.now)
            assert (asset_id in readable) == promise.is_readable(self.now)

    def come_to_rest(self) -> None:
        """All sweeps, until there is no more to do, some time after the last promise changed."""
        self.core.clock.advance(AGE + HOUR)
        for sweep in (self.core.uploads.expire_overdue, self.core.uploads.sweep_staging, self.core.purging.purge):
            while sweep(limit=50) == 50:
                continue
        self.core.orphans.sweep(confirmed=True)
        self.check()
        kept = {promise.key for promise in self.promises.values() if promise.holds(self.now)}
        assert set(self.core.keys()) == kept | {MARK_KEY}


@pytest.mark.parametrize("seed", range(8))
def test_every_promise_is_kept_and_nothing_else(core: Core, seed: int) -> None:
    life = Life(core, seed)
    core.orphans.sweep()

    for _ in range(STEPS):
        life.step()

    life.come_to_rest()
