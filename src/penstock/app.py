"""Composition: the only place that names an adapter. Reads like a parts list, and offers what the command line calls.

Imports stand inside the functions: a store process must not pay for a database library, nor a worker for a web one.
"""

from __future__ import annotations

import shutil
import socket
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.domain.errors import DatabaseUnavailable, InvalidField, ObjectStoreUnavailable, PenstockError
from penstock.domain.quotas import NO_LIMIT, Limits, Quota, Usage
from penstock.store.config import StoreConfig, limits_of, load_or_create_credentials
from penstock.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path

    import uvicorn
    from starlette.types import ASGIApp

    from penstock.adapters.db.database import SqlDatabase
    from penstock.adapters.media import ChildInspector
    from penstock.adapters.objects.s3 import S3ObjectStore, S3Presigner
    from penstock.domain.accounts import Account, ApiKey
    from penstock.domain.catalog import Catalog
    from penstock.domain.egress import EgressRules
    from penstock.domain.sweeps import Finding
    from penstock.ports.database import Changes
    from penstock.ports.runners import Runner
    from penstock.services.accounts import Accounts
    from penstock.services.assets import Assets
    from penstock.services.feed import Feed
    from penstock.services.health import Health
    from penstock.services.lifetimes import ClassLifetimes
    from penstock.services.orphans import Orphans
    from penstock.services.purging import Purging
    from penstock.services.quotas import Quotas
    from penstock.services.uploads import Uploads
    from penstock.settings import Settings
    from penstock.store.fsck import Check
    from penstock.workflows.engine import Flow, Schedule, Worker
    from penstock.workflows.sweeps import Sweep

__all__ = [
    "NO_LIMIT",
    "Administration",
    "Limits",
    "PenstockError",
    "Quota",
    "Sweeping",
    "Usage",
    "administration",
    "check_store",
    "create_store_key",
    "migrate",
    "rotate_store_keys",
    "serve_api",
    "serve_store",
    "serve_worker",
    "sweeping",
]

_MAX_INLINE_BYTES = 10 * 2**20
_API_DRAIN_SECONDS = 8
_API_BACKLOG = 2048


def serve_store(settings: Settings, *, ready: Callable[[], None], stop: threading.Event) -> None:
    """Serve the embedded object store until `stop` is set. Blocks; raises what starting it raises."""
    from penstock.store.encryption import EncryptionError
    from penstock.store.server import serve

    config = StoreConfig(
        directory=_objects_directory(settings),
        credentials=load_or_create_credentials(_credentials_file(settings)),
        host=settings.host,
        port=settings.store_port,
        region=settings.store_region,
        buckets=(settings.store_bucket,),
        cors_origins=settings.store_cors_origins,
        limits=limits_of(
            object_bytes=settings.store_max_object_bytes,
            multipart_bytes=settings.store_max_multipart_bytes,
            least_rate=settings.store_min_rate,
            connections=settings.store_connections,
            reserve_bytes=settings.store_reserve_bytes,
        ),
        encryption_key_file=settings.store_encryption_key_file,
        processes=settings.store_processes,
        metrics_host=settings.store_metrics_host,
        metrics_port=settings.store_metrics_port,
    )
    clock = SystemClock()
    try:
        serve(config, ready=lambda _port: ready(), stop=stop, log=Log("store"), now=lambda: clock.now().timestamp())
    except EncryptionError as error:
        raise ObjectStoreUnavailable(str(error)) from error


