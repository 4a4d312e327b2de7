"""Many connections on few threads: each connection is one coroutine that runs until it must wait for its socket.

A waiting connection costs an epoll entry and no thread (F10). All worker threads wait on the same epoll set; whichever
wakes runs the coroutine on, so there is no hand-over. Disk calls simply block their thread. No asyncio.
"""

from __future__ import annotations

import os
import select
import threading
import time
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT


class DeadlinePassed(Exception):
    """Thrown into a coroutine whose wait lasted too long."""


class ShuttingDown(Exception):
    """Thrown into a coroutine that waits for work while the process wants to end."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a coroutine waits for. An `idle` one has no work in hand and may be ended by a shutdown."""

    interest: int
    deadline: float
    idle: bool


@types.coroutine
def ready(interest: int, deadline: float, *, idle: bool = False) -> Generator[Wait, None, None]:
    """Let other connections run until this one's socket is ready. It may wake for nothing: try, and wait again.

    `deadline` is a `time.monotonic` value, kept to about a second. Raises `DeadlinePassed`, and `ShuttingDown` if idle.
    """
    yield Wait(interest, deadline, idle)


class _Task:
    __slots__ = ("coroutine", "deadline", "fd", "idle", "registered")

    def __init__(self, coroutine: Coroutine[Wait, None, None], fd: int) -> None:
        self.coroutine = coroutine
        self.fd = fd
        self.registered = False
        self.deadline = 0.0
        self.idle = False


class Reactor:
    """Runs coroutines, one per file descriptor. `on_error` hears of an exception that a coroutine let out."""

    def __init__(self, *, threads: int, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._parked: dict[int, _Task] = {}
        self._lock = threading.Lock()
        self._live = 0
        self._stopping = False
        self._finished = threading.Condition(self._lock)
        self.draining = False
        self._threads = [threading.Thread(target=self._work, name=f"store-{n}", daemon=True) for n in range(threads)]

    @property
    def live(self) -> int:
        """How many coroutines have not ended."""
        return self._live

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def spawn(self, coroutine: Coroutine[Wait, None, None], fd: int) -> None:
        """Run a coroutine, at once until it waits for the first time. It owns `fd` and closes it at its end."""
        with self._lock:
            self._live += 1
        self._run(_Task(coroutine, fd))

    def expire(self) -> None:
        """Wake the coroutines whose deadline has passed. To be called about once a second."""
        now = time.monotonic()
        self._throw(lambda task: task.deadline <= now, DeadlinePassed)

    def drain(self, *, seconds: float) -> bool:
        """Begin nothing new and wait for what is under way. Whether everything ended in time."""
        deadline = time.monotonic() + seconds
        self.draining = True
        while (now := time.monotonic()) < deadline:
            self._throw(lambda task: task.idle, ShuttingDown)
            self.expire()
            with self._finished:
                if self._finished.wait_for(lambda: not self._live, timeout=min(0.2, deadline - now)):
                    return True
        return False

    def close(self) -> None:
        """End the threads and whatever is still waiting."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        for thread in self._threads:
            thread.join(timeout=5)
        for task in list(self._parked.values()):
            task.coroutine.close()
        self._epoll.close()
        os.close(self._wake)

    def _work(self) -> None:
        while not self._stopping:
            for fd, _ in self._epoll.poll(-1, 1):
                with self._lock:
                    task = self._parked.pop(fd, None)
                if task is not None:
                    self._run(task)

    def _throw(self, chosen: Callable[[_Task], bool], error: type[Exception]) -> None:
        with self._lock:
            tasks = [task for task in self._parked.values() if chosen(task)]
            for task in tasks:
                del self._parked[task.fd]
        for task in tasks:
            self._run(task, error())

    def _run(self, task: _Task, error: Exception | None = None) -> None:
        try:
            wait = task.coroutine.send(None) if error is None else task.coroutine.throw(error)
        except StopIteration:
            self._end()
        except Exception as failure:  # noqa: BLE001 - one connection's failure must not end the thread of all
            self._end()
            self._on_error(failure)
        else:
            try:
                self._park(task, wait)
            except OSError as failure:  # the kernel has no room for one more, or cannot wait for such a file
                task.coroutine.close()
                self._end()
                self._on_error(failure)

    def _end(self) -> None:
        with self._finished:
            self._live -= 1
            self._finished.notify_all()

    def _park(self, task: _Task, wait: Wait) -> None:
        events = wait.interest | select.EPOLLONESHOT
        task.deadline = wait.deadline
        task.idle = wait.idle
        # Under the lock, because from the moment of arming another thread may run the coroutine and close the socket.
        with self._lock:
            if task.registered:
                self._epoll.modify(task.fd, events)
            else:
                self._epoll.register(task.fd, events)
                task.registered = True
            self._parked[task.fd] = task
