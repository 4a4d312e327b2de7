"""The process: one lock on the data directory, one listening socket, and an orderly end."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING

from penstock.sigv4 import Verifier
from penstock.store.answers import refusal, render_head
from penstock.store.attribute_routes import AttributeRoutes
from penstock.store.bucket_routes import BucketRoutes
from penstock.store.changes import create_changes
from penstock.store.connection import Connection
from penstock.store.digests import HashThreads
from penstock.store.encryption import open_keyring
from penstock.store.faults import SLOW_DOWN, Refused
from penstock.store.fleet import Fleet
from penstock.store.form_routes import FormRoutes
from penstock.store.health import Health
from penstock.store.janitor import EVERY_SECONDS, Janitor, steady
from penstock.store.metering import count_refusal, store_meters
from penstock.store.multipart import Multipart
from penstock.store.multipart_routes import MultipartRoutes
from penstock.store.object_routes import ObjectRoutes
from penstock.store.objects import Objects, Sibling
from penstock.store.reactor import READABLE, Reactor, ShuttingDown
from penstock.store.reactor import ready as until_ready
from penstock.store.routes import Routes
from penstock.store.session import Sessions, raised_at
from penstock.store.syncs import observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.store.config import StoreConfig
    from penstock.store.keyring import Keyring
    from penstock.telemetry import Meter, Meters

_BACKLOG = 1024
_STACK_BYTES = 1024 * 1024
_M_ARENA_MAX = -8
_ARENAS = 2
_FILES_BESIDE_CONNECTIONS = 80
_FILES_OF_A_CONNECTION = 3
_SHORT_OF_FILES_SECONDS = 0.05
_FLEET_SECONDS = 3.0
_LISTENER_IS_BROKEN = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
"""Everything else that accept() may say is of one client, or passes (accept(2))."""
_FOREVER = float("inf")
_REMOVE_EVERY_SECONDS = 0.5


class DirectoryInUseError(Exception):
    """Another process serves this data directory (F38)."""


def serve(
    config: StoreConfig,
    *,
    ready: Callable[[int], None],
    stop: threading.Event,
    log: Callable[..., None],
    now: Callable[[], float],
) -> None:
    """Serve until `stop` is set, then drain. `ready` is told the port when requests can be answered.

    `now` gives seconds since the epoch; `log` takes an event's name and its fields (`penstock.telemetry.Log`). Raises
    `DirectoryInUseError`, `EncryptionError` when the keys cannot be used or are missing, and `OSError` when the address
    cannot be bound.
    """
    _claim_little_memory()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_locked(config.directory))
        # Not listening where there are several processes: it keeps the port, on which each listens for itself.
        alone = config.processes == 1
        listener = stack.enter_context(_bound(config.host, config.port, listening=alone, shared=not alone))
        port = listener.getsockname()[1]
        meters = store_meters(processes=config.processes)
        if config.metrics_port is not None:
            admin = stack.enter_context(_bound(config.metrics_host, config.metrics_port))
            stack.enter_context(_serving_metrics(admin, meters, config.directory))
            log("store.metrics", host=config.metrics_host, port=admin.getsockname()[1])
        keyring = open_keyring(config.directory, config.encryption_key_file)
        if alone:
            meter = meters.of(0)
            with _opened(config, keyring, None, meter, log) as objects:
                server = _Server(config, objects, listener=listener, meter=meter, log=log, now=now)
                server.run(lambda: ready(port), stop)
            return

        def work(number: int, heir: bool, ready: Callable[[], None], stop: threading.Event) -> None:  # noqa: FBT001 - the fleet's order
            sibling = Sibling(number=number, changes=changes, heir=heir)
            meter = meters.of(number)
            with (
                _bound(config.host, port, shared=True) as own_listener,
                _opened(config, keyring, sibling, meter, log) as objects,
            ):
                server = _Server(config, objects, listener=own_listener, meter=meter, log=log, now=now)
                server.run(ready, stop, janitor=number == 0)

        with _opened(config, keyring, None, None, log):
            pass
        changes = create_changes()
        stack.callback(os.close, changes)
        patience = config.limits.shutdown_seconds + _FLEET_SECONDS
        Fleet(config.processes, work, patience=patience, log=log).run(lambda: ready(port), stop)


@contextlib.contextmanager
def _opened(
    config: StoreConfig, keyring: Keyring | None, sibling: Sibling | None, meter: Meter | None, log: Callable[..., None]
) -> Iterator[Objects]:
    """The objects, with nothing left of a process that died. Without a `meter`, only to leave them in that state."""
    with contextlib.ExitStack() as stack:
        threads = HashThreads((os.cpu_count() or 1) if meter else 0)
        stack.callback(threads.close)
        if meter is not None:
            observe = meter.observe
            stack.enter_context(observed(lambda seconds, of: observe(seconds, "penstock_store_fsync_seconds", of)))
        objects = Objects(config.directory, threads=threads, sibling=sibling, keyring=keyring)
        stack.callback(objects.close)
        if removed := objects.sweep():
            log("store.swept", files=removed)
        if sibling is None or sibling.heir:
            objects.reconcile()
        if sibling is None:
            for bucket in config.buckets:
                objects.create_bucket(bucket)
        yield objects


class _Server:
    """The parts of a running store, put together."""

    def __init__(
        self,
        config: StoreConfig,
        objects: Objects,
        *,
        listener: socket.socket,
        meter: Meter,
        log: Callable[..., None],
        now: Callable[[], float],
    ) -> None:
        self._limits = config.limits
        self._listener = listener
        self._now = now
        self._log = log
        self._reactor = Reactor(threads=config.limits.threads, on_error=_reporter(log))
        self._objects = objects
        limits = config.limits
        self._multipart = Multipart(objects, least_bytes=limits.least_part_bytes, most_bytes=limits.multipart_bytes)
        self._meter = meter
        self._health = Health(
            config.directory,
            reserve_bytes=config.limits.reserve_bytes,
            trial=objects.index.flush,
            log=log,
            meter=meter,
        )
        routes = Routes(
            BucketRoutes(objects, self._multipart, self._health, limits=config.limits, region=config.region),
            ObjectRoutes(objects, self._health, limits=config.limits, now=now),
            MultipartRoutes(objects, self._multipart, self._health, limits=config.limits, now=now),
            AttributeRoutes(objects),
            public_acls=config.public_acls,
        )
        verifier = Verifier(lookup=config.credentials.get, region=config.region)
        self._sessions = Sessions(
            config,
            verifier=verifier,
            routes=routes,
            forms=FormRoutes(
                objects, self._health, verifier=verifier, limits=config.limits, public_acls=config.public_acls
            ),
            health=self._health,
            now=now,
            log=log,
            meter=meter,
            draining=lambda: self._reactor.draining,
            settings=objects.settings,
        )
        # An upload has two files open, its socket and what it writes; whoever reads an object of parts has three.
        files = _file_limit()
        beside = min(_FILES_BESIDE_CONNECTIONS, files // 2)
        self._most_connections = min(config.limits.connections, (files - beside) // _FILES_OF_A_CONNECTION)

    def run(self, ready: Callable[[], None], stop: threading.Event, *, janitor: bool = True) -> None:
        self._multipart.recover()
        self._reactor.start()
        self._reactor.spawn(self._accept(), self._listener.fileno())
        threads = [
            threading.Thread(target=self._keep_up, args=(stop,), name="upkeep"),
            threading.Thread(target=self._remove, args=(stop,), kwargs={"janitor": janitor}, name="removal"),
        ]
        for thread in threads:
            thread.start()
        try:
            ready()
            while not stop.wait(1.0):
                self._reactor.expire()
            self._reactor.drain(seconds=self._limits.shutdown_seconds)
        finally:
            stop.set()
            self._reactor.close()
            for thread in threads:
                thread.join()

    def _keep_up(self, stop: threading.Event) -> None:
        """What waits for the disk is kept apart from what keeps deadlines: a disk may hang."""
        while not stop.wait(1.0):
            self._health.look_again()
            try:
                self._objects.index.flush()
            except OSError as error:
                self._health.failed(error)

    def _remove(self, stop: threading.Event, *, janitor: bool) -> None:
        """What no request waits for: removing many files takes long. Only one process needs a janitor."""
        cleaner = Janitor(self._objects, self._multipart.files, now=steady(self._now, time.monotonic))
        due = time.monotonic() if janitor else _FOREVER
        while not stop.wait(_REMOVE_EVERY_SECONDS):
            try:
                self._objects.drop_later()
            except OSError as error:
                self._health.failed(error)
            if time.monotonic() >= due:
                due = time.monotonic() + EVERY_SECONDS
                if removed := cleaner.clean(stop):
                    self._log("store.swept", files=removed)

    async def _accept(self) -> None:
        with contextlib.suppress(ShuttingDown), self._listener:
            await _for_clients()
            while True:
                try:
                    client, _ = self._listener.accept()
                except BlockingIOError:
                    await _for_clients()
                except OSError as error:
                    if error.errno in _LISTENER_IS_BROKEN:
                        raise
                    time.sleep(_SHORT_OF_FILES_SECONDS)  # noqa: ASYNC251 - the backlog waits for a descriptor, and so do we
                else:
                    # One client that cannot be served must not end the loop that lets the others in.
                    with contextlib.suppress(OSError, MemoryError):
                        self._welcome(client)

    def _welcome(self, client: socket.socket) -> None:
        try:
            client.setblocking(False)  # noqa: FBT003 - the library's signature
            if self._reactor.live > self._most_connections:
                self._turn_away(client)
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(client, self._limits)
        except BaseException:
            client.close()
            raise
        self._reactor.spawn(self._sessions.run(connection), client.fileno())

    def _turn_away(self, client: socket.socket) -> None:
        count_refusal(self._meter, SLOW_DOWN.code)
        request_id = secrets.token_hex(8).upper()
        answer = refusal(Refused(SLOW_DOWN), resource="", request_id=request_id)
        with client, contextlib.suppress(OSError):
            client.send(render_head(answer, request_id=request_id, now=self._now(), keep_alive=False) + answer.body)


@contextlib.contextmanager
def _serving_metrics(listener: socket.socket, meters: Meters, directory: Path) -> Iterator[None]:
    # A web server of the library costs memory, which only those pay who want metrics.
    from penstock.store.admin import serving_metrics  # noqa: PLC0415 - see above

    with serving_metrics(listener, meters, directory):
        yield


async def _for_clients() -> None:
    await until_ready(READABLE, _FOREVER, idle=True)


def _claim_little_memory() -> None:
    """Twenty threads would claim 8 MiB of stack and 64 MiB of heap each: unused, but a memory limit counts addresses.

    With the GIL they seldom allocate at the same time, so two heaps do: 0.15 GB instead of 1.2 (only glibc has many).
    """
    threading.stack_size(_STACK_BYTES)
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _reporter(log: Callable[..., None]) -> Callable[[Exception], None]:
    return lambda error: log("store.failed", error=type(error).__name__, where=raised_at(error))


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the data directory's lock. Raises `DirectoryInUseError`."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUseError(f"another store process serves {directory}") from None
        yield
    finally:
        os.close(descriptor)


def _bound(host: str, port: int, *, listening: bool = True, shared: bool = False) -> socket.socket:
    """A socket on an address; a `shared` one lets others of this user have it, too. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if listening:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=shared)
        listener.setblocking(False)  # noqa: FBT003 - the library's signature
        return listener
    with contextlib.ExitStack() as stack:
        keeper = stack.enter_context(socket.socket(family))
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            keeper.setsockopt(socket.SOL_SOCKET, option, 1)
        keeper.bind((host, port))
        stack.pop_all()
    return keeper


def _file_limit() -> int:
    """Open files that the process may have; raised to the hard limit first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft
