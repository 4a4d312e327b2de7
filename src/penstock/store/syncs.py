"""The one place that calls fsync, so that all of them can be timed.

How long an fsync takes is a fact of the disk and the process, not of a request; so whoever wants to know listens here.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Observer = Callable[[float, str], None]
    """Gets seconds, and `file` or `directory`."""

_observers: list[Observer] = []


def sync(fd: int, of: str) -> None:
    """Make an open file or directory durable. `of` says which it is. Raises `OSError`: then it must not be used."""
    began = time.perf_counter()
    os.fsync(fd)
    for observe in _observers:
        observe(time.perf_counter() - began, of)


@contextlib.contextmanager
def observed(observe: Observer) -> Iterator[None]:
    """Tell of every successful fsync of this process."""
    _observers.append(observe)
    try:
        yield
    finally:
        _observers.remove(observe)
