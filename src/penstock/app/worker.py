"""The worker: runs, intake, imports and sweeps, side by side."""

from __future__ import annotations

import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.app.parts import (
    Core,
    egress_rules,
    open_callbacks,
    open_core,
    open_storage_billing,
    open_sweeps,
    run_terms,
)
from penstock.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from penstock.adapters.media import ChildInspector
    from penstock.ports.runners import Runner
    from penstock.ports.weights import Examiner
    from penstock.services.callbacks import Callbacks
    from penstock.settings import Settings
    from penstock.workflows.engine import Flow, Patience, Schedule, Worker


def serve_worker(settings: Settings, *, ready: Callable[[], None], stop: threading.Event) -> None:
    """Run jobs and sweeps until `stop` is set, then let running attempts end. Blocks."""
    from penstock.adapters.db.queue import SqlJobQueue
    from penstock.adapters.weights.examiner import ChildExaminer
    from penstock.services.intake import INTAKE_JOB
    from penstock.services.run_ends import RUN_JOB
    from penstock.workflows.asset_intake import AssetIntake, IntakeOptions
    from penstock.workflows.excerpts import ExcerptLimits
    from penstock.workflows.run import RunFlow, RunLimits

    log = Log("worker")
    core = open_core(settings, log)
    open_until_end = ExitStack()
    queue = SqlJobQueue(core.database)
    scratch = _empty_directory(settings.data.absolute() / "scratch")
    owner = f"{socket.gethostname()}:{settings.data.absolute()}:"
    # One worker per data directory holds its lock, so whatever an earlier one of this name had leased is free (P12).
    queue.release(owner, now=core.clock.now())
    interrupt = threading.Event()
    callbacks = open_callbacks(settings)
    inspector, examiner = _inspector(settings, log), ChildExaminer(log)
    run_flow = RunFlow(
        core.database,
        core.objects,
        core.assets,
        _runners(settings, core, open_until_end),
        limits=RunLimits(terms=run_terms(settings, core.catalog), scratch=scratch),
        clock=core.clock,
        entropy=core.entropy,
        log=log,
        interrupt=interrupt,
        weights=core.weights,
        callbacks=callbacks,
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

    workers = [
        _worker(
            core,
            owner,
            {RUN_JOB: run_flow},
            schedules=_schedules(settings, core, callbacks),
            concurrency=settings.run_concurrency,
            interrupt=interrupt,
        ),
        # New files do not wait behind runs, which may take minutes.
        _worker(
            core,
            owner,
            {INTAKE_JOB: intake, **_removals(core, interrupt)},
            concurrency=settings.intake_concurrency,
            interrupt=interrupt,
        ),
        *_import_workers(settings, core, callbacks, owner=owner),
        _delivery_worker(settings, core, callbacks, owner=owner),
        _model_worker(settings, core, callbacks, examiner, owner=owner),
    ]

    def begun() -> None:
        ready()
        inspector.warm_up()
        examiner.warm_up()

    try:
        _serve_together(workers, stop, ready=begun)
    finally:
        open_until_end.close()
        inspector.close()
        examiner.close()
        core.close()


def _schedules(settings: Settings, core: Core, callbacks: Callbacks) -> Sequence[Schedule]:
    """What is done every so often."""
    from penstock.services.retention import Retention
    from penstock.services.run_deadlines import RunDeadlines
    from penstock.workflows.storage_billing import storage_schedule
    from penstock.workflows.sweeps import sweep_schedules

    retention = Retention(
        core.database,
        clock=core.clock,
        events=timedelta(days=settings.event_retention_days),
        idempotency=timedelta(days=settings.idempotency_retention_days),
        deliveries=timedelta(days=settings.delivery_retention_days),
        model_uploads=timedelta(days=settings.model_upload_retention_days),
    )
    deadlines = RunDeadlines(core.database, callbacks, clock=core.clock)
    return (
        *sweep_schedules(open_sweeps(core)[0], retention, deadlines),
        storage_schedule(open_storage_billing(settings, core)),
    )


def _worker(  # noqa: PLR0913 - as `Worker`
    core: Core,
    owner: str,
    flows: Mapping[str, Flow],
    *,
    schedules: Sequence[Schedule] = (),
    concurrency: int,
    interrupt: threading.Event,
    patience: Patience | None = None,
    by_turns: bool = False,
) -> Worker:
    from penstock.adapters.db.queue import SqlJobQueue
    from penstock.workflows.engine import Worker

    return Worker(
        core.database,
        SqlJobQueue(core.database),
        flows,
        schedules,
        open_changes=core.open_changes,
        clock=core.clock,
        entropy=core.entropy,
        log=core.log,
        owner=owner + core.entropy.random_bytes(4).hex(),
        concurrency=concurrency,
        interrupt=interrupt,
        patience=patience,
        by_turns=by_turns,
    )


def _removals(core: Core, interrupt: threading.Event) -> Mapping[str, Flow]:
    """What takes away what its owner removed, or did not want kept."""
    from penstock.services.folders import FOLDER_JOB
    from penstock.services.runs import PAYLOAD_JOB
    from penstock.workflows.folder_removal import FolderRemoval
    from penstock.workflows.payload_removal import PayloadRemoval

    return {
        FOLDER_JOB: FolderRemoval(core.database, clock=core.clock, interrupt=interrupt),
        PAYLOAD_JOB: PayloadRemoval(core.database, clock=core.clock),
    }


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


def _import_workers(settings: Settings, core: Core, callbacks: Callbacks, *, owner: str) -> Sequence[Worker]:
    """Workers of their own, for a download may take hours and keep a place all the while: imports, and runs' files.

    A planned stop does not wait for downloads: the next start goes on behind the last part.
    """
    from penstock.adapters.fetch import GuardedFetcher
    from penstock.services.imports import FETCH_JOB
    from penstock.services.run_files import RUN_FETCH_JOB
    from penstock.workflows.asset_fetch import AssetFetch
    from penstock.workflows.engine import Patience

    interrupt = threading.Event()
    rules = egress_rules(settings)
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
        callbacks=callbacks,
    )
    patience = Patience(to_end=0.5, to_let_go=8.0)

    def worker(kind: str, concurrency: int) -> Worker:
        return _worker(core, owner, {kind: flow}, concurrency=concurrency, interrupt=interrupt, patience=patience)

    return worker(FETCH_JOB, settings.import_concurrency), worker(RUN_FETCH_JOB, settings.run_fetch_concurrency)


