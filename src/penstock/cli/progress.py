"""How far a long command is, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

_LARGE = 64 * 2**20
"""Bytes from which lines tell how far it is; what is smaller is done before it can be read."""
_STEPS = 10
"""So many lines for a whole file."""


class Display(Protocol):
    """Where a command tells how far it is. Called from several threads, one at a time."""

    def step(self, words: str, done: int, total: int) -> None:
        """So many bytes of a step, which is named by what it does to a file."""
        ...

    def say(self, line: str) -> None:
        """Something to be read, between the steps."""
        ...


@contextmanager
def display(*, silent: bool = False) -> Iterator[Display]:
    """A bar on a terminal, lines elsewhere. `silent`: what is said, but not the steps."""
    if silent or not sys.stderr.isatty():
        yield _Lines(silent=silent)
        return

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress)


def in_words(size: int) -> str:
    """A size as people say it, such as `24.1 GB`."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004 - kilo
            return f"{amount:.3g} {unit}" if unit != "bytes" else f"{size} bytes"
        amount /= 1000
    return f"{amount:.3g} TB"


class _Bars:
    """A bar for the step that goes on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._words = ""
        self._task: TaskID | None = None

    def step(self, words: str, done: int, total: int) -> None:
        if words != self._words:
            self._clear()
            self._words = words
            self._task = self._progress.add_task(words, total=total, completed=done)
        if self._task is None:
            return
        self._progress.update(self._task, completed=done, total=total)
        if done >= total:
            self._clear()

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None


class _Lines:
    """A line whenever one more tenth of a large file is done."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._told: dict[str, int] = {}

    def step(self, words: str, done: int, total: int) -> None:
        tenth = done * _STEPS // total if total else 0
        if self._silent or total < _LARGE or tenth <= self._told.get(words, 0):
            return
        self._told[words] = tenth
        self.say(f"penstock: {words}: {100 * done // total} % of {in_words(total)}")

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
