"""Model uploads over a real database, the real embedded store and the real examiner and rewriter."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.db.queue import SqlJobQueue
from penstock.adapters.fetch import GuardedFetcher, Pace
from penstock.adapters.weights.optimizer import Optimizer
from penstock.domain.egress import parse_rules
from penstock.domain.models import ModelSource
from penstock.domain.weights import ModelCheck
from penstock.services.accounts import Accounts
from penstock.services.model_uploads import MODEL_JOB, ModelUploads, NewModelUpload
from penstock.telemetry import Log
from penstock.workflows.engine import Worker
from penstock.workflows.model_phases import ModelOptions, ModelTools
from penstock.workflows.model_upload import ModelUploadFlow
from tests.support.repeatable import SeededEntropy, SteppedClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.adapters.fetch.lines import Resolve
    from penstock.domain.ids import AccountId, AssetId
    from penstock.domain.model_uploads import ModelUpload
    from penstock.domain.models import ModelFile, RegisteredModel
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
    clock: SteppedClock
    entropy: SeededEntropy
    flow: ModelUploadFlow
    worker: Worker
    interrupt: threading.Event
    tools: ModelTools

    def open_account(self, name: str = "acme") -> AccountId:
        """An account that owns the source of its name."""
        account_id = Accounts(self.database, self.clock, self.entropy).create_account(name, Decimal(0)).id
        with self.database.write() as tx:
            tx.models.add_source(ModelSource(name=name, account_id=account_id, created_at=self.clock.now()))
        return account_id

    def begin(
        self,
        account_id: AccountId,
        url: str | None,
        *,
        air: str = AIR,
        asset_id: AssetId | None = None,
        **given: object,
    ) -> ModelUpload:
        """An accepted upload, younger than all before, whose job waits."""
        self.clock.advance(timedelta(microseconds=1))
        wanted = NewModelUpload(air=air, given={**CHECKPOINT, **given}, source_url=url, asset_id=asset_id)
        return self.tools.uploads.begin(account_id, wanted, dialect="native")

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
    clock: SteppedClock,
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
        uploads=ModelUploads(database, parse_rules(egress), clock=clock, entropy=entropy),
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
        by_turns=True,
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
