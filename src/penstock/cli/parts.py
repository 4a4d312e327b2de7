"""One part of the server in this process: its lock, its signals, and its life line to the supervisor."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from penstock.cli.failures import clear_failures
from penstock.cli.locks import InUseError, take_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.settings import Settings

_DRAIN_SECONDS = 26.0
"""A part that has not drained by then ends anyway: the whole server promises 30 s."""


def serve_part(name: str, settings: Settings, *, ready_fd: int | None) -> None:
    """Serve the part until SIGTERM, SIGINT or, with `ready_fd`, the end of standard input.

    `ready_fd` means that a supervisor started us: it is told there when requests can be served, and its death closes
    our standard input, so that no part outlives it.
    """
    from penstock import app

    stop = threading.Event()
    serve: Callable[..., None] = {"api": app.serve_api, "store": app.serve_store, "worker": app.serve_worker}[name]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if ready_fd is not None:
        os.set_inheritable(ready_fd, False)
        _stop_at_end_of(_take_over_stdin(), stop)
    _leave_in_time(stop)

    with clear_failures(app.PenstockError, InUseError):
        take_lock(settings.data, name, supervised=ready_fd is not None)
        _serve_beside(lambda: serve(settings, ready=lambda: _announce(name, settings, ready_fd), stop=stop))


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


def _announce(name: str, settings: Settings, ready_fd: int | None) -> None:
    addresses = {"api": settings.api_address, "objects": settings.store_public_address}
    if ready_fd is None:
        listening = addresses.get({"api": "api", "store": "objects"}.get(name, ""), "")
        print(f"Penstock is ready ({name}){listening and ': '}{listening}", flush=True)
        return
    os.write(ready_fd, json.dumps(addresses).encode() + b"\n")
    os.close(ready_fd)


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
