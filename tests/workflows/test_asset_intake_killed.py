"""Intake in processes that are killed with SIGKILL, over real databases, the real store and real decoders."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import sys
import wave
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from penstock.adapters.db.database import open_database
from penstock.adapters.db.queue import SqlJobQueue
from penstock.adapters.objects.s3 import S3ObjectStore, S3Presigner
from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.domain.assets import IntakeState, event_subject
from penstock.domain.ids import UploadId
from penstock.domain.jobs import LEASE
from penstock.domain.uploads import UploadState
from penstock.services.accounts import Accounts
from penstock.services.intake import INTAKE_JOB
from penstock.services.uploads import NewUpload, Uploads
from tests.support.core import POLICY
from tests.support.repeatable import SteppedClock
from tests.support.stores import embedded_store
from tests.workflows.intake_victim import LOG, inspector, intake_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.adapters.db.database import SqlDatabase
    from penstock.adapters.objects.s3 import Bucket
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from penstock.ports.media import MediaInspector

ROOT = Path(__file__).parents[2]
UNKILLED = 1_000_000
BROKEN = "the file is damaged or incomplete"


def jpeg() -> bytes:
    target = io.BytesIO()
    Image.linear_gradient("L").resize((160, 120)).save(target, "JPEG")
    return target.getvalue()


def wav() -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(1)
        made.setframerate(8000)
        made.writeframes(bytes(range(256)) * 30)
    return target.getvalue()


FILES = {
    "a picture": ("a.jpg", "image/jpeg", jpeg()),
    "a sound": ("a.wav", "audio/wav", wav()),
    "a broken picture": ("a.jpg", "image/jpeg", jpeg()[: len(jpeg()) // 2]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database and a bucket that tells no hashes, with nobody else at work on them."""

    url: str
    bucket: Bucket
    database: SqlDatabase
    objects: S3ObjectStore
    looking: MediaInspector
    scratch: Path

    def admit(self, number: int, name: str) -> tuple[AccountId, Asset]:
        """An asset that waits for its intake, of an account of its own."""
        clock, entropy = SystemClock(), SystemEntropy()
        uploads = Uploads(self.database, self.objects, S3Presigner(self.bucket), clock=clock, entropy=entropy, log=LOG)
        account_id = Accounts(self.database, clock, entropy).create_account(f"a{number}", Decimal(0)).id
        filename, content_type, data = FILES[name]
        declared = NewUpload(dialect="native", filename=filename, content_type=content_type, size=len(data))
        upload = uploads.begin_upload(account_id, declared, POLICY)
        self.objects.put(upload.staging_key, data, size=len(data), content_type=content_type)
        return account_id, uploads.complete_upload(account_id, upload.id)

    def killed_at(self, step: int) -> int:
        """Run the intake in a process that dies at that step; its exit status."""
        command = [sys.executable, "-m", "tests.workflows.intake_victim", self.url, str(self.scratch), str(step)]
        place = json.dumps(asdict(self.bucket))
        return subprocess.run(command, cwd=ROOT, input=place, text=True, check=False, timeout=120).returncode

    def recover(self) -> None:
        """What a worker does once the lease of the dead one is over."""
        clock = SteppedClock(SystemClock().now() + LEASE)
        intake_worker(self.database, self.objects, self.looking, scratch=self.scratch, clock=clock).drain()

    def stored(self) -> set[str]:
        return {info.key for info in self.objects.list("")}

    def outcome(self, account_id: AccountId, asset: Asset) -> dict[str, Any]:
        """Everything that intake writes, without names and times."""
        with self.database.read() as tx:
            done = tx.assets.held(account_id, asset.id)
            told = [
                (event.number, event.kind.value, {**event.data, "asset_id": None})
                for subject in (asset.id, event_subject(asset.id))
                for event in tx.events.after(account_id, subject, 0, limit=100)
            ]
            return {
                "asset": (done.sha256, done.facts, done.intake, done.intake_problem),
                "thumbnail": b"".join(self.objects.read(done.thumbnail_key)) if done.thumbnail_key else None,
                "upload": tx.uploads.get(account_id, UploadId(asset.id)).state,
                "events": told,
                "usage": tx.quotas.get(account_id).usage,
            }


@contextmanager
def opened(url: str, directory: Path) -> Iterator[Place]:
    scratch = directory / "scratch"
    scratch.mkdir()
    looking, database = inspector(), open_database(url)
    with embedded_store(directory / "store") as bucket:
        objects = S3ObjectStore(bucket, clock=SystemClock())
        try:
            yield Place(url=url, bucket=bucket, database=database, objects=objects, looking=looking, scratch=scratch)
        finally:
            looking.close()
            objects.close()
            database.close()


def killed_again_and_again(place: Place, name: str, stride: int) -> None:
    """Every prefix of the steps leaves what the next worker brings to the one end."""
    account_id, asset = place.admit(0, name)
    assert place.killed_at(UNKILLED) == 0
    expected = place.outcome(account_id, asset)
    require_sound(expected, name)
    step, status = 1 - stride, -signal.SIGKILL
    while status == -signal.SIGKILL:
        step += stride
        others = place.stored()
        account_id, asset = place.admit(step, name)

        status = place.killed_at(step)
        place.recover()

        assert place.outcome(account_id, asset) == expected, f"killed at step {step}"
        thumbnails = {f"thumbs/{asset.id}"} if expected["thumbnail"] else set()
        assert {key for key in place.stored() - others if key.startswith("thumbs/")} == thumbnails
        assert asset.object_key in place.stored()
        assert SqlJobQueue(place.database).next_due(kinds=[INTAKE_JOB]) is None
        assert list(place.scratch.iterdir()) == []
    assert status == 0
    assert step > 20


def require_sound(outcome: dict[str, Any], name: str) -> None:
    """The end that all others are compared with is the right one."""
    sha256 = hashlib.sha256(FILES[name][2]).hexdigest()
    broken = name == "a broken picture"
    measured, facts, intake, problem = outcome["asset"]
    assert (measured, intake, problem) == (sha256, IntakeState.DONE, BROKEN if broken else None)
    assert facts is not None
    assert (outcome["thumbnail"] is None) == broken
    assert outcome["upload"] is UploadState.READY


@pytest.mark.parametrize("name", FILES)
def test_intake_that_was_killed_ends_as_if_it_had_not_been(sqlite_url: str, tmp_path: Path, name: str) -> None:
    with opened(sqlite_url, tmp_path) as place:
        killed_again_and_again(place, name, stride=7)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_intake_that_was_killed_at_any_step_ends_as_if_it_had_not_been(
    database_url: str, tmp_path: Path, name: str
) -> None:
    with opened(database_url, tmp_path) as place:
        killed_again_and_again(place, name, stride=1)
