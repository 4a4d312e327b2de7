"""Several processes in the place of one: forked, replaced when they die, stopped together.

The parent does nothing else, so it is never in the middle of something when it forks again.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[int, bool, Callable[[], None], threading.Event], None]
    """Gets a number, whether it takes the place of one that died, whom to tell that it serves, and when to stop."""

_LOOK_SECONDS = 0.2
_PAUSE_SECONDS = 1.0
"""Between the death of a process that lived no longer and its successor."""


class Fleet:
    """`count` processes with numbers from 0. Ends them all when the process that made them is gone, however it went."""

    def __init__(self, count: int, work: Work, *, patience: float, log: Callable[..., None]) -> None:
        self._work = work
        self._patience = patience
        self._log = log
        self._pids: dict[int, int] = {}
        self._due = dict.fromkeys(range(count), 0.0)
        self._started: dict[int, float] = {}
        self._life_line = os.pipe()
        self._reports = os.pipe()

    def run(self, ready: Callable[[], None], stop: threading.Event) -> None:
        """Serve until `stop` is set. `ready` is called when all serve. Raises `ChildProcessError` if they cannot."""
        gc.collect()
        gc.freeze()  # what there is already need not be copied by those who only look through it
        try:
            self._start_due(heir=False)
            if self._all_report(stop):
                ready()
            while not stop.wait(_LOOK_SECONDS):
                self._bury()
                self._start_due(heir=True)
        finally:
            self._end()

    def _start_due(self, *, heir: bool) -> None:
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            del self._due[number]
            self._started[number] = now
            pid = os.fork()
            if not pid:
                self._live(number, heir=heir)
            self._pids[number] = pid

    def _live(self, number: int, *, heir: bool) -> NoReturn:
        """All that a child does. It never returns into what its parent was doing."""
        status = 1
        try:
            os.close(self._life_line[1])
            stop = threading.Event()
            signal.signal(signal.SIGTERM, lambda *_: stop.set())
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C the parent tells us
            threading.Thread(target=self._watch, args=(stop,), name="life-line", daemon=True).start()
            self._work(number, heir, self._report, stop)
            status = 0
        except BaseException:  # noqa: BLE001 - the last frame of the process
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)

    def _watch(self, stop: threading.Event) -> None:
        os.read(self._life_line[0], 1)
        stop.set()

    def _report(self) -> None:
        os.write(self._reports[1], b".")

    def _all_report(self, stop: threading.Event) -> bool:
        """Wait until all serve; False when `stop` was set first."""
        missing = len(self._pids)
        while missing:
            if stop.is_set():
                return False
            if select.select([self._reports[0]], [], [], _LOOK_SECONDS)[0]:
                missing -= len(os.read(self._reports[0], missing))
            self._bury()
            if self._due:
                raise ChildProcessError("a process of the store ended while it started")
        return True

    def _bury(self) -> None:
        for number, pid in list(self._pids.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                del self._pids[number]
                now = time.monotonic()
                self._due[number] = now + (_PAUSE_SECONDS if now - self._started[number] < _PAUSE_SECONDS else 0)
                self._log("store.process_died", number=number, code=os.waitstatus_to_exitcode(status))

    def _end(self) -> None:
        for end in self._life_line:
            os.close(end)
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._patience
        while self._pids and time.monotonic() < deadline:
            self._reap(os.WNOHANG)
            time.sleep(0.01)
        self._signal(signal.SIGKILL)
        self._reap(0)
        for end in self._reports:
            os.close(end)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids.values():  # not waited for yet, so the number is still its own
            os.kill(pid, number)

    def _reap(self, options: int) -> None:
        for number, pid in list(self._pids.items()):
            if os.waitpid(pid, options)[0]:
                del self._pids[number]
