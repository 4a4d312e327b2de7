"""The parent's side: a bounded pool of children, each asked one file at a time, ended when it must end.

A child that died under a file without a clear reason gets a fresh successor, once: it may have been the system that
killed it, or what earlier files had left in it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.adapters.children.messages import NoMessageError
from penstock.adapters.children.process import LOOK_SECONDS, Child, ChildProgram, DiedError, TooLongError
from penstock.ports.jobs import AttemptInterruptedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from penstock.telemetry import Log

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How many children there are at most, how long one may look into a file, how many files it sees in its life."""

    children: int = 2
    seconds: float = 30.0
    files_per_child: int = 500
    memory_bytes: int = 1 << 30


class Failure(Enum):
    """How a file ended children: it took too long, the system killed them, or they broke."""

    TIME = auto()
    KILLED = auto()
    BREAKS = auto()


class ChildFailedError(Exception):
    """No child lived to answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


class NoChildError(Exception):
    """No child could be started."""


class ChildPool:
    """Safe to call from several threads."""

    def __init__(self, program: ChildProgram, log: Log, options: PoolOptions) -> None:
        self._program = program
        self._log = log
        self._options = options
        self._places = threading.BoundedSemaphore(options.children)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._walls: Mapping[str, str] = {}
        # A child dies with the thread that started it (PR_SET_PDEATHSIG), so one that stays starts them all.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix=f"{program.name}-starter")

    def warm_up(self) -> None:
        """Have a first child started, which tells the log how it is confined. Does not wait."""
        self._starter.submit(self._start_idle)

    def ask(
        self,
        request: Mapping[str, object],
        descriptor: int,
        read: Callable[[dict[str, Any], bytes], T],
        *,
        cancelled: Callable[[], bool],
    ) -> T:
        """What `read` makes of a child's answer about the file; it may raise `NoMessageError` for nonsense.

        Raises `ChildFailedError`, `NoChildError`, and `AttemptInterruptedError` soon after `cancelled` says so, or when
        the server is being stopped.
        """
        while not self._places.acquire(timeout=LOOK_SECONDS):
            if cancelled():
                raise AttemptInterruptedError
        try:
            return self._ask(request, descriptor, read, cancelled)
        finally:
            self._places.release()

    def processes(self) -> list[int]:
        """The children that wait for a file, by their process ids."""
        with self._lock:
            return [child.pid for child in self._idle]

    def walls(self) -> Mapping[str, str]:
        """How the newest child is confined, in words; nothing before there was one."""
        with self._lock:
            return self._walls

    def close(self) -> None:
        """End all children. Files that are being looked into end as interrupted."""
        self._starter.shutdown(wait=True)
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def _ask(
        self,
        request: Mapping[str, object],
        descriptor: int,
        read: Callable[[dict[str, Any], bytes], T],
        cancelled: Callable[[], bool],
    ) -> T:
        failure = Failure.BREAKS
        for attempt in range(2):
            child = self._child(fresh=attempt > 0)
            keep = False
            try:
                with _opened_anew(descriptor) as file:
                    said = child.ask(request, file, seconds=self._options.seconds, cancelled=cancelled)
                answer = read(*said)
                if child.exhausted and child.files > 1:
                    continue
                keep = child.files < self._options.files_per_child and child.healthy and not child.exhausted
                return answer
            except TooLongError:
                raise ChildFailedError(Failure.TIME) from None
            except (DiedError, NoMessageError):
                code = child.end()
                self._log(f"{self._program.name}.child_ended", code=code, files=child.files)
                if code == -signal.SIGTERM:  # whoever stops the server may tell all its processes at once
                    raise AttemptInterruptedError from None
                if code == -signal.SIGXCPU and attempt:
                    raise ChildFailedError(Failure.TIME) from None
                failure = Failure.KILLED if code == -signal.SIGKILL else Failure.BREAKS
            finally:
                self._put_back(child, keep=keep)
        raise ChildFailedError(failure)

    def _child(self, *, fresh: bool) -> Child:
        with self._lock:
            if self._idle and not fresh:
                return self._idle.pop()
        try:
            return self._starter.submit(self._start).result()
        except RuntimeError as error:  # the pool is closed
            raise AttemptInterruptedError from error

    def _put_back(self, child: Child, *, keep: bool) -> None:
        if not keep:
            child.end()
            return
        with self._lock:
            self._idle.append(child)
            surplus = self._idle.pop(0) if len(self._idle) > self._options.children else None
        if surplus is not None:
            surplus.end()

    def _start_idle(self) -> None:
        with contextlib.suppress(NoChildError):  # the first file will meet the same, and say so
            child = self._start()
            with self._lock:
                self._idle.append(child)

    def _start(self) -> Child:
        try:
            child = Child(self._program, memory_bytes=self._options.memory_bytes)
        except (OSError, DiedError, TooLongError) as error:
            raise NoChildError from error
        with self._lock:
            first, self._walls = not self._walls, child.isolation
        if first:
            self._log(f"{self._program.name}.isolation", **child.isolation)
        return child


@contextlib.contextmanager
def _opened_anew(descriptor: int) -> Iterator[int]:
    """Read-only, whatever the caller's own may do, and at the file's beginning: its place is shared with the child."""
    opened = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)
