"""The parent of a server's parts: starts them, restarts what dies, stops them in order. Imports nothing heavy, ever."""

from __future__ import annotations

import errno
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from penstock.cli.children import PYTHON, Child, spawn
from penstock.cli.failures import fail
from penstock.cli.locks import InUseError, take_lock
from penstock.telemetry import Log

_ALL_PARTS = ("api", "worker", "store")  # in the order of stopping
_MIGRATION = "migration"
_START_SECONDS = 60.0  # until all parts are ready for the first time
_RAPID_SECONDS = 10.0  # a part that dies sooner after its start waits longer for the next
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_PATIENCE = {_MIGRATION: 5.0, "api": 10.0, "worker": 20.0, "store": 25.0}  # seconds after the signal, then SIGKILL
_ORPHAN_SECONDS = 30.0  # how long the parts of a supervisor that was killed may take to drain


class StartError(Exception):
    """The server cannot start; the message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the supervisor must know of the settings."""

    data: str
    host: str
    port: int
    store_port: int
    metrics_port: int | None
    embedded_store: bool
    private_networks: str
    dev: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts to serve."""
        return ("store", "worker", "api") if self.embedded_store else ("worker", "api")


def become_supervisor(plan: Plan) -> NoReturn:
    """Replace this process, which had to load the settings and much with them, by a small one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(PYTHON[0], [*PYTHON, "penstock.cli.supervisor", json.dumps(asdict(plan))])  # noqa: S606 - no shell is wanted


def main(arguments: list[str]) -> int:
    """Serve after the plan (JSON) until a signal says stop. The exit status."""
    plan = Plan(**json.loads(arguments[0]))
    signals = Signals()
    try:
        take_lock(Path(plan.data), "serve")
        _await_orphans(Path(plan.data))
        ports = reserve_ports(plan)
    except (InUseError, StartError, OSError) as error:
        fail(error)
    return Supervisor(plan, ports, signals).run()


def _await_orphans(data: Path) -> None:
    """Wait until the parts of a killed supervisor have drained. Raises `InUseError` for a part that is served alone."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    for part in _ALL_PARTS:
        while True:
            try:
                os.close(take_lock(data, part))
                break
            except InUseError as error:
                if not error.supervised or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports to serve on, and the sockets that keep them ours."""

    api: int
    store: int
    reservations: tuple[socket.socket, ...]


def reserve_ports(plan: Plan) -> Ports:
    """Port numbers that nobody else can take until the parts listen on them. Raises `StartError`."""
    wanted = [plan.port, plan.store_port] if plan.embedded_store else [plan.port]
    with ExitStack() as stack:
        reservations = [stack.enter_context(_reserve(plan.host, port)) for port in wanted]
        numbers = [reservation.getsockname()[1] for reservation in reservations]
        kept = sys.platform == "linux"  # elsewhere they would stand in our own listeners' way
        if kept:
            stack.pop_all()
    return Ports(
        api=numbers[0],
        store=numbers[1] if plan.embedded_store else plan.store_port,
        reservations=tuple(reservations) if kept else (),
    )


def _reserve(host: str, port: int) -> socket.socket:
    """A socket bound to the port, not listening.

    On Linux such a socket keeps every other program from being given the port, also while a part is being restarted,
    and yet lets a listener with SO_REUSEADDR, as servers set it, bind beside it (socket(7), SO_REUSEADDR).
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # noqa: TID251 - the operator's own, to listen on
        family, kind, protocol, _, address = found[0]
        with ExitStack() as stack:
            reservation = stack.enter_context(socket.socket(family, kind, protocol))
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.bind(address)
            stack.pop_all()
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise StartError(f"port {port} on {host} {reason}") from error
    return reservation


class Signals:
    """Counts wishes to stop (SIGTERM, SIGINT), and wakes a selector at every signal, a child's end included."""

    def __init__(self) -> None:
        self.stops = 0
        self.name = ""
        self.wake, self._write = socket.socketpair()
        self.wake.setblocking(False)
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the default action would not wake anything
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: object) -> None:
        self.stops += 1
        self.name = signal.Signals(number).name

    def drain(self) -> None:
        """Forget the wake-ups so far."""
        try:
            while self.wake.recv(4096):
                pass
        except BlockingIOError:
            pass


