"""A prediction's log, which always comes as a whole: told line by line and once, with the progress that it shows."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.ports.runners import RunContext

_LINE_CHARACTERS = 500
_PERCENT = re.compile(r"(\d{1,3})%\|")
"""The bars that tqdm draws, which is how models tell how far they are."""


class Words:
    """What one prediction says. Usable from several threads."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._told = 0

    def hear(self, logs: str, *, ended: bool = False) -> None:
        """The whole log so far; what is new in it is passed on, its last line when that is whole or all has `ended`."""
        with self._lock:
            new = logs[self._told :]
            whole = new if ended else new[: new.rfind("\n") + 1]
            self._told += len(whole)
            percents = _PERCENT.findall(new)
            for line in whole.splitlines():
                shown = printable(line)
                if shown.strip() and not _PERCENT.search(shown):
                    self._context.log(shown)
        if percents:
            self._context.progress(min(1.0, int(percents[-1]) / 100))


def printable(text: str) -> str:
    """A foreign text cut to size, without control characters."""
    return "".join(letter for letter in text[:_LINE_CHARACTERS] if letter.isprintable())