def serve_api(settings: Settings, *, ready: Callable[[], None], stop: threading.Event) -> None:
    """Serve every dialect until `stop` is set, then finish what is in flight. Blocks."""
    import gc

    import uvicorn

    from penstock.adapters.listener import guarded_protocol
    from penstock.services.feed import Feed

    core = _open_core(settings, Log("api"))
    feed = Feed(core.database, core.open_changes)
    config = uvicorn.Config(
        _root_app(settings, core, feed),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=guarded_protocol(),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_API_BACKLOG,
        timeout_graceful_shutdown=_API_DRAIN_SECONDS,
    )

    class ReadyServer(uvicorn.Server):
        """Tells when it listens; leaves the signals to our caller."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    server = ReadyServer(config)
    threading.Thread(target=_end_when, args=(stop, server, feed), name="stop", daemon=True).start()
    # What the libraries brought along stays; looking through it again and again would hold every request up.
    gc.collect()
    gc.freeze()
    try:
        server.run()
    finally:
        feed.close()
        core.close()


def serve_worker(settings: Settings, *, ready: Callable[[], None], stop: threading.Event) -> None:
    """Run jobs and sweeps until `stop` is set, then let running attempts end. Blocks."""
    from penstock.adapters.db.queue import SqlJobQueue
    from penstock.services.folders import FOLDER_JOB
    from penstock.services.intake import INTAKE_JOB
    from penstock.services.retention import Retention
    from penstock.services.runs import RUN_JOB
    from penstock.workflows.asset_intake import AssetIntake, IntakeOptions
    from penstock.workflows.engine import Worker
    from penstock.workflows.excerpts import ExcerptLimits
    from penstock.workflows.folder_removal import FolderRemoval
    from penstock.workflows.run import RunFlow, RunLimits
    from penstock.workflows.sweeps import sweep_schedules

    log = Log("worker")
    core = _open_core(settings, log)
    queue = SqlJobQueue(core.database)
    scratch = _empty_directory(settings.data.absolute() / "scratch")
    owner = f"{socket.gethostname()}:{settings.data.absolute()}:"
    # One worker per data directory holds its lock, so whatever an earlier one of this name had leased is free (P12).
    queue.release(owner, now=core.clock.now())
    limits = RunLimits(timeout=timedelta(seconds=settings.run_timeout_seconds), scratch=scratch)
    interrupt = threading.Event()
    retention = Retention(
        core.database,
        clock=core.clock,
        events=timedelta(days=settings.event_retention_days),
        idempotency=timedelta(days=settings.idempotency_retention_days),
    )
    inspector = _inspector(settings, log)
    run_flow = RunFlow(
        core.database,
        core.objects,
        core.assets,
        _runners(log),
        limits=limits,
        clock=core.clock,
        entropy=core.entropy,
        log=log,
        interrupt=interrupt,
    )
    intake = AssetIntake(
        core.database,
        core.objects,
        inspector,
        options=IntakeOptions(
            scratch=scratch,
            excerpt=ExcerptLimits(whole=settings.media_whole_bytes),
            thumbnails=settings.thumbnails,
        ),
        clock=core.clock,
        log=log,
        interrupt=interrupt,
    )

    folders = FolderRemoval(core.database, clock=core.clock, interrupt=interrupt)

    def worker(flows: Mapping[str, Flow], schedules: Sequence[Schedule], *, concurrency: int) -> Worker:
        return Worker(
            core.database,
            queue,
            flows,
            schedules,
            open_changes=core.open_changes,
            clock=core.clock,
            entropy=core.entropy,
            log=log,
            owner=owner + core.entropy.random_bytes(4).hex(),
            concurrency=concurrency,
            interrupt=interrupt,
        )

    sweeps = sweep_schedules(_sweeps(core)[0], retention)
    workers = [
        worker({RUN_JOB: run_flow}, sweeps, concurrency=settings.run_concurrency),
        # New files do not wait behind runs, which may take minutes.
        worker({INTAKE_JOB: intake, FOLDER_JOB: folders}, (), concurrency=settings.intake_concurrency),
        _import_worker(settings, core, owner=owner),
    ]

    def begun() -> None:
        ready()
        inspector.warm_up()

    try:
        _serve_together(workers, stop, ready=begun)
    finally:
        inspector.close()
        core.close()


def _serve_together(workers: Sequence[Worker], stop: threading.Event, *, ready: Callable[[], None]) -> None:
    """Until `stop` is set, or until one of them fails, which ends the others and is raised."""
    begun = threading.Barrier(len(workers), action=ready)

    def wait() -> None:
        begun.wait()

    def serve(worker: Worker) -> None:
        try:
            worker.serve(stop, ready=wait)
        except BaseException:
            stop.set()
            begun.abort()
            raise

    with ThreadPoolExecutor(len(workers), thread_name_prefix="worker") as pool:
        for served in [pool.submit(serve, worker) for worker in workers]:
            served.result()


def _import_worker(settings: Settings, core: _Core, *, owner: str) -> Worker:
    """A worker of its own, for a download may take hours and keep a place all the while.

    A planned stop does not wait for downloads: the next start goes on behind the last part.
    """
    from penstock.adapters.db.queue import SqlJobQueue
    from penstock.adapters.fetch import GuardedFetcher
    from penstock.services.imports import FETCH_JOB
    from penstock.workflows.asset_fetch import AssetFetch
    from penstock.workflows.engine import Patience, Worker

    interrupt = threading.Event()
    rules = _egress_rules(settings)
    if str(rules):
        core.log("fetch.allowed", places=str(rules))
    flow = AssetFetch(
        core.database,
        core.objects,
        core.uploads,
        GuardedFetcher(rules, clock=core.clock, log=core.log),
        clock=core.clock,
        entropy=core.entropy,
        log=core.log,
        interrupt=interrupt,
    )
    patience = Patience(to_end=0.5, to_let_go=8.0)
    return Worker(
        core.database,
        SqlJobQueue(core.database),
        {FETCH_JOB: flow},
        (),
        open_changes=core.open_changes,
        clock=core.clock,
        entropy=core.entropy,
        log=core.log,
        owner=owner + core.entropy.random_bytes(4).hex(),
        concurrency=settings.import_concurrency,
        interrupt=interrupt,
        patience=patience,
    )


def migrate(settings: Settings) -> str:
    """Bring the database's schema up to this version and return the version. Idempotent. Raises `PenstockError`."""
    from penstock.adapters.db.migrate import REVISIONS, SchemaNewerError
    from penstock.adapters.db.migrate import migrate as migrate_database

    settings.data.mkdir(parents=True, exist_ok=True)
    try:
        migrate_database(settings.sqlalchemy_url)
    except SchemaNewerError as error:
        raise DatabaseUnavailable(str(error)) from error
    return REVISIONS[-1]


