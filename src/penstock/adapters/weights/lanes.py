"""Work on blocks as they come by, in threads of its own and in order: a lane does its calls one after the other.

Hashes and numpy let go of the interpreter's lock while they work, so lanes share the processor's cores.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_DEPTH = 4
"""Calls that may wait: enough to keep a lane busy, few enough that the blocks they hold stay a few megabytes."""


class Lane:
    """One thread. Its first failure ends its work, and is raised by whatever is asked of it from then on."""

    def __init__(self, name: str) -> None:
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(_DEPTH)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._is_open = True
        self._thread.start()

    def do(self, call: Callable[[], None]) -> None:
        """Have it done after what was asked before; waits while too much is waiting."""
        self._raise()
        self._calls.put(call)

    def drain(self) -> None:
        """Wait until all is done."""
        self._calls.join()
        self._raise()

    def close(self) -> None:
        """End the thread after what it is asked to do; may be repeated."""
        if self._is_open:
            self._is_open = False
            self._calls.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                if self._failure is None:
                    call()
            except BaseException as failure:  # noqa: BLE001 - raised again where somebody can do something about it
                self._failure = failure
            finally:
                del call  # a call holds a block
                self._calls.task_done()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure
