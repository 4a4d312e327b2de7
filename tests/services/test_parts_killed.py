"""A process that is killed between the completion in the store and the commit, over the real store and real HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.db.database import open_database
from penstock.adapters.objects.s3 import Capabilities, S3ObjectStore
from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.domain.uploads import UploadMethod, UploadState
from penstock.services.accounts import Accounts
from penstock.services.uploads import NewUpload
from tests.services.part_completer import uploads_over
from tests.support.core import PNG, POLICY
from tests.support.exchange import exchange
from tests.support.repeatable import SteppedClock
from tests.support.stores import embedded_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.adapters.objects.s3 import Bucket
    from penstock.domain.ids import AccountId
    from penstock.domain.uploads import Upload
    from penstock.services.uploads import Uploads

ROOT = Path(__file__).parents[2]
PART = 5 * 2**20
WHOLE = PNG + bytes(PART)
LARGE = replace(POLICY, max_multipart_bytes=2 * PART)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with embedded_store(tmp_path / "store") as place:
        yield place


@pytest.fixture
def objects(bucket: Bucket) -> Iterator[S3ObjectStore]:
    store = S3ObjectStore(bucket, clock=SystemClock(), capabilities=Capabilities(trusts_checksums=True))
    yield store
    store.close()


def test_a_completion_that_was_killed_is_finished_by_whoever_asks_again_or_by_the_sweep(
    sqlite_url: str, bucket: Bucket, objects: S3ObjectStore
) -> None:
    database, clock = open_database(sqlite_url), SteppedClock(SystemClock().now())
    acme = Accounts(database, clock, SystemEntropy()).create_account("acme", Decimal(0)).id
    uploads = uploads_over(database, objects, bucket, clock)
    again, swept = (_killed_while_completing(sqlite_url, bucket, uploads, acme) for _ in range(2))

    asset = uploads.complete_upload(acme, again.id)
    assert uploads.complete_upload(acme, again.id) == asset
    clock.set(swept.expires_at + timedelta(hours=1))
    uploads.expire_overdue(limit=10)

    ended = [uploads.get(acme, upload.id) for upload in (again, swept)]
    assert all(upload.asset_id is not None for upload in ended)
    assert sorted(info.key for info in objects.list("")) == sorted(str(upload.final_key) for upload in ended)
    assert b"".join(objects.read(asset.object_key)) == WHOLE
    assert list(objects.multiparts.all("")) == []
    database.close()


def _killed_while_completing(url: str, bucket: Bucket, uploads: Uploads, account_id: AccountId) -> Upload:
    """An upload whose parts were joined by a process that did not live to say so."""
    declared = NewUpload(
        dialect="native",
        filename="a.png",
        content_type="image/png",
        size=len(WHOLE),
        method=UploadMethod.MULTIPART,
        part_size=PART,
    )
    upload = uploads.begin_upload(account_id, declared, LARGE)
    for number, part_url in uploads.parts.sign(account_id, upload.id, [1, 2]).urls.items():
        exchange("PUT", part_url, WHOLE[(number - 1) * PART : number * PART]).must(200)
    command = [sys.executable, "-m", "tests.services.part_completer", url, account_id, upload.id]
    place = json.dumps(asdict(bucket))
    ended = subprocess.run(command, cwd=ROOT, input=place, text=True, check=False, timeout=120).returncode
    assert ended == -signal.SIGKILL
    assert uploads.get(account_id, upload.id).state is UploadState.PENDING
    return upload