@contextmanager
def check_store(settings: Settings, *, progress: Callable[[float], None]) -> Iterator[tuple[Check, Callable[[], int]]]:
    """A check of the embedded store's files, and what rebuilds its index; the store cannot run meanwhile.

    Raises `ObjectStoreUnavailable` while it runs, and `OSError` when the data directory holds no store.
    """
    from penstock.store.encryption import EncryptionError, read_keyring
    from penstock.store.fsck import Check, InUseError, exclusive, rebuild_index

    directory = _objects_directory(settings)
    try:
        with exclusive(directory):
            keyring = read_keyring(directory, settings.store_encryption_key_file)
            check = Check(directory, progress=progress, keyring=keyring)
            yield check, lambda: rebuild_index(directory, keyring)
    except (InUseError, EncryptionError) as error:
        raise ObjectStoreUnavailable(str(error)) from error


def rotate_store_keys(settings: Settings, *, old: Path, new: Path) -> tuple[int, bool]:
    """Seal the embedded store's keys under the key of another file; the store cannot run meanwhile.

    Returns the newest generation of keys, and False when that was done before. Raises `ObjectStoreUnavailable`.
    """
    from penstock.store.encryption import EncryptionError, rotate_keys
    from penstock.store.fsck import InUseError, exclusive

    directory = _objects_directory(settings)
    try:
        with exclusive(directory):
            return rotate_keys(directory, old=old, new=new)
    except (InUseError, EncryptionError) as error:
        raise ObjectStoreUnavailable(str(error)) from error


def create_store_key(path: Path) -> None:
    """A new key for the embedded store's encryption, in a file that must not exist. Raises `OSError`."""
    from penstock.store.encryption import create_key_file

    create_key_file(path)