def _delivery_worker(settings: Settings, core: Core, callbacks: Callbacks, *, owner: str) -> Worker:
    """A worker of its own, for receivers may be slow; one host or one account never has more than a share of it.

    A planned stop does not wait for receivers: the next start posts again, the same bytes under the same id.
    """
    from penstock.adapters.fetch import GuardedFetcher, SystemResolver
    from penstock.services.callbacks import DELIVERY_JOB
    from penstock.workflows.delivery import DeliveryFlow, Shares
    from penstock.workflows.engine import Patience
    from penstock.workflows.places import Places

    interrupt = threading.Event()
    places = settings.callback_concurrency
    flow = DeliveryFlow(
        core.database,
        core.assets,
        callbacks,
        # A lookup that hangs outlasts its delivery's place: one account's share of them leaves room for the others'.
        GuardedFetcher(
            egress_rules(settings), clock=core.clock, log=core.log, resolve=SystemResolver(threads=4 * places)
        ),
        Places(),
        shares=Shares(host=max(1, places // 4), account=max(1, places // 2)),
        clock=core.clock,
        entropy=core.entropy,
        log=core.log,
        interrupt=interrupt,
    )
    return _worker(
        core,
        owner,
        {DELIVERY_JOB: flow},
        concurrency=places,
        interrupt=interrupt,
        patience=Patience(to_end=0.5, to_let_go=8.0),
    )


def _model_worker(settings: Settings, core: Core, callbacks: Callbacks, examiner: Examiner, *, owner: str) -> Worker:
    """A worker of its own, for a model takes long and much; accounts take turns.

    A planned stop does not wait: the next start goes on behind the last part.
    """
    from penstock.adapters.fetch import GuardedFetcher
    from penstock.adapters.weights.optimizer import Optimizer
    from penstock.domain.weights import ModelCheck
    from penstock.services.model_uploads import MODEL_JOB, ModelUploads
    from penstock.weights.policy import Options
    from penstock.workflows.engine import Patience
    from penstock.workflows.model_phases import ModelOptions, ModelTools
    from penstock.workflows.model_upload import ModelUploadFlow
    from penstock.workflows.range_lanes import Parallel

    interrupt, rules = threading.Event(), egress_rules(settings)
    tools = ModelTools(
        database=core.database,
        objects=core.objects,
        fetcher=GuardedFetcher(rules, clock=core.clock, log=core.log),
        examiner=examiner,
        rewriter=Optimizer(
            Options(narrow=settings.model_narrowing, training_notes=settings.model_training_notes),
        ),
        uploads=ModelUploads(core.database, rules, clock=core.clock, entropy=core.entropy, callbacks=callbacks),
        options=ModelOptions(
            check=ModelCheck(settings.model_check),
            max_bytes=settings.model_max_bytes,
            within=timedelta(hours=settings.model_upload_hours),
            parallel=Parallel(
                connections=settings.model_download_connections, least_bytes=settings.model_parallel_bytes
            ),
        ),
        clock=core.clock,
        entropy=core.entropy,
    )
    return _worker(
        core,
        owner,
        {MODEL_JOB: ModelUploadFlow(tools, log=core.log, interrupt=interrupt)},
        concurrency=settings.model_upload_concurrency,
        interrupt=interrupt,
        patience=Patience(to_end=0.5, to_let_go=8.0),
        by_turns=True,
    )


def _runners(settings: Settings, core: Core, open_until_end: ExitStack) -> Mapping[str, Runner]:
    from penstock.adapters.fetch import GuardedFetcher
    from penstock.adapters.runners.builtin import BuiltinRunner
    from penstock.adapters.runners.cog import CogCallbacks, CogRunner

    heard = None
    if settings.cog_callback_port is not None:
        address = (settings.cog_callback_host, settings.cog_callback_port)
        heard = open_until_end.enter_context(CogCallbacks(*address, core.entropy, public_url=settings.cog_callback_url))
    fetcher = GuardedFetcher(egress_rules(settings), clock=core.clock, log=core.log)
    return {
        "builtin": BuiltinRunner(core.log),
        "cog": CogRunner(fetcher, core.entropy, callbacks=heard),
    }


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


def _empty_directory(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
