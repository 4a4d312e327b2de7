"""Sweeps by hand against a real store: what is told is what is done, and a kill at any step costs nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.db.migrate import migrate
from penstock.adapters.objects.s3 import S3ObjectStore
from penstock.domain.installation import MARK_KEY
from penstock.services.purging import Purging
from tests.support.records import make_asset, open_account, uuid_text
from tests.support.server import clean_environment, run_penstock
from tests.support.stores import WallClock, embedded_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId

DAYS = timedelta(days=30)

# Purges one asset and dies by SIGKILL before its numbered step; a step is a statement or a call of the store.
KILLED_PURGE = """
import os, signal, sys
from datetime import timedelta
from sqlalchemy import Engine, event
from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.objects import calls
from penstock.adapters.objects.s3 import Bucket, S3ObjectStore
from penstock.adapters.system import SystemClock
from penstock.services.purging import Purging
from penstock.sigv4 import Credentials
database, endpoint, access, secret, last = sys.argv[1:]
count = 0
def step(*_, **__):
    global count
    count += 1
    if count == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "before_cursor_execute", step)
event.listen(Engine, "commit", step)
bucket = Bucket(endpoint=endpoint, name="penstock", region="us-east-1", credentials=Credentials(access, secret))
clock = SystemClock()
class Store(S3ObjectStore):
    def delete(self, keys):
        step()
        super().delete(keys)
        step()
Purging(SqlDatabase(database), Store(bucket, clock=clock), clock=clock, tombstones=timedelta(days=30)).purge(limit=10)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database and a bucket, with nobody else at work on them."""

    url: str
    bucket: Bucket
    database: SqlDatabase
    objects: S3ObjectStore
    account_id: AccountId
    environment: dict[str, str]

    def keep(self, number: int, *, ends: timedelta | None = None, key: str | None = None) -> Asset:
        """An asset with its object; `ends`: how long ago its life ended."""
        now = WallClock().now()
        asset = make_asset(
            number,
            self.account_id,
            size=5,
            object_key=key or f"assets/{uuid_text(number)}",
            expires_at=None if ends is None else now - ends,
        )
        self.objects.put(asset.object_key, b"bytes", size=5, content_type="image/png")
        with self.database.write() as tx:
            tx.assets.add(asset)
        return asset

    def sweep(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_penstock("sweep", *arguments, environment=self.environment)

    def keys(self) -> list[str]:
        return [info.key for info in self.objects.list("")]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with embedded_store(tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture
def place(bucket: Bucket, tmp_path: Path) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path / 'penstock.db'}"
    migrate(url)
    database, objects = SqlDatabase(url), S3ObjectStore(bucket, clock=WallClock())
    environment = clean_environment(
        PENSTOCK_DATA=str(tmp_path),
        PENSTOCK_STORE_URL=bucket.endpoint,
        PENSTOCK_STORE_ACCESS_KEY=bucket.credentials.access_key,
        PENSTOCK_STORE_SECRET_KEY=bucket.credentials.secret_key,
    )
    yield Place(
        url=url,
        bucket=bucket,
        database=database,
        objects=objects,
        account_id=open_account(database),
        environment=environment,
    )
    objects.delete([info.key for info in objects.list("")])
    objects.close()
    database.close()


def test_a_dry_run_tells_exactly_what_then_goes(place: Place) -> None:
    expired = place.keep(1, ends=timedelta(hours=1))
    sharer = place.keep(2, ends=timedelta(hours=2), key="assets/shared")
    kept = place.keep(3, key="assets/shared")

    told = place.sweep("--dry-run", "--json")
    after_telling = place.keys()
    done = place.sweep()

    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert told.returncode == 0, told.stderr
    assert {(one["sweep"], one["id"], tuple(one["keys"]), one["size_bytes"], one["reason"]) for one in found} == {
        ("files", expired.id, (expired.object_key,), 5, "expired"),
        ("files", sharer.id, (), 0, "expired"),
    }
    assert after_telling == [expired.object_key, "assets/shared"]
    assert done.returncode == 0, done.stderr
    assert "files: 2 removed" in done.stdout
    assert place.keys() == [kept.object_key, MARK_KEY]


def test_a_fresh_database_takes_nothing_from_an_old_bucket(place: Place, tmp_path: Path) -> None:
    place.keep(1)
    assert place.sweep("orphans").returncode == 0
    fresh = {**place.environment, "DATABASE_URL": f"sqlite:///{tmp_path / 'fresh.db'}"}

    for arguments in (("--dry-run",), (), ("--confirm",)):
        refused = run_penstock("sweep", "orphans", *arguments, environment=fresh)
        assert (refused.returncode, "another installation" in refused.stderr) == (1, True)
    assert len(place.keys()) == 2

    adopted = run_penstock("sweep", "orphans", "--adopt-bucket", environment=fresh)
    assert adopted.returncode == 0, adopted.stderr
    assert "another installation" in place.sweep("orphans", "--dry-run").stderr


def test_an_unknown_sweep_is_refused(place: Place) -> None:
    refused = place.sweep("everything")

    assert refused.returncode == 2
    assert "files" in refused.stderr


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_purge_that_is_killed_at_any_step_ends_alike(place: Place, stride: int) -> None:
    """Every prefix of the steps leaves what the next purge finishes: bytes gone, the sharer's kept, a tombstone."""
    place.keep(1, key="assets/kept")
    purging = Purging(place.database, place.objects, clock=WallClock(), tombstones=DAYS)
    step, status = 1 - stride, -signal.SIGKILL
    while status == -signal.SIGKILL:
        step += stride
        over = [place.keep(1000 + 10 * step, ends=DAYS), place.keep(1001 + 10 * step, ends=DAYS, key="assets/kept")]

        status = killed_at(place, step)
        purging.purge(limit=10)

        assert place.keys() == ["assets/kept"]
        with place.database.read() as tx:
            assert all(tx.asset_sweeps.known(place.account_id, asset.id).purged_at for asset in over)
            assert tx.asset_sweeps.unsettled(limit=10) == []
    assert status == 0
    assert step > 10


def killed_at(place: Place, step: int) -> int:
    """Purge in a process that dies at that step; its exit status."""
    credentials = place.bucket.credentials
    where = (place.url, place.bucket.endpoint, credentials.access_key, credentials.secret_key)
    command = [sys.executable, "-c", KILLED_PURGE, *where, str(step)]
    return subprocess.run(command, check=False, capture_output=True, timeout=120).returncode