class Administration:
    """What an operator does on the data directory or the database, with the server running or not."""

    def __init__(self, accounts: Accounts, quotas: Quotas) -> None:
        self.create_account: Callable[[str, Decimal], Account] = accounts.create_account
        self.credit_account: Callable[[str, Decimal], Decimal] = accounts.credit_account
        self.accounts: Callable[[], list[tuple[Account, Decimal]]] = accounts.accounts
        self.create_key: Callable[[str, tuple[str, ...]], tuple[ApiKey, str]] = accounts.create_key
        self.keys: Callable[[str | None], list[tuple[str, ApiKey]]] = accounts.keys
        self.revoke_key: Callable[[str], None] = accounts.revoke_key
        self.quota: Callable[[str], Quota] = quotas.by_name
        self.set_limits: Callable[[str, Limits], Quota] = quotas.set_limits
        self.reset_limits: Callable[[str], Quota] = quotas.reset_limits
        self.recount: Callable[[], list[tuple[str, Usage, Usage]]] = quotas.recount


@contextmanager
def administration(settings: Settings) -> Iterator[Administration]:
    """The operator's verbs, on an up-to-date schema. Raises `PenstockError`s."""
    from penstock.adapters.db.database import SqlDatabase
    from penstock.services.accounts import Accounts
    from penstock.services.quotas import Quotas

    migrate(settings)
    database = SqlDatabase(settings.sqlalchemy_url, limits=_default_limits(settings))
    try:
        yield Administration(Accounts(database, SystemClock(), SystemEntropy()), Quotas(database))
    finally:
        database.close()


class Sweeping:
    """What a worker removes periodically, by name, for an operator to be told or to do now."""

    def __init__(self, sweeps: Sequence[Sweep], orphans: Orphans) -> None:
        self._sweeps = {sweep.name: sweep for sweep in sweeps}
        self._orphans = orphans

    @property
    def names(self) -> tuple[str, ...]:
        """Every sweep, in the order in which they are best done."""
        return tuple(self._sweeps)

    def plan(self, name: str) -> Iterator[Finding]:
        """What would be removed now. Changes nothing."""
        return self._sweeps[name].plan()

    def obstacle(self, name: str) -> str | None:
        """Why something that was found would not be removed. Changes nothing."""
        return self._sweeps[name].obstacle()

    def act(self, name: str, *, confirmed: bool) -> int:
        """Remove it; `confirmed`: also what is otherwise left for an operator to decide. Returns how many."""
        sweep, total = self._sweeps[name], 0
        while count := sweep.confirmed_act() if confirmed else sweep.act():
            total += count
        return total

    def adopt(self) -> str:
        """Mark the bucket as this database's. Returns the installation's id."""
        return self._orphans.adopt().id


@contextmanager
def sweeping(settings: Settings) -> Iterator[Sweeping]:
    """The sweeps, beside a running server or not; the object store must run. Raises `PenstockError`s."""
    migrate(settings)
    core = _open_core(settings, Log("sweep", None))
    try:
        yield Sweeping(*_sweeps(core))
    finally:
        core.close()


def _sweeps(core: _Core) -> tuple[Sequence[Sweep], Orphans]:
    from penstock.services.orphans import Orphans
    from penstock.services.sweep_plans import SweepPlans
    from penstock.workflows.sweeps import all_sweeps

    orphans = Orphans(core.database, core.objects, clock=core.clock, entropy=core.entropy, log=core.log)
    plans = SweepPlans(core.database, core.objects, orphans, clock=core.clock)
    return all_sweeps(core.uploads, core.purging, orphans, plans), orphans


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """What API and worker share."""

    database: SqlDatabase
    objects: S3ObjectStore
    clock: SystemClock
    entropy: SystemEntropy
    catalog: Catalog
    accounts: Accounts
    uploads: Uploads
    assets: Assets
    purging: Purging
    log: Log
    open_changes: Callable[[], Changes]
    close: Callable[[], None]