class Supervisor:
    """The loop: wait for a report, a signal or a due restart; act on it."""

    def __init__(self, plan: Plan, ports: Ports, signals: Signals) -> None:
        self._plan = plan
        self._ports = ports
        self._signals = signals
        self._log = Log("supervisor")
        self._children: dict[str, Child] = {}
        self._due: dict[str, float] = {}
        self._rapid_deaths = dict.fromkeys(plan.parts, 0)
        self._addresses: dict[str, str] = {}
        self._served = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals.wake, selectors.EVENT_READ)

    def run(self) -> int:
        """Serve until told to stop, then drain. The exit status."""
        began = time.monotonic()
        if self._plan.private_networks:
            print(f"penstock: callbacks and downloads may reach {self._plan.private_networks}", file=sys.stderr)
        self._children[_MIGRATION] = spawn(_MIGRATION, "penstock", ["migrate", "--data", self._plan.data])
        if self._plan.embedded_store:
            self._due["store"] = began
        status = 0
        try:
            while not self._signals.stops:
                self._start_due_parts()
                self._wait(self._seconds_until_due(began))
                self._look_after_children()
                if not self._served and time.monotonic() > began + _START_SECONDS:
                    missing = [name for name in self._plan.parts if not self._is_ready(name)]
                    raise StartError(f"not ready after {_START_SECONDS:.0f} s: {', '.join(missing)}")  # noqa: TRY301 - the loop's own end
        except StartError as error:
            print(f"penstock: {error}", file=sys.stderr)
            status = 1
        self._drain()
        return status

    def _is_ready(self, name: str) -> bool:
        return name in self._children and self._children[name].ready

    def _start_due_parts(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            del self._due[name]
            self._start(name)

    def _start(self, name: str) -> None:
        flags = {
            "data": self._plan.data,
            "host": self._plan.host,
            "port": self._ports.api,
            "store_port": self._ports.store,
            "store_metrics_port": self._plan.metrics_port,
            "dev": self._plan.dev,
        }
        child = spawn(name, "penstock.cli.serving", [name, json.dumps(flags)], reports=True)
        self._children[name] = child
        self._selector.register(child.report, selectors.EVENT_READ, child)
        self._log("serve.part_started", name=name, pid=child.process.pid)

    def _seconds_until_due(self, began: float) -> float | None:
        moments = list(self._due.values())
        if not self._served:
            moments.append(began + _START_SECONDS)
        return max(0.0, min(moments) - time.monotonic()) + 0.001 if moments else None

    def _wait(self, seconds: float | None) -> None:
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, Child):
                self._take_report(key.data)
        self._signals.drain()

    def _take_report(self, child: Child) -> None:
        self._selector.unregister(child.report)
        line = child.read_report()
        if not line:
            return  # it died; the signal of its end tells
        child.ready = True
        self._addresses = json.loads(line)

    def _look_after_children(self) -> None:
        for child in list(self._children.values()):
            if child.has_ended():
                self._bury(child)
        if self._is_prepared():
            self._due |= {
                name: 0.0 for name in self._plan.parts if name not in self._children and name not in self._due
            }
        if not self._served and all(self._is_ready(name) for name in self._plan.parts):
            self._served = True
            print(f"Penstock is ready: API {self._addresses['api']}, objects {self._addresses['objects']}", flush=True)

    def _is_prepared(self) -> bool:
        """Whether worker and API can start for the first time: the database is up to date, the store answers."""
        store_answers = not self._plan.embedded_store or self._is_ready("store")
        return not self._served and _MIGRATION not in self._children and store_answers

    def _bury(self, child: Child) -> None:
        code = child.process.returncode
        if child.report >= 0 and child.name != _MIGRATION:
            self._selector.unregister(child.report)
        child.close()
        del self._children[child.name]
        if child.name == _MIGRATION:
            if code != 0:
                raise StartError("the database could not be brought up to date")
            return
        self._log("serve.part_died", name=child.name, code=code)
        if not self._served and code >= 0:
            raise StartError(f"the {child.name} ended with status {code} instead of starting")
        lived = time.monotonic() - child.started
        deaths = self._rapid_deaths[child.name] + 1 if lived < _RAPID_SECONDS else 0
        self._rapid_deaths[child.name] = deaths
        pause = min(_FIRST_PAUSE * 2 ** (deaths - 1), _LONGEST_PAUSE) if deaths else 0.0
        self._due[child.name] = time.monotonic() + pause

    def _drain(self) -> None:
        """Stop the parts one after another, the API first, so that what is under way still finds what it needs."""
        if self._signals.name:
            self._log("serve.draining", signal=self._signals.name)
        began = time.monotonic()
        for name in (_MIGRATION, *_ALL_PARTS):
            child = self._children.pop(name, None)
            if child is None:
                continue
            if not child.has_ended():
                child.process.terminate()
            deadline = began + _PATIENCE[name]
            while not child.has_ended():
                left = deadline - time.monotonic()
                if left <= 0 or self._signals.stops > 1:  # a second signal: at once
                    child.kill()
                    child.process.wait()
                    break
                self._wait_for_signal(left)
            child.close()

    def _wait_for_signal(self, seconds: float) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._signals.wake, selectors.EVENT_READ)
        selector.select(seconds)
        selector.close()
        self._signals.drain()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
