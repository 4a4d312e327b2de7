"""Completes an upload in parts and is killed with SIGKILL when its object is made and nothing of it is written.

Arguments: database URL, the account's and the upload's id. The bucket comes as JSON on standard input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from penstock.adapters.db.database import open_database
from penstock.adapters.objects.s3 import Bucket, Capabilities, S3ObjectStore, S3Presigner
from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.domain.ids import AccountId, UploadId
from penstock.services.uploads import Uploads
from penstock.sigv4 import Credentials
from penstock.telemetry import Log

if TYPE_CHECKING:
    from penstock.adapters.db.database import SqlDatabase
    from penstock.ports.clock import Clock
    from penstock.ports.objects import ObjectInfo, ObjectStore


class DeadlyStore(S3ObjectStore):
    """The first look at an object that was made is the last thing that the process does."""

    def peek(self, key: str, *, length: int) -> tuple[ObjectInfo, bytes]:
        super().peek(key, length=length)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def uploads_over(database: SqlDatabase, objects: ObjectStore, bucket: Bucket, clock: Clock) -> Uploads:
    log = Log("test", None)
    return Uploads(database, objects, S3Presigner(bucket), clock=clock, entropy=SystemEntropy(), log=log)


def main(url: str, account_id: str, upload_id: str) -> None:
    told = json.load(sys.stdin)
    bucket = Bucket(**{**told, "credentials": Credentials(**told["credentials"])})
    objects = DeadlyStore(bucket, clock=SystemClock(), capabilities=Capabilities(trusts_checksums=True))
    uploads = uploads_over(open_database(url), objects, bucket, SystemClock())
    uploads.complete_upload(AccountId(account_id), UploadId(upload_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