def _open_core(settings: Settings, log: Log) -> _Core:
    from penstock.adapters.db.database import SqlDatabase
    from penstock.services.accounts import Accounts
    from penstock.services.assets import Assets
    from penstock.services.purging import Purging
    from penstock.services.uploads import Uploads

    database = SqlDatabase(settings.sqlalchemy_url, limits=_default_limits(settings))
    objects, presigner = _object_store(settings)
    clock, entropy = SystemClock(), SystemEntropy()
    uploads = Uploads(database, objects, presigner, clock=clock, entropy=entropy, log=log)

    def close() -> None:
        database.close()
        objects.close()

    return _Core(
        database=database,
        objects=objects,
        clock=clock,
        entropy=entropy,
        catalog=_catalog(settings),
        accounts=Accounts(database, clock, entropy),
        uploads=uploads,
        assets=Assets(database, presigner, uploads, clock=clock, trash=timedelta(days=settings.trash_days)),
        purging=Purging(database, objects, clock=clock, tombstones=timedelta(days=settings.tombstone_days)),
        log=log,
        open_changes=database.changes,
        close=close,
    )


def _root_app(settings: Settings, core: _Core, feed: Feed) -> ASGIApp:
    """Every dialect under its mount, and what the operator asks at the root."""
    from penstock.dialects.base import Services
    from penstock.dialects.base.bodies import LargeBodies
    from penstock.dialects.base.mounts import Mounts
    from penstock.dialects.base.streams import Streams
    from penstock.dialects.registry import DIALECTS
    from penstock.services.folders import Folders
    from penstock.services.health import Health
    from penstock.services.imports import Imports
    from penstock.services.library import Library
    from penstock.services.lifetimes import Lifetimes
    from penstock.services.quotas import Quotas
    from penstock.services.references import References
    from penstock.services.runs import Runs

    bases = {dialect.name: settings.api_address + dialect.mount for dialect in DIALECTS}
    classes = _class_lifetimes(settings)
    references = References(
        core.database,
        core.objects,
        core.assets,
        core.uploads,
        parsers=[dialect.reference_parser(bases[dialect.name]) for dialect in DIALECTS],
        clock=core.clock,
        entropy=core.entropy,
        max_inline_bytes=_MAX_INLINE_BYTES,
        inline_lifetime=classes.inline,
    )
    services = Services(
        accounts=core.accounts,
        quotas=Quotas(core.database),
        uploads=core.uploads,
        assets=core.assets,
        imports=Imports(core.uploads, _egress_rules(settings), entropy=core.entropy),
        lifetimes=Lifetimes(core.database, clock=core.clock, classes=classes),
        library=Library(core.database, core.assets, clock=core.clock),
        folders=Folders(core.database, clock=core.clock, entropy=core.entropy),
        runs=Runs(core.database, core.catalog, references, clock=core.clock, entropy=core.entropy),
        large_bodies=LargeBodies(),
        streams=Streams(feed, most_per_account=settings.streams_per_account),
        catalog=core.catalog,
        log=core.log,
    )
    mounts = Mounts(
        {dialect.mount: dialect.build(services, bases[dialect.name]) for dialect in DIALECTS},
        otherwise=_operator_app(Health(core.database, core.objects)),
    )
    return _with_cors(mounts, settings, exposed=[dialect.request_id_header for dialect in DIALECTS])


def _egress_rules(settings: Settings) -> EgressRules:
    """What an operator lets downloads and callbacks reach. Raises `InvalidField`."""
    from penstock.domain.egress import RulesError, parse_rules

    try:
        return parse_rules(settings.allow_private_networks)
    except RulesError as error:
        raise InvalidField(("allow_private_networks",), str(error)) from error


def _class_lifetimes(settings: Settings) -> ClassLifetimes:
    from penstock.services.lifetimes import ClassLifetimes

    return ClassLifetimes(
        uploads=timedelta(hours=settings.upload_lifetime_hours) or None,
        outputs=timedelta(hours=settings.output_lifetime_hours) or None,
        inline=timedelta(hours=settings.inline_lifetime_hours),
    )


