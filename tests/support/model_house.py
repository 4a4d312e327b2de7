"""Model uploads over a real database, the real embedded store and the real examiner and rewriter."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.db.queue import SqlJobQueue
from penstock.adapters.fetch import GuardedFetcher
from penstock.adapters.objects.s3 import Capabilities, S3ObjectStore
from penstock.adapters.weights.examiner import ChildExaminer, ExaminerOptions
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
from tests.support.stores import WallClock, embedded_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from penstock.adapters.fetch.lines import Pace, Resolve
    from penstock.domain.ids import AccountId, AssetId
    from penstock.domain.model_uploads import ModelUpload
    from penstock.domain.models import ModelFile, RegisteredModel
    from penstock.ports.objects import Multiparts, ObjectStore
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


@dataclass(slots=True, kw_only=True)
class ModelHouse:
    """Everything that model uploads need; time passes when a test says so."""

    database: SqlDatabase
    objects: ObjectStore
    queue: SqlJobQueue
    clock: SteppedClock
    entropy: SeededEntropy
    interrupt: threading.Event
    tools: ModelTools
    log: Log

    @property
    def flow(self) -> ModelUploadFlow:
        """Of the tools and the log as they are now."""
        return ModelUploadFlow(self.tools, log=self.log, interrupt=self.interrupt)

    @property
    def worker(self) -> Worker:
        """A worker on that flow."""
        return Worker(
            self.database,
            self.queue,
            {MODEL_JOB: self.flow},
            (),
            open_changes=self.database.changes,
            clock=self.clock,
            entropy=self.entropy,
            log=self.log,
            owner="test",
            concurrency=1,
            interrupt=self.interrupt,
            by_turns=True,
        )

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
        air: str = AIR,
        *,
        asset_id: AssetId | None = None,
        **given: Any,  # noqa: ANN401 - what is said of the model
    ) -> ModelUpload:
        """An accepted upload, younger than all before, whose job waits."""
        self.clock.advance(timedelta(microseconds=1))
        wanted = NewModelUpload(air=air, given={**CHECKPOINT, **given}, source_url=url, asset_id=asset_id)
        return self.tools.uploads.begin(account_id, wanted, dialect="native")

    def work(self, *, rounds: int = 40) -> None:
        """Everything that waits, each rest cut short."""
        for _ in range(rounds):
            self.worker.drain()
            due = self.queue.next_due(kinds=(MODEL_JOB,))
            if due is None:
                return
            self.clock.advance(max(timedelta(0), due - self.clock.now()))

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


class Interrupting:
    """A store that says `before …` and `after …` each call of it, and of its uploads in parts, to `step`."""

    def __init__(self, store: ObjectStore, step: Callable[[str], None]) -> None:
        self.step = step
        self._store = store
        self.multiparts: Multiparts = _Told(store.multiparts, self)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands for every method
        return _Told(self._store, self).__getattr__(name)


class _Told:
    def __init__(self, inner: object, whole: Interrupting) -> None:
        self._inner = inner
        self._whole = whole

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands for every method
        method = getattr(self._inner, name)

        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - passes everything on
            self._whole.step(f"before {name}")
            result = method(*arguments, **named)
            self._whole.step(f"after {name}")
            return result

        return call


def made_weights(megabytes: int, *, seed: int = 1) -> bytes:
    """A well-formed file of so many MiB of I32 tensors, which is no model that anybody knows."""
    tensor = 2**20
    header: dict[str, object] = {
        f"t{number:03}": {
            "dtype": "I32",
            "shape": [tensor // 4],
            "data_offsets": [number * tensor, (number + 1) * tensor],
        }
        for number in range(megabytes)
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + random.Random(seed).randbytes(megabytes * tensor)  # noqa: S311 - bytes that can be made again


@contextmanager
def open_model_house(
    database_url: str,
    objects: ObjectStore,
    examiner: Examiner,
    *,
    seed: int = 7,
    check: ModelCheck = ModelCheck.ENFORCE,
    egress: str = "127.0.0.0/8",
    resolve: Resolve | None = None,
    rewriter: Rewriter | None = None,
    pace: Pace | None = None,
) -> Iterator[ModelHouse]:
    """A house on that (migrated) database."""
    clock, entropy, log = SteppedClock(), SeededEntropy(seed), Log("test", None)
    database = SqlDatabase(database_url, connections=8)
    queue, interrupt = SqlJobQueue(database), threading.Event()
    tools = ModelTools(
        database=database,
        objects=objects,
        fetcher=GuardedFetcher(parse_rules(egress), clock=clock, log=log, pace=pace, resolve=resolve),
        examiner=examiner,
        rewriter=rewriter or Optimizer(),
        uploads=ModelUploads(database, parse_rules(egress), clock=clock, entropy=entropy),
        options=ModelOptions(check=check, part_bytes=PART_BYTES),
        clock=clock,
        entropy=entropy,
    )
    try:
        yield ModelHouse(
            database=database,
            objects=objects,
            queue=queue,
            clock=clock,
            entropy=entropy,
            interrupt=interrupt,
            tools=tools,
            log=log,
        )
    finally:
        database.close()


@pytest.fixture(scope="session")
def examiner() -> Iterator[ChildExaminer]:
    """The real one, with one child."""
    opened = ChildExaminer(Log("test", None), options=ExaminerOptions(children=1))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3ObjectStore]:
    """The real embedded store, for everybody: whoever uses it has ids that nobody else has."""
    with embedded_store(tmp_path_factory.mktemp("own-store")) as bucket:
        store = S3ObjectStore(bucket, clock=WallClock(), capabilities=Capabilities(checks_crc64=True))
        yield store
        store.close()


@pytest.fixture
def model_house(
    sqlite_url: str, own_store: S3ObjectStore, examiner: ChildExaminer, request: pytest.FixtureRequest
) -> Iterator[ModelHouse]:
    with open_model_house(sqlite_url, own_store, examiner, seed=seed_of(request)) as opened:
        yield opened


@pytest.fixture
def lenient_house(
    sqlite_url: str, own_store: S3ObjectStore, examiner: ChildExaminer, request: pytest.FixtureRequest
) -> Iterator[ModelHouse]:
    """One that takes every well-formed file."""
    with open_model_house(sqlite_url, own_store, examiner, seed=seed_of(request), check=ModelCheck.OFF) as opened:
        yield opened


def seed_of(request: pytest.FixtureRequest) -> int:
    """A test's own."""
    return int.from_bytes(hashlib.sha256(request.node.nodeid.encode()).digest()[:4], "big")
