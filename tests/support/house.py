"""The whole server in this process: real database, object store and HTTP, a clock that stands until the test moves it,
and models that are functions of the test. Runs happen when the test says `work`.
"""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import uvicorn

from penstock.adapters.db.database import SqlDatabase
from penstock.adapters.db.queue import SqlJobQueue
from penstock.adapters.fetch import GuardedFetcher
from penstock.adapters.listener import guarded_protocol, guarded_socket
from penstock.adapters.media import ChildInspector
from penstock.adapters.objects.s3 import Bucket, Capabilities, S3ObjectStore, S3Presigner
from penstock.adapters.runners.builtin import BuiltinRunner
from penstock.adapters.system import SystemEntropy
from penstock.adapters.weights.examiner import ChildExaminer
from penstock.adapters.weights.optimizer import Optimizer
from penstock.dialects.base import Services
from penstock.dialects.base.bodies import LargeBodies
from penstock.dialects.base.mounts import Mounts
from penstock.dialects.base.streams import Streams
from penstock.dialects.registry import DIALECTS
from penstock.domain.catalog_parsing import parse_catalog
from penstock.domain.egress import parse_rules
from penstock.domain.ids import AssetId
from penstock.domain.rates import RateLimits
from penstock.services.accounts import Accounts
from penstock.services.assets import Assets
from penstock.services.callbacks import DELIVERY_JOB, Callbacks
from penstock.services.contents import Contents
from penstock.services.examinations import Examinations
from penstock.services.feed import Feed
from penstock.services.folders import Folders
from penstock.services.imports import FETCH_JOB, Imports
from penstock.services.intake import INTAKE_JOB
from penstock.services.library import Library
from penstock.services.lifetimes import ClassLifetimes, Lifetimes
from penstock.services.model_sources import ModelSources
from penstock.services.model_uploads import MODEL_JOB, ModelUploads
from penstock.services.models import Models as Registry
from penstock.services.orphans import Orphans
from penstock.services.purging import Purging
from penstock.services.quotas import Quotas
from penstock.services.rates import Rates
from penstock.services.references import References
from penstock.services.retention import Retention
from penstock.services.run_deadlines import RunDeadlines
from penstock.services.run_ends import RUN_JOB
from penstock.services.run_files import RUN_FETCH_JOB
from penstock.services.run_terms import RunTerms
from penstock.services.runs import PAYLOAD_JOB, Runs
from penstock.services.storage_billing import StorageBilling
from penstock.services.sweep_plans import SweepPlans
from penstock.services.uploads import Uploads
from penstock.services.webhooks import Webhooks
from penstock.services.weights_addresses import WeightsAddresses
from penstock.sigv4 import Credentials
from penstock.store.config import StoreConfig
from penstock.store.server import serve
from penstock.telemetry import Log
from penstock.workflows.asset_fetch import AssetFetch
from penstock.workflows.asset_intake import AssetIntake, IntakeOptions
from penstock.workflows.delivery import DeliveryFlow, Shares
from penstock.workflows.engine import Worker
from penstock.workflows.excerpts import ExcerptLimits
from penstock.workflows.model_phases import ModelOptions, ModelTools
from penstock.workflows.model_upload import ModelUploadFlow
from penstock.workflows.payload_removal import PayloadRemoval
from penstock.workflows.places import Places
from penstock.workflows.run import RunFlow, RunLimits
from penstock.workflows.sweeps import all_sweeps, sweep_schedules
from tests.support.prompt_server import PromptServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as ASGIScope

    from penstock.dialects.base import Dialect
    from penstock.domain.runs import Run
    from penstock.ports.runners import JsonLike, RunContext, Runner
    from penstock.workflows.engine import Schedule

    Behaviour = Callable[[Mapping[str, JsonLike], RunContext], JsonLike]

