"""Services and flows over a real database and a store in memory, with time and chance under the test's control."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.db.queue import SqlJobQueue
from penstock.adapters.fetch import GuardedFetcher
from penstock.adapters.objects.memory import MemoryObjectStore
from penstock.adapters.objects.s3 import Bucket, S3Presigner
from penstock.dialects.base.signatures import standard_webhooks
from penstock.dialects.native.wire.common import reference_parser
from penstock.domain.catalog_parsing import parse_catalog
from penstock.domain.egress import parse_rules
from penstock.domain.library import AssetFilter
from penstock.domain.media_facts import MediaFacts
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadPolicy
from penstock.domain.webhooks import CallbackPolicy, RetryPlan
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.media import Inspection
from penstock.services.accounts import Accounts
from penstock.services.assets import Assets
from penstock.services.callbacks import DELIVERY_JOB, Callbacks
from penstock.services.folders import FOLDER_JOB, Folders
from penstock.services.imports import FETCH_JOB, Imports
from penstock.services.intake import INTAKE_JOB
from penstock.services.library import Library
from penstock.services.lifetimes import ClassLifetimes, Lifetimes
from penstock.services.model_sources import ModelSources
from penstock.services.model_uploads import ModelUploads
from penstock.services.models import Models as RegisteredModels
from penstock.services.orphans import Orphans
from penstock.services.purging import Purging
from penstock.services.quotas import Quotas
from penstock.services.references import References
from penstock.services.run_deadlines import RunDeadlines
from penstock.services.run_ends import RUN_JOB
from penstock.services.run_files import RUN_FETCH_JOB
from penstock.services.run_terms import RunTerms
from penstock.services.runs import PAYLOAD_JOB, NewRun, Runs
from penstock.services.sweep_plans import SweepPlans
from penstock.services.uploads import NewUpload, Uploads
from penstock.services.webhooks import Webhooks
from penstock.services.weights_addresses import WeightsAddresses
from penstock.sigv4 import Credentials
from penstock.telemetry import Log
from penstock.workflows.asset_fetch import AssetFetch
from penstock.workflows.asset_intake import AssetIntake, IntakeOptions
from penstock.workflows.delivery import DeliveryFlow, Shares
from penstock.workflows.engine import Worker
from penstock.workflows.excerpts import ExcerptLimits
from penstock.workflows.folder_removal import FolderRemoval
from penstock.workflows.payload_removal import PayloadRemoval
from penstock.workflows.places import Places
from penstock.workflows.run import RunFlow, RunLimits
from tests.support.repeatable import SeededEntropy, SteppedClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from penstock.domain.assets import Asset
    from penstock.domain.catalog import Catalog
    from penstock.domain.idempotency import IdempotentRequest
    from penstock.domain.ids import AccountId
    from penstock.domain.jobs import Job
    from penstock.domain.ledger import LedgerEntry
    from penstock.domain.runs import Run
    from penstock.domain.uploads import Upload
    from penstock.ports.media import MediaFile
    from penstock.ports.objects import Multipart, ObjectInfo, ObjectStore, StoredPart
    from penstock.ports.runners import JsonLike, RunContext
    from penstock.workflows.engine import Flow

T = TypeVar("T")
Behaviour = Callable[[Mapping[str, "JsonLike"], "RunContext"], "JsonLike"]

HOUR = timedelta(hours=1)
RUN_DEADLINE = timedelta(days=7)
EVERYTHING = AssetFilter()
TRASH = timedelta(days=7)
TOMBSTONES = timedelta(days=30)
BASE_URL = "http://api.test/v1"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
POLICY = UploadPolicy(
    max_bytes=10_000, min_bytes=0, url_ttl=HOUR, size_policy=SizePolicy.EXACT, type_policy=TypePolicy.RECORD
)
KINDS = (RUN_JOB, FETCH_JOB, RUN_FETCH_JOB, FOLDER_JOB)
CATALOG = {
    "model": [
        {
            "slug": "acme/model",
            "runner": "test",
            "runner_model": "model",
            "price": "0.25",
            "input": [
                {"name": "image", "type": "file", "accepts": ["image"], "synonyms": ["image_url"]},
                {"name": "second", "type": "file"},
                {"name": "text", "type": "string"},
            ],
        },
        {
            "slug": "acme/free",
            "runner": "test",
            "runner_model": "model",
            "input": [{"name": "image", "type": "file"}, {"name": "second", "type": "file"}],
        },
        {
            "slug": "acme/scarce",
            "runner": "test",
            "runner_model": "scarce",
            "price": "0.25",
            "timeout_seconds": 30,
            "max_running": 2,
            "max_running_per_account": 1,
            "max_daily_per_account": 5,
        },
        {"slug": "acme/orphan", "runner": "nobody", "runner_model": "model", "price": "1"},
    ],
    "binding": [
        {
            "architectures": ["sdxl", "pony"],
            "runner": "test",
            "runner_model": "painter",
            "price": "0.10",
            "max_daily_per_account": 3,
            "input": [
                {"name": "prompt", "type": "string", "synonyms": ["positivePrompt"]},
                {"name": "steps", "type": "integer", "max": 50, "default": 30, "card_default": "steps"},
                {"name": "cfg", "type": "number", "card_default": "cfg"},
                {"name": "scheduler", "type": "string", "card_default": "scheduler"},
                {"name": "strength", "type": "number", "card_default": "strength"},
                {"name": "loras", "type": "models", "synonyms": ["lora"], "categories": ["lora", "lycoris"]},
                {
                    "name": "controlnets",
                    "type": "models",
                    "synonyms": ["controlNet"],
                    "categories": ["controlnet"],
                    "files": ["guideImage"],
                },
                {"name": "vae", "type": "model", "categories": ["vae"]},
            ],
        }
    ],
}
PART_BYTES = 5 * 2**20
_LOOPBACK = parse_rules("127.0.0.0/8")
PLAN = RetryPlan(
    delays=(timedelta(minutes=1), HOUR),
    within=timedelta(seconds=20),
    jitter=0,
    final=frozenset({410}),
    patience=4,
)
TELLING = CallbackPolicy(
    plan=PLAN,
    event=lambda run, _moment: f"run.{run.state.value}",
    body=lambda notice: json.dumps({"run": notice.run.id, "at": notice.at.isoformat()}).encode(),
    headers=standard_webhooks,
    endpoints=True,
    signs_always=True,
)
"""How the core's runs tell, under the name of a dialect."""
_BUCKET = Bucket(endpoint="http://objects.test", name="penstock", region="us-east-1", credentials=Credentials("k", "s"))


