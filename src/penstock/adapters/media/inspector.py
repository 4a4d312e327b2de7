"""The parent's side: a bounded pool of children, each asked one file at a time, ended when it must end.

Imports no image library. A child that died under a file without a clear reason gets a fresh successor, once: it may
have been the system that killed it, or what earlier files had left in it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.adapters.media import wire
from penstock.adapters.media.faults import BREAKS, NO_MEMORY, TOO_LONG
from penstock.adapters.media.wire import NoMessageError
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.media import Inspection, InspectorUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.ports.media import MediaFile
    from penstock.telemetry import Log

_CHILD = "penstock.adapters.media.child"
_LOOK_SECONDS = 0.05
_START_SECONDS = 60.0
_CHUNK_BYTES = 65_536
_ISOLATION = ("network", "files", "calls", "limits", "parent", "films")


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorOptions:
    """How many children there are at most, how long one may look into a file, how many files it sees in its life."""

    children: int = 2
    seconds: float = 30.0
    files_per_child: int = 500
    memory_bytes: int = 1 << 30
    pixels: int = 100_000_000


class _TooLongError(Exception):
    """The time for one file is over."""


class _DiedError(Exception):
    """The child is gone, or talks nonsense."""


class ChildInspector:
    """Implements `ports.media.MediaInspector`."""

    def __init__(self, log: Log, *, options: InspectorOptions | None = None, python: str = sys.executable) -> None:
        self._log = log
        self._options = options or InspectorOptions()
        self._python = python
        self._places = threading.BoundedSemaphore(self._options.children)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._reported = False
        # A child dies with the thread that started it (PR_SET_PDEATHSIG), so one that stays starts them all.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="media-starter")

    def warm_up(self) -> None:
        """Have a first child started, which tells the log how it is confined. Does not wait."""
        self._starter.submit(self._start_idle)

    def inspect(self, file: MediaFile, *, want_thumbnail: bool, cancelled: Callable[[], bool]) -> Inspection:
        """As the port says."""
        request = {
            "content_type": file.content_type,
            "size": file.size,
            "complete": file.complete,
            "thumbnail": want_thumbnail,
        }
        while not self._places.acquire(timeout=_LOOK_SECONDS):
            if cancelled():
                raise AttemptInterruptedError
        try:
            # Read-only, whatever the caller's own descriptor may do.
            descriptor = os.open(f"/proc/self/fd/{file.bytes.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return self._inspect(request, descriptor, cancelled)
            finally:
                os.close(descriptor)
        finally:
            self._places.release()

    def processes(self) -> list[int]:
        """The children that wait for a file, by their process ids."""
        with self._lock:
            return [child.pid for child in self._idle]

    def close(self) -> None:
        """End all children. Files that are being looked into end as interrupted."""
        self._starter.shutdown(wait=True)
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def _inspect(self, request: dict[str, object], descriptor: int, cancelled: Callable[[], bool]) -> Inspection:
        problem = BREAKS
        for attempt in range(2):
            child = self._child(fresh=attempt > 0)
            keep = False
            try:
                seen = child.ask(request, descriptor, seconds=self._options.seconds, cancelled=cancelled)
                keep = child.files < self._options.files_per_child and child.healthy
                if seen.problem != NO_MEMORY or child.files == 1:
                    return seen
                keep, problem = False, NO_MEMORY
            except _TooLongError:
                return Inspection(problem=TOO_LONG)
            except _DiedError:
                code = child.end()
                self._log("media.child_ended", code=code, files=child.files)
                if code == -signal.SIGTERM:  # whoever stops the server may tell all its processes at once
                    raise AttemptInterruptedError from None
                if code == -signal.SIGXCPU and attempt:
                    return Inspection(problem=TOO_LONG)
                problem = NO_MEMORY if code == -signal.SIGKILL else BREAKS
            finally:
                self._put_back(child, keep=keep)
        return Inspection(problem=problem)

    def _child(self, *, fresh: bool) -> _Child:
        with self._lock:
            if self._idle and not fresh:
                return self._idle.pop()
        try:
            return self._starter.submit(self._start).result()
        except RuntimeError as error:  # the pool is closed
            raise AttemptInterruptedError from error

    def _put_back(self, child: _Child, *, keep: bool) -> None:
        if not keep:
            child.end()
            return
        with self._lock:
            self._idle.append(child)
            surplus = self._idle.pop(0) if len(self._idle) > self._options.children else None
        if surplus is not None:
            surplus.end()

    def _start_idle(self) -> None:
        with contextlib.suppress(InspectorUnavailableError):  # the first file will meet the same, and say so
            child = self._start()
            with self._lock:
                self._idle.append(child)

    def _start(self) -> _Child:
        try:
            child = _Child(self._python, self._options)
        except (OSError, _DiedError, _TooLongError) as error:
            msg = "no decoder process could be started"
            raise InspectorUnavailableError(msg) from error
        with self._lock:
            report, self._reported = not self._reported, True
        if report:
            self._log("media.isolation", **child.isolation)
        return child


class _Child:
    """One process. Used by one thread at a time."""

    def __init__(self, python: str, options: InspectorOptions) -> None:
        self.files = 0
        self.healthy = True
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = subprocess.Popen(
                [python, "-I", "-X", "utf8", "-m", _CHILD, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C at the terminal is for the server, which ends its work in order
            )
        self._socket.settimeout(_START_SECONDS)
        try:
            self._socket.sendall(wire.encode({"memory_bytes": options.memory_bytes, "pixels": options.pixels}))
            message, _ = self._receive(time.monotonic() + _START_SECONDS, lambda: False)
            self.isolation = wire.words(message, *_ISOLATION)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def ask(
        self, request: dict[str, object], descriptor: int, *, seconds: float, cancelled: Callable[[], bool]
    ) -> Inspection:
        """What it sees. Raises `_TooLongError`, `_DiedError`, `AttemptInterruptedError`; it is of no use after that."""
        self.files += 1
        try:
            socket.send_fds(self._socket, [wire.encode(request)], [descriptor])
        except OSError as error:
            raise _DiedError from error
        message, data = self._receive(time.monotonic() + seconds, cancelled)
        try:
            seen = wire.parse_answer(message, data)
        except NoMessageError as error:
            raise _DiedError from error
        self.healthy = message.get("healthy") is True
        return seen

    def end(self) -> int:
        """Kill and reap it; the code is what it ended with, if it had ended by itself. Idempotent."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._socket.fileno() < 0 or self._has_hung_up():
                self._process.wait(1)  # it closed its end: it is on its way out, and how it goes is worth knowing
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._socket.close()
        return self._process.wait()

    def _has_hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return any(mask & select.POLLHUP for _, mask in poll.poll(0))

    def _receive(self, deadline: float, cancelled: Callable[[], bool]) -> tuple[dict[str, object], bytes]:
        try:
            text, data = wire.lengths(self._exactly(wire.HEAD.size, deadline, cancelled))
            return wire.decode(self._exactly(text, deadline, cancelled)), self._exactly(data, deadline, cancelled)
        except (NoMessageError, OSError) as error:
            raise _DiedError from error

    def _exactly(self, count: int, deadline: float, cancelled: Callable[[], bool]) -> bytes:
        poll = select.poll()  # not `select`: a busy server's descriptors have high numbers
        poll.register(self._socket, select.POLLIN)
        received = bytearray()
        while len(received) < count:
            comes = poll.poll(_LOOK_SECONDS * 1000)
            if time.monotonic() > deadline:  # also when it only drips
                raise _TooLongError
            if not comes:
                if cancelled():
                    raise AttemptInterruptedError
                continue
            chunk = self._socket.recv(min(_CHUNK_BYTES, count - len(received)))
            if not chunk:
                raise _DiedError
            received += chunk
        return bytes(received)