_BUCKET = "penstock"
_LOOPBACK = parse_rules("127.0.0.0/8")
_CREDENTIALS = Credentials("HOUSEKEY", "a secret for tests")
_SILENT = Log("test", None)
_TIMEOUT = timedelta(seconds=60)
_MOST_STREAMS = 3
_DAYS = timedelta(days=7)
_TICK = timedelta(microseconds=1)
_RATES = RateLimits(per_key=60_000, per_address=120_000, failures=10_000)
_NOON = datetime(2026, 11, 21, 12, 0, 0, 900_000, tzinfo=UTC)


class StandingClock:
    """Stands until it is moved, but for a microsecond with each look, so that no two things happen at the same time.

    It begins near the end of a second, so that a time cut to whole seconds shows.
    """

    def __init__(self) -> None:
        self._now = _NOON
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self.advance(_TICK)

    def advance(self, by: timedelta) -> datetime:
        with self._lock:
            self._now += by
            return self._now


@dataclass(slots=True, kw_only=True)
class House:
    """A running server. `models` gives each model of the catalog its behaviour, by slug."""

    url: str
    clock: StandingClock
    models: dict[str, Behaviour] = field(default_factory=dict)
    accounts: Accounts
    sources: ModelSources
    registry: Registry
    database: SqlDatabase
    objects: S3ObjectStore
    storage: StorageBilling
    worker: Worker
    sweeps: Sequence[Schedule]
    stop_store: Callable[[], None]
    stop_api: Callable[[], None]

    def create_key(self, account: str = "acme", *, credits_usd: str = "100", scopes: tuple[str, ...] = ()) -> str:
        """A new account's key."""
        self.accounts.create_account(account, Decimal(credits_usd))
        return self.accounts.create_key(account, scopes)[1]

    def create_source(self, key: str, name: str) -> str:
        """A source of AIRs for the account behind a key."""
        return self.sources.create(self.accounts.authenticate(key).account_id, name).name

    def run_of(self, key: str, asset_id: str) -> Run:
        """The run that made a file."""
        account_id = self.accounts.authenticate(key).account_id
        with self.database.read() as tx:
            run_id = tx.assets.get(account_id, AssetId(asset_id)).run_id
            assert run_id is not None
            return tx.runs.get(account_id, run_id)

    def charge_storage(self) -> None:
        """What a worker does every day."""
        self.storage.charge_today()

    def work(self) -> None:
        """Run everything that waits, one after another."""
        self.worker.drain()

    def sweep(self) -> None:
        """Remove what is over."""
        for schedule in self.sweeps:
            schedule.act()