def _operator_app(health: Health) -> ASGIApp:
    """The two health answers; anything else at the root is the plainest of problems (RFC 9457 §4.2.1)."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def alive(_request: object) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    def ready(_request: object) -> JSONResponse:
        try:
            health.check()
        except PenstockError:
            return JSONResponse({"status": "unavailable"}, status_code=503)
        return JSONResponse({"status": "ok"})

    def refused(_request: object, error: HTTPException) -> JSONResponse:
        problem = {"type": "about:blank", "title": error.detail, "status": error.status_code}
        return JSONResponse(problem, error.status_code, error.headers, media_type="application/problem+json")

    routes = [Route("/healthz", alive), Route("/readyz", ready)]
    handlers = {HTTPException: refused}
    return Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]  # each gets its own exception


def _with_cors(app: ASGIApp, settings: Settings, *, exposed: list[str]) -> ASGIApp:
    """CORS for browsers of the configured origins; no credentials, the key is a header (S26)."""
    from starlette.middleware.cors import CORSMiddleware

    if not settings.cors_origin_list:
        return app
    return CORSMiddleware(
        app,
        allow_origins=settings.cors_origin_list,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=exposed,
    )


def _object_store(settings: Settings) -> tuple[S3ObjectStore, S3Presigner]:
    from penstock.adapters.objects.s3 import Bucket, Capabilities, S3ObjectStore, S3Presigner
    from penstock.sigv4 import Credentials

    if settings.store_access_key:
        credentials = Credentials(settings.store_access_key, settings.store_secret_key.get_secret_value())
    else:
        pairs = load_or_create_credentials(_credentials_file(settings))
        credentials = Credentials(*next(iter(pairs.items())))
    # The embedded store computes SHA-256 over every byte it takes; of a remote one the operator has to say so.
    capabilities = Capabilities(trusts_checksums=settings.embedded_store or settings.store_trusts_checksums)
    name, region = settings.store_bucket, settings.store_region
    inside = Bucket(endpoint=settings.store_address, name=name, region=region, credentials=credentials)
    outside = Bucket(endpoint=settings.store_public_address, name=name, region=region, credentials=credentials)
    return S3ObjectStore(inside, clock=SystemClock(), capabilities=capabilities), S3Presigner(outside)


def _default_limits(settings: Settings) -> Limits:
    """The quotas of accounts that have none of their own; a setting of 0 is no limit."""
    return Limits(
        bytes=settings.quota_bytes or None,
        files=settings.quota_files or None,
        open_uploads=settings.quota_open_uploads or None,
    )


def _runners(log: Log) -> Mapping[str, Runner]:
    from penstock.adapters.runners.builtin import BuiltinRunner

    return {"builtin": BuiltinRunner(log)}


def _inspector(settings: Settings, log: Log) -> ChildInspector:
    from penstock.adapters.media import ChildInspector
    from penstock.adapters.media.inspector import InspectorOptions

    options = InspectorOptions(
        children=settings.media_processes,
        seconds=settings.media_timeout_seconds,
        memory_bytes=settings.media_memory_bytes,
        pixels=settings.media_max_pixels,
    )
    return ChildInspector(log, options=options)


def _catalog(settings: Settings) -> Catalog:
    """The operator's catalog, or the demo one. Raises `InvalidField` saying what is wrong with it."""
    from penstock.domain.catalog import CatalogError, parse_catalog

    try:
        text = (settings.catalog or files("penstock") / "demo_catalog.toml").read_text(encoding="utf-8")
        return parse_catalog(tomllib.loads(text))
    except (OSError, tomllib.TOMLDecodeError, CatalogError) as error:
        raise InvalidField(("catalog",), str(error)) from error


def _objects_directory(settings: Settings) -> Path:
    return settings.data.absolute() / "objects"


def _credentials_file(settings: Settings) -> Path:
    return settings.data.absolute() / "store-credentials.json"


def _empty_directory(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _end_when(stop: threading.Event, server: uvicorn.Server, feed: Feed) -> None:
    """Take no more requests; those that only wait for something to happen end now, the others are finished."""
    stop.wait()
    server.should_exit = True
    feed.close()
