"""The life of one part of the server: its lock, its signals, and its life line to the supervisor. Nothing heavy."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from penstock.cli.failures import clear_failures
from penstock.cli.locks import InUseError, take_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DRAIN_SECONDS = 26.0
"""A part that has not drained by then ends anyway: the whole server promises 30 s."""


class Serve(Protocol):
    """Serves until `stop` is set; calls `ready` when it does. Blocks."""

    def __call__(self, *, ready: Callable[[], None], stop: threading.Event) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the server on the directory `data`; `addresses` is what it tells when it is ready.

    `ready_fd` means that a supervisor started it: it is told there when requests can be served, and its death closes
    our standard input, so that no part outlives it.
    """

    name: str
    data: str
    addresses: Mapping[str, str]
    ready_fd: int | None


def live(part: Part, serve: Serve) -> None:
    """Serve the part until SIGTERM, SIGINT or, under a supervisor, the end of standard input."""
    from penstock import app

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if part.ready_fd is not None:
        os.set_inheritable(part.ready_fd, False)
        _stop_at_end_of(_take_over_stdin(), stop)
    _leave_in_time(stop)

    def ready() -> None:
        _give_memory_back()
        _announce(part)

    with clear_failures(app.PenstockError, InUseError):
        take_lock(Path(part.data), part.name, supervised=part.ready_fd is not None)
        _serve_beside(lambda: serve(ready=ready, stop=stop))


def _serve_beside(serve: Callable[[], None]) -> None:
    """Run `serve` in a thread, so that no library in it takes the signals over, and raise here what it raised."""
    failures: list[BaseException] = []

    def call() -> None:
        try:
            serve()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the main thread
            failures.append(error)

    thread = threading.Thread(target=call, name="part")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _give_memory_back() -> None:
    """What the start alone needed, to the system: glibc would keep it (4 MB); others have no such function."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _announce(part: Part) -> None:
    if part.ready_fd is None:
        listening = part.addresses.get({"api": "api", "store": "objects"}.get(part.name, ""), "")
        print(f"Penstock is ready ({part.name}){listening and ': '}{listening}", flush=True)
        return
    os.write(part.ready_fd, json.dumps(dict(part.addresses)).encode() + b"\n")
    os.close(part.ready_fd)


def _take_over_stdin() -> int:
    """Our own descriptor for the life line; standard input becomes empty, for ourselves and for children."""
    line = os.dup(sys.stdin.fileno())
    with open(os.devnull) as nothing:  # noqa: PTH123 - a device, for its descriptor alone
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    return line


def _stop_at_end_of(line: int, stop: threading.Event) -> None:
    def watch() -> None:
        while os.read(line, 64):
            pass
        stop.set()

    threading.Thread(target=watch, name="life-line", daemon=True).start()


def _leave_in_time(stop: threading.Event) -> None:
    def watch() -> None:
        stop.wait()
        timer = threading.Timer(_DRAIN_SECONDS, lambda: os._exit(1))
        timer.daemon = True
        timer.start()

    threading.Thread(target=watch, name="drain-limit", daemon=True).start()