class _Models:
    """The runner `test`: calls the house's functions."""

    def __init__(self, models: Mapping[str, Behaviour]) -> None:
        self._models = models

    def run(self, model: str, inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        return self._models[model](inputs, context)


def _listening(stack: ExitStack) -> tuple[socket.socket, str]:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def open_house(  # noqa: PLR0915 - the parts of a whole server
    directory: Path,
    database_url: str,
    catalog: Sequence[Mapping[str, Any]],
    *,
    bindings: Sequence[Mapping[str, Any]] = (),
    rates: RateLimits = _RATES,
    store_public_url: str | None = None,
    storage_price: str = "0",
) -> Iterator[House]:
    """A house on that database; `catalog` and `bindings` are tables of a catalog file.

    Their runner is the test's, unless a binding says otherwise.

    What clients are told of the store is under `store_public_url` (None: where it is). A GB of models costs
    `storage_price` USD a month.
    """
    clock, entropy, models = StandingClock(), SystemEntropy(), dict[str, "Behaviour"]()
    with ExitStack() as stack:
        origin, stop_store = stack.enter_context(_store(directory / "objects", clock))
        bucket = Bucket(endpoint=origin, name=_BUCKET, region="us-east-1", credentials=_CREDENTIALS)
        objects = S3ObjectStore(bucket, clock=clock, capabilities=Capabilities(trusts_checksums=True))
        stack.callback(objects.close)
        database = SqlDatabase(database_url)
        stack.callback(database.close)
        accounts = Accounts(database, clock, entropy)
        presigner = S3Presigner(replace(bucket, endpoint=store_public_url or origin))
        uploads = Uploads(database, objects, presigner, clock=clock, entropy=entropy, log=_SILENT)
        assets = Assets(database, presigner, uploads, clock=clock, trash=_DAYS)
        purging = Purging(database, objects, clock=clock, tombstones=_DAYS)
        orphans = Orphans(database, objects, clock=clock, entropy=entropy, log=_SILENT)
        listener, url = _listening(stack)
        references = References(
            database,
            objects,
            assets,
            uploads,
            parsers=[dialect.reference_parser(url + dialect.mount) for dialect in DIALECTS],
            clock=clock,
            entropy=entropy,
            egress=_LOOPBACK,
            max_inline_bytes=2**20,
            inline_lifetime=timedelta(hours=24),
        )
        models_of_the_test = parse_catalog(
            {
                "model": [{"runner": "test", "runner_model": table["slug"], **table} for table in catalog],
                "binding": [{"runner": "test", **table} for table in bindings],
            }
        )
        policies = {d.name: d.callbacks(url + d.mount) for d in DIALECTS if d.callbacks is not None}
        callbacks = Callbacks(policies, _LOOPBACK)
        terms = RunTerms(models_of_the_test, timeout=_TIMEOUT, deadline=_DAYS)
        storage = StorageBilling(database, price=Decimal(storage_price), clock=clock, log=_SILENT)
        model_uploads = ModelUploads(
            database,
            _LOOPBACK,
            clock=clock,
            entropy=entropy,
            callbacks=callbacks,
            check_credit=storage.require_storage_credit,
        )
        feed = Feed(database, database.changes)
        stack.callback(feed.close)
        examiner = stack.enter_context(closing(ChildExaminer(_SILENT)))
        sources = ModelSources(database, clock=clock)
        registry = Registry(database, objects, presigner, clock=clock)
        services = Services(
            accounts=accounts,
            quotas=Quotas(database),
            uploads=uploads,
            imports=Imports(uploads, _LOOPBACK, entropy=entropy),
            assets=assets,
            lifetimes=Lifetimes(database, clock=clock, classes=ClassLifetimes()),
            library=Library(database, assets, clock=clock),
            folders=Folders(database, clock=clock, entropy=entropy),
            runs=Runs(
                database,
                models_of_the_test,
                references,
                terms=terms,
                clock=clock,
                entropy=entropy,
                callbacks=callbacks,
            ),
            storage=storage,
            contents=Contents(database, objects, clock=clock, entropy=entropy),
            webhooks=Webhooks(database, callbacks, clock=clock, entropy=entropy),
            models=registry,
            model_sources=sources,
            model_uploads=model_uploads,
            examinations=Examinations(examiner),
            large_bodies=LargeBodies(),
            rates=Rates(rates, clock=clock),
            streams=Streams(feed, most_per_account=_MOST_STREAMS),
            catalog=models_of_the_test,
            log=_SILENT,
        )
        scratch = directory / "scratch"
        scratch.mkdir(parents=True)
        limits = RunLimits(terms=terms, scratch=scratch)
        runners: dict[str, Runner] = {"test": _Models(models), "builtin": BuiltinRunner(_SILENT)}
        interrupt = threading.Event()
        run_flow = RunFlow(
            database,
            objects,
            assets,
            runners,
            limits=limits,
            clock=clock,
            entropy=entropy,
            log=_SILENT,
            interrupt=interrupt,
            weights=WeightsAddresses(presigner, clock=clock),
            callbacks=callbacks,
        )
        fetcher = GuardedFetcher(_LOOPBACK, clock=clock, log=_SILENT)
        inspector = stack.enter_context(closing(ChildInspector(_SILENT)))
        intake = AssetIntake(
            database,
            objects,
            inspector,
            options=IntakeOptions(scratch=scratch, excerpt=ExcerptLimits()),
            clock=clock,
            log=_SILENT,
            interrupt=interrupt,
        )
        fetch = AssetFetch(
            database,
            objects,
            uploads,
            fetcher,
            clock=clock,
            entropy=entropy,
            log=_SILENT,
            interrupt=interrupt,
            callbacks=callbacks,
        )
        worker = Worker(
            database,
            SqlJobQueue(database),
            {
                MODEL_JOB: ModelUploadFlow(
                    ModelTools(
                        database=database,
                        objects=objects,
                        fetcher=fetcher,
                        examiner=examiner,
                        rewriter=Optimizer(),
                        uploads=model_uploads,
                        options=ModelOptions(),
                        clock=clock,
                        entropy=entropy,
                    ),
                    log=_SILENT,
                    interrupt=interrupt,
                ),
                RUN_JOB: run_flow,
                INTAKE_JOB: intake,
                PAYLOAD_JOB: PayloadRemoval(database, clock=clock),
                FETCH_JOB: fetch,
                RUN_FETCH_JOB: fetch,
                DELIVERY_JOB: DeliveryFlow(
                    database,
                    assets,
                    callbacks,
                    fetcher,
                    Places(),
                    shares=Shares(host=1, account=1),
                    clock=clock,
                    entropy=entropy,
                    log=_SILENT,
                    interrupt=interrupt,
                ),
            },
            (),
            open_changes=database.changes,
            clock=clock,
            entropy=entropy,
            log=_SILENT,
            owner="house",
            concurrency=1,
            interrupt=interrupt,
        )
        stop_api = stack.enter_context(_api(services, url, listener))
        yield House(
            url=url,
            clock=clock,
            models=models,
            accounts=accounts,
            sources=sources,
            registry=registry,
            worker=worker,
            database=database,
            objects=objects,
            storage=storage,
            stop_store=stop_store,
            stop_api=stop_api,
            sweeps=sweep_schedules(
                all_sweeps(uploads, purging, registry, orphans, SweepPlans(database, objects, orphans, clock=clock)),
                Retention(
                    database, clock=clock, events=_DAYS, idempotency=_DAYS, deliveries=_DAYS, model_uploads=_DAYS
                ),
                RunDeadlines(database, callbacks, clock=clock),
            ),
        )


@contextmanager
def _store(directory: Path, clock: StandingClock) -> Iterator[tuple[str, Callable[[], None]]]:
    """The embedded store in a thread, on the house's clock; its address, and what ends it."""
    config = StoreConfig(
        directory=directory,
        credentials={_CREDENTIALS.access_key: _CREDENTIALS.secret_key},
        port=0,
        buckets=(_BUCKET,),
    )
    stop, is_ready, ports = threading.Event(), threading.Event(), list[int]()

    def ready(port: int) -> None:
        ports.append(port)
        is_ready.set()

    thread = threading.Thread(
        target=serve,
        args=(config,),
        kwargs={"ready": ready, "stop": stop, "log": _SILENT, "now": lambda: clock.now().timestamp()},
        name="store",
    )

    def end() -> None:
        stop.set()
        thread.join()

    thread.start()
    try:
        assert is_ready.wait(20), "the store did not become ready"
        yield f"http://127.0.0.1:{ports[0]}", end
    finally:
        end()


@contextmanager
def _api(services: Services, url: str, listener: socket.socket) -> Iterator[Callable[[], None]]:
    """Every dialect under its mount, and what ends it. The listener takes connections before the server does."""
    app = Mounts({dialect.mount: _built_when_asked(dialect, services, url) for dialect in DIALECTS}, otherwise=_nothing)
    config = uvicorn.Config(
        app, loop="asyncio", http=guarded_protocol(), ws=guarded_socket(), lifespan="off", log_config=None
    )
    server = PromptServer(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="api")

    def end() -> None:
        server.should_exit = True
        thread.join()

    thread.start()
    try:
        yield end
    finally:
        end()


def _built_when_asked(dialect: Dialect, services: Services, url: str) -> ASGIApp:
    """A dialect's app. Most tests speak one dialect, and building all of them takes longer than the rest of a house."""
    built = cache(lambda: dialect.build(services, url + dialect.mount))

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await built()(scope, receive, send)

    return app


async def _nothing(_scope: ASGIScope, _receive: Receive, send: Send) -> None:
    """What is outside every dialect."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
