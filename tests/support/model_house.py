"""Model uploads over a real database, the real embedded store and the real examiner and rewriter."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.db.queue import SqlJobQueue
from penstock.adapters.fetch import GuardedFetcher, Pace
from penstock.adapters.weights.optimizer import Optimizer
from penstock.domain.egress import parse_rules
from penstock.domain.ids import JobId, ModelUploadId
from penstock.domain.model_uploads import ModelUpload, Phase
from penstock.domain.weights import ModelCheck
from penstock.services.accounts import Accounts
from penstock.services.callbacks import SILENT
from penstock.services.identity import new_id
from penstock.services.model_ends import MODEL_JOB
from penstock.telemetry import Log
from penstock.workflows.engine import Worker
from penstock.workflows.model_phases import ModelOptions, ModelTools
from penstock.workflows.model_upload import ModelUploadFlow
from tests.support.repeatable import SeededEntropy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.adapters.fetch.lines import Resolve
    from penstock.domain.ids import AccountId
    from penstock.domain.models import ModelFile, RegisteredModel
    from penstock.ports.clock import Clock
    from penstock.ports.objects import ObjectStore
    from penstock.ports.weights import Examiner, Rewriter

PART_BYTES = 5 * 2**20
AIR = "acme:1@1"
CHECKPOINT: Mapping[str, object] = {
    "category": "checkpoint",
    "type": "base",
    "architecture": "sdxl",
    "conditioning": None,
    "name": "A model",
    "version_label": "1.0",
    "unique_identifier": "one",
}
HASTY = Pace(connect=5, head=5, stall=1, window=1, least_rate=1000)


@dataclass(slots=True, kw_only=True)
class ModelHouse:
    """Everything that model uploads need; time passes when a test says so."""

    database: SqlDatabase
    objects: ObjectStore
    queue: SqlJobQueue
    clock: Clock
    entropy: SeededEntropy
    flow: ModelUploadFlow
    worker: Worker
    interrupt: threading.Event
    tools: ModelTools
    counted: int = field(default=0)

    def open_account(self, name: str = "acme") -> AccountId:
        return Accounts(self.database, self.clock, self.entropy).create_account(name, Decimal(0)).id

    def begin(self, account_id: AccountId, url: str | None, *, air: str = AIR, **changes: Any) -> ModelUpload:  # noqa: ANN401 - fields of `ModelUpload` and `ModelCard`
        """An accepted upload whose job waits."""
        self.counted += 1
        given = {name: changes.pop(name) for name in list(changes) if name in CHECKPOINT or name == "tags"}
        upload = ModelUpload(
            id=ModelUploadId(new_id(self.entropy)),
            account_id=account_id,
            dialect="native",
            client_ref=None,
            air=air,
            given={**CHECKPOINT, **given},
            fingerprint="",
            source_url=url,
            asset_id=None,
            phase=Phase.VALIDATED,
            created_at=self.clock.now() + timedelta(microseconds=self.counted),
        )
        upload = replace(upload, **changes)
        with self.database.write() as tx:
            assert tx.model_uploads.add(upload)
        self.enqueue(upload)
        return upload

    def enqueue(self, upload: ModelUpload) -> None:
        """The upload's job."""
        with self.database.write() as tx:
            tx.jobs.enqueue(
                MODEL_JOB,
                {"model_upload_id": upload.id},
                job_id=JobId(new_id(self.entropy)),
                now=self.clock.now(),
                dedupe_key=upload.id,
                account_id=upload.account_id,
            )

    def now(self, upload: ModelUpload) -> ModelUpload:
        with self.database.read() as tx:
            return tx.model_uploads.get(upload.account_id, upload.id)

    def model(self, upload: ModelUpload) -> RegisteredModel | None:
        """What the AIR stands for."""
        with self.database.read() as tx:
            return tx.models.own(upload.account_id, upload.air)

    def file(self, upload: ModelUpload) -> ModelFile:
        """What the AIR's file is."""
        model = self.model(upload)
        assert model is not None
        with self.database.read() as tx:
            return tx.model_files.get(upload.account_id, model.file_id)

    def told(self, upload: ModelUpload) -> list[tuple[str, dict[str, Any]]]:
        """What was told of it, in order."""
        with self.database.read() as tx:
            events = tx.events.after(upload.account_id, upload.id, 0, limit=1000)
        return [(event.kind.value, dict(event.data)) for event in events]

    def kinds(self, upload: ModelUpload) -> list[str]:
        """The kinds of what was told, but for how far it is."""
        return [kind for kind, _ in self.told(upload) if kind != "model.progress"]

    def keys(self, upload: ModelUpload) -> list[str]:
        """The names of the objects under the upload's own file."""
        prefix = f"models/{upload.id}/"
        return [info.key.removeprefix(prefix) for info in self.objects.list(prefix)]

    def has_parts(self, upload: ModelUpload) -> bool:
        """Whether there are parts that no object was made of."""
        return any(self.objects.multiparts.all(f"models/{upload.id}/"))

    def content(self, key: str) -> bytes:
        return b"".join(self.objects.read(key))

    def has_jobs(self) -> bool:
        return self.queue.next_due(kinds=(MODEL_JOB,)) is not None


@contextmanager
def open_model_house(
    database_url: str,
    objects: ObjectStore,
    examiner: Examiner,
    *,
    clock: Clock,
    seed: int = 7,
    check: ModelCheck = ModelCheck.ENFORCE,
    egress: str = "127.0.0.0/8",
    resolve: Resolve | None = None,
    rewriter: Rewriter | None = None,
) -> Iterator[ModelHouse]:
    """A house on that (migrated) database."""
    database, entropy, log = SqlDatabase(database_url, connections=8), SeededEntropy(seed), Log("test", None)
    queue, interrupt = SqlJobQueue(database), threading.Event()
    tools = ModelTools(
        database=database,
        objects=objects,
        fetcher=GuardedFetcher(parse_rules(egress), clock=clock, log=log, pace=HASTY, resolve=resolve),
        examiner=examiner,
        rewriter=rewriter or Optimizer(),
        callbacks=SILENT,
        options=ModelOptions(check=check, max_bytes=2**30, part_bytes=PART_BYTES),
        clock=clock,
        entropy=entropy,
    )
    flow = ModelUploadFlow(tools, log=log, interrupt=interrupt)
    worker = Worker(
        database,
        queue,
        {MODEL_JOB: flow},
        (),
        open_changes=database.changes,
        clock=clock,
        entropy=entropy,
        log=log,
        owner="test",
        concurrency=1,
        interrupt=interrupt,
    )
    try:
        yield ModelHouse(
            database=database,
            objects=objects,
            queue=queue,
            clock=clock,
            entropy=entropy,
            flow=flow,
            worker=worker,
            interrupt=interrupt,
            tools=tools,
        )
    finally:
        database.close()