class WatchedStore:
    """A store that lets the test act before a call (`before[verb]`) or after a put.

    It may tell no SHA-256 (`tells_sha256`), like most remote stores.

    `calls` counts by verb.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.before: dict[str, Callable[[], object]] = {}
        self.after_put: Callable[[], object] = lambda: None
        self.tells_sha256 = True
        self.calls: Counter[str] = Counter()

    def head(self, key: str) -> ObjectInfo:
        return self._told(self._after("head").head(key))

    def peek(self, key: str, *, length: int) -> tuple[ObjectInfo, bytes]:
        info, head = self._after("peek").peek(key, length=length)
        return self._told(info), head

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return self._after("read").read(key, start=start, end=end)

    def put(self, key: str, source: Path | bytes | BinaryIO, *, size: int, content_type: str) -> ObjectInfo:
        info = self._told(self._after("put").put(key, source, size=size, content_type=content_type))
        self.after_put()
        return info

    def copy(self, source: ObjectInfo, target: str, *, content_type: str) -> ObjectInfo:
        return self._told(self._after("copy").copy(source, target, content_type=content_type))

    def delete(self, keys: Iterable[str]) -> None:
        self._after("delete").delete(keys)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        return self._after("list").list(prefix, after=after)

    @property
    def multiparts(self) -> WatchedMultiparts:
        return WatchedMultiparts(self)

    def after(self, verb: str) -> ObjectStore:
        return self._after(verb)

    def told(self, info: ObjectInfo) -> ObjectInfo:
        return self._told(info)

    def _after(self, verb: str) -> ObjectStore:
        self.calls[verb] += 1
        self.before.get(verb, lambda: None)()
        return self._objects

    def _told(self, info: ObjectInfo) -> ObjectInfo:
        return info if self.tells_sha256 else replace(info, sha256=None)


class WatchedMultiparts:
    """The same of parts: `before["begin"]`, `before["complete"]` and so on."""

    def __init__(self, store: WatchedStore) -> None:
        self._store = store

    def begin(self, key: str, *, content_type: str) -> str:
        return self._store.after("begin").multiparts.begin(key, content_type=content_type)

    def put_part(self, key: str, upload_id: str, number: int, data: bytes | memoryview) -> StoredPart:
        return self._store.after("put_part").multiparts.put_part(key, upload_id, number, data)

    def parts(self, key: str, upload_id: str, *, after: int = 0) -> Iterator[StoredPart]:
        return self._store.after("parts").multiparts.parts(key, upload_id, after=after)

    def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> ObjectInfo:
        return self._store.told(self._store.after("complete").multiparts.complete(key, upload_id, parts))

    def abort(self, key: str, upload_id: str) -> None:
        self._store.after("abort").multiparts.abort(key, upload_id)

    def all(self, prefix: str) -> Iterator[Multipart]:
        return self._store.after("all").multiparts.all(prefix)


class Models:
    """The runner `test`: each model is a function of the test's."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}

    def run(self, model: str, inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        return self.behaviours[model](inputs, context)


class ScriptedInspector:
    """An inspector whose sight is the test's; `looks` tells what it was handed, `before` acts first."""

    def __init__(self) -> None:
        self.sight = Inspection(facts=MediaFacts(width=4, height=3), thumbnail=b"RIFF-a-thumbnail")
        self.looks: list[tuple[str, int, bool, bytes]] = []
        self.before: Callable[[], object] = lambda: None

    def inspect(self, file: MediaFile, *, want_thumbnail: bool, cancelled: Callable[[], bool]) -> Inspection:
        self.before()
        if cancelled():
            raise AttemptInterruptedError
        self.looks.append((file.content_type, file.size, file.complete, file.bytes.read()))
        return self.sight if want_thumbnail else replace(self.sight, thumbnail=None)


@dataclass(slots=True, kw_only=True)
class Core:
    """Everything below the dialects. `models.behaviours["model"]` is what the catalog's models do."""

    database: SqlDatabase
    objects: WatchedStore
    clock: SteppedClock
    entropy: SeededEntropy
    catalog: Catalog
    accounts: Accounts
    uploads: Uploads
    imports: Imports
    assets: Assets
    purging: Purging
    lifetimes: Lifetimes
    library: Library
    folders: Folders
    orphans: Orphans
    plans: SweepPlans
    references: References
    quotas: Quotas
    runs: Runs
    webhooks: Webhooks
    model_uploads: ModelUploads
    registry: RegisteredModels
    model_sources: ModelSources
    deadlines: RunDeadlines
    queue: SqlJobQueue
    models: Models
    run_flow: RunFlow
    intake: AssetIntake
    fetch: AssetFetch
    inspector: ScriptedInspector
    worker: Worker
    intake_worker: Worker
    delivery: DeliveryFlow
    delivery_worker: Worker
    interrupt: threading.Event

    def open_account(self, name: str = "acme", *, credits_usd: str = "100") -> AccountId:
        """A new account's id."""
        return self.accounts.create_account(name, Decimal(credits_usd)).id

    def begin(
        self,
        account_id: AccountId,
        *,
        policy: UploadPolicy = POLICY,
        idempotency: IdempotentRequest | None = None,
        **declared: Any,  # noqa: ANN401 - fields of `NewUpload`
    ) -> Upload:
        """A new upload of a PNG of unknown size, unless declared otherwise."""
        usual = {"dialect": "native", "filename": "photo.png", "content_type": "image/png", "size": None}
        return self.uploads.begin_upload(
            account_id, NewUpload(**{**usual, **declared}), policy, idempotency=idempotency
        )

    def put(self, upload: Upload, data: bytes = PNG) -> None:
        """What a client's PUT does."""
        self.objects.put(upload.staging_key, data, size=len(data), content_type=upload.declared_type)

    def upload(self, account_id: AccountId, data: bytes = PNG, **declared: Any) -> Asset:  # noqa: ANN401 - as `begin`
        """An asset of those bytes, through a whole upload."""
        upload = self.begin(account_id, **declared)
        self.put(upload, data)
        return self.uploads.complete_upload(account_id, upload.id)

    def submit(self, account_id: AccountId, model: str = "acme/model", **inputs: object) -> Run:
        """A queued run."""
        return self.runs.submit(account_id, NewRun(dialect="native", model=model, inputs=inputs))

    def balance(self, account_id: AccountId) -> Decimal:
        return self.accounts.account(account_id)[1]

    def ledger(self, account_id: AccountId) -> list[LedgerEntry]:
        """Every entry, oldest first."""
        return list(reversed(self.accounts.ledger_page(account_id, below=None, limit=100).items))

    def events(self, account_id: AccountId, subject: str) -> list[str]:
        """The kinds of a subject's events, in order."""
        with self.database.read() as tx:
            return [event.kind.value for event in tx.events.after(account_id, subject, 0, limit=10_000)]

    def has_jobs(self, *kinds: str) -> bool:
        """Whether any job of those kinds, or of any but intake, waits or runs."""
        return self.queue.next_due(kinds=kinds or KINDS) is not None

    def claim(self, *kinds: str) -> Job:
        """The one job of those kinds, or of any but intake, that is due, leased as a worker does."""
        (job,) = self.queue.claim(
            "test", kinds=kinds or KINDS, limit=1, lease=timedelta(seconds=60), now=self.clock.now()
        )
        return job

    def keys(self, prefix: str = "") -> list[str]:
        """The objects in the store."""
        return [info.key for info in self.objects.list(prefix)]


@contextmanager
def open_core(
    database_url: str,
    scratch: Path,
    *,
    run_timeout: timedelta = timedelta(seconds=60),
    runs_per_account: int | None = None,
    egress: str = "127.0.0.0/8",
) -> Iterator[Core]:
    """A core on that (migrated) database."""
    clock, entropy, log = SteppedClock(), SeededEntropy(), Log("test", None)
    database = SqlDatabase(database_url, connections=25)
    objects, presigner = WatchedStore(MemoryObjectStore(clock=clock)), S3Presigner(_BUCKET)
    uploads = Uploads(database, objects, presigner, clock=clock, entropy=entropy, log=log)
    assets = Assets(database, presigner, uploads, clock=clock, trash=TRASH)
    purging = Purging(database, objects, clock=clock, tombstones=TOMBSTONES)
    orphans = Orphans(database, objects, clock=clock, entropy=entropy, log=log)
    references = References(
        database,
        objects,
        assets,
        uploads,
        parsers=[reference_parser(BASE_URL)],
        clock=clock,
        entropy=entropy,
        egress=_LOOPBACK,
        max_inline_bytes=1000,
        inline_lifetime=HOUR,
    )
    catalog = parse_catalog(CATALOG)
    terms = RunTerms(catalog, timeout=run_timeout, deadline=RUN_DEADLINE, per_account=runs_per_account)
    queue, models = SqlJobQueue(database), Models()
    callbacks = Callbacks({"native": TELLING}, parse_rules(egress))
    scratch.mkdir(parents=True, exist_ok=True)
    interrupt = threading.Event()
    run_flow = RunFlow(
        database,
        objects,
        assets,
        {"test": models},
        limits=RunLimits(terms=terms, scratch=scratch),
        clock=clock,
        entropy=entropy,
        log=log,
        interrupt=interrupt,
        weights=WeightsAddresses(presigner, clock=clock),
        callbacks=callbacks,
    )
    fetch = AssetFetch(
        database,
        objects,
        uploads,
        GuardedFetcher(_LOOPBACK, clock=clock, log=log),
        clock=clock,
        entropy=entropy,
        log=log,
        interrupt=interrupt,
        part_bytes=PART_BYTES,
    )
    delivery = DeliveryFlow(
        database,
        assets,
        callbacks,
        GuardedFetcher(_LOOPBACK, clock=clock, log=log),
        Places(),
        shares=Shares(host=2, account=3),
        clock=clock,
        entropy=entropy,
        log=log,
        interrupt=interrupt,
    )
    inspector = ScriptedInspector()
    intake = AssetIntake(
        database,
        objects,
        inspector,
        options=IntakeOptions(scratch=scratch, excerpt=ExcerptLimits(whole=5000, head=1000, tail=500)),
        clock=clock,
        log=log,
        interrupt=interrupt,
    )

    folders = FolderRemoval(database, clock=clock, interrupt=interrupt)
    payloads = PayloadRemoval(database, clock=clock)

    def worker_of(flows: Mapping[str, Flow], *, concurrency: int = 2) -> Worker:
        return Worker(
            database,
            queue,
            flows,
            (),
            open_changes=database.changes,
            clock=clock,
            entropy=entropy,
            log=log,
            owner="test",
            concurrency=concurrency,
            interrupt=interrupt,
        )

    try:
        yield Core(
            database=database,
            objects=objects,
            clock=clock,
            entropy=entropy,
            catalog=catalog,
            accounts=Accounts(database, clock, entropy),
            uploads=uploads,
            imports=Imports(uploads, _LOOPBACK, entropy=entropy),
            assets=assets,
            purging=purging,
            orphans=orphans,
            plans=SweepPlans(database, objects, orphans, clock=clock),
            lifetimes=Lifetimes(database, clock=clock, classes=ClassLifetimes()),
            library=Library(database, assets, clock=clock),
            folders=Folders(database, clock=clock, entropy=entropy),
            references=references,
            quotas=Quotas(database),
            runs=Runs(database, catalog, references, terms=terms, clock=clock, entropy=entropy, callbacks=callbacks),
            deadlines=RunDeadlines(database, callbacks, clock=clock),
            webhooks=Webhooks(database, callbacks, clock=clock, entropy=entropy),
            model_sources=ModelSources(database, clock=clock),
            registry=RegisteredModels(database, objects, presigner, clock=clock),
            model_uploads=ModelUploads(
                database, parse_rules(egress), clock=clock, entropy=entropy, callbacks=callbacks
            ),
            queue=queue,
            models=models,
            run_flow=run_flow,
            intake=intake,
            fetch=fetch,
            inspector=inspector,
            worker=worker_of(
                {
                    RUN_JOB: run_flow,
                    FETCH_JOB: fetch,
                    RUN_FETCH_JOB: fetch,
                    FOLDER_JOB: folders,
                    PAYLOAD_JOB: payloads,
                }
            ),
            intake_worker=worker_of({INTAKE_JOB: intake}),
            delivery=delivery,
            delivery_worker=worker_of({DELIVERY_JOB: delivery}, concurrency=4),
            interrupt=interrupt,
        )
    finally:
        database.close()


def at_once(count: int, act: Callable[[], T]) -> list[T | Exception]:
    """What `count` threads get that act at the same moment: a value, or the exception."""
    barrier = threading.Barrier(count)

    def one(_: int) -> T | Exception:
        barrier.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - handed to the test, which looks at it
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
