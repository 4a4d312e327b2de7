"""Runs the due intake and is killed with SIGKILL before its numbered step.

A step is a statement, a commit, or either side of a call of the store or the inspector.
Arguments: database URL, a directory for copies, the step. The bucket comes as JSON on standard input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, event

from penstock.adapters.db.database import open_database
from penstock.adapters.db.queue import SqlJobQueue
from penstock.adapters.media import ChildInspector
from penstock.adapters.media.inspector import InspectorOptions
from penstock.adapters.objects.s3 import Bucket, S3ObjectStore
from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.services.intake import INTAKE_JOB
from penstock.sigv4 import Credentials
from penstock.telemetry import Log
from penstock.workflows.asset_intake import AssetIntake, IntakeOptions
from penstock.workflows.engine import Worker
from penstock.workflows.excerpts import ExcerptLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from penstock.adapters.db.database import SqlDatabase
    from penstock.ports.clock import Clock
    from penstock.ports.media import Inspection, MediaFile, MediaInspector
    from penstock.ports.objects import ObjectInfo, ObjectStore

LOG = Log("test", None)


def inspector() -> ChildInspector:
    """Real decoders, with much patience."""
    return ChildInspector(LOG, options=InspectorOptions(children=1, seconds=60))


def intake_worker(
    database: SqlDatabase, objects: ObjectStore, looking: MediaInspector, *, scratch: Path, clock: Clock
) -> Worker:
    """A worker that knows intake alone."""
    interrupt = threading.Event()
    flow = AssetIntake(
        database,
        objects,
        looking,
        options=IntakeOptions(scratch=scratch, excerpt=ExcerptLimits()),
        clock=clock,
        log=LOG,
        interrupt=interrupt,
    )
    return Worker(
        database,
        SqlJobQueue(database),
        {INTAKE_JOB: flow},
        (),
        open_changes=database.changes,
        clock=clock,
        entropy=SystemEntropy(),
        log=LOG,
        owner="test",
        concurrency=1,
        interrupt=interrupt,
    )


class Steps:
    """Counts, and kills the process at the last."""

    def __init__(self, last: int) -> None:
        self._left = last

    def step(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyStore(S3ObjectStore):
    """Each call is a step before and after it, each chunk that is read as well."""

    step: Callable[[], None]

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.step()
        for chunk in super().read(key, start=start, end=end):
            self.step()
            yield chunk

    def put(self, key: str, source: Path | bytes | BinaryIO, *, size: int, content_type: str) -> ObjectInfo:
        self.step()
        info = super().put(key, source, size=size, content_type=content_type)
        self.step()
        return info

    def delete(self, keys: Iterable[str]) -> None:
        self.step()
        super().delete(keys)
        self.step()


class DeadlyInspector:
    """The same of looking."""

    def __init__(self, looking: MediaInspector, step: Callable[[], None]) -> None:
        self._looking = looking
        self._step = step

    def inspect(self, file: MediaFile, *, want_thumbnail: bool, cancelled: Callable[[], bool]) -> Inspection:
        self._step()
        seen = self._looking.inspect(file, want_thumbnail=want_thumbnail, cancelled=cancelled)
        self._step()
        return seen


def main(url: str, scratch: str, last: str) -> None:
    told = json.load(sys.stdin)
    clock, steps = SystemClock(), Steps(int(last))
    event.listen(Engine, "before_cursor_execute", steps.step)
    event.listen(Engine, "commit", steps.step)
    objects = DeadlyStore(Bucket(**{**told, "credentials": Credentials(**told["credentials"])}), clock=clock)
    objects.step = steps.step
    looking = inspector()
    try:
        deadly = DeadlyInspector(looking, steps.step)
        intake_worker(open_database(url), objects, deadly, scratch=Path(scratch), clock=clock).drain()
    finally:
        looking.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
