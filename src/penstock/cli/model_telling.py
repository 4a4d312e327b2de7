"""What `penstock models push` tells while it goes on, and what stands when it ends before the model is ready."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.cli.progress import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.cli.progress import Display
    from penstock.client import ModelUpload, PenstockClientError

_WORDS = {
    "validated": "accepted",
    "downloaded": "all bytes are here, and they are what was said",
    "optimized": "laid out for loading",
    "stored": "at rest",
    "ready": "it can be used",
}
"""The phases in their order."""
_STEPS = {"hash": "read", "compare": "compared with what has arrived", "send": "sent"}

_WORTH_TELLING = 0.5
"""Seconds of a pause from which it is told that the server is waited for: what passes sooner is no matter."""


class Telling:
    """Tells on standard error, once: notes, steps, and each phase, also those that passed between two looks."""

    def __init__(self, air: str, name: str, shown: Display, *, quiet: bool) -> None:
        self._air = air
        self._name = name
        self._shown = shown
        self._quiet = quiet
        self._coming = list(_WORDS)
        self._noted = {""}
        self._sending = False
        self._waiting = False
        self._upload: ModelUpload | None = None

    def note(self, words: str) -> None:
        """Something about the model that is not a phase."""
        if words not in self._noted:
            self._shown.say(f"penstock: {self._air}: {words}")
        self._noted.add(words)

    def step(self, step: str, done: int, total: int) -> None:
        """How far the file is, as `push_model` tells it."""
        self._waiting = False
        if step == "follow":
            self.note("a registration of this file is going on already; it is followed")
        elif step == "kept":
            self.note("the model has this file already; nothing is sent")
        elif step == "send" and not self._sending:
            self._sending = True
            self._begun(done, total)
            if done == total:
                return
        if step in _STEPS:
            self._shown.step(f"{self._name}: {_STEPS[step]}", done, total)

    def __call__(self, upload: ModelUpload) -> None:
        """A new look at the registration."""
        self._waiting = False
        self._upload = upload
        if upload.phase == "validated" and upload.size_bytes:
            self._shown.step(f"{self._name}: read by the server", upload.received_bytes, upload.size_bytes)
        while upload.phase in self._coming:
            phase = self._coming.pop(0)
            if not self._quiet:
                self._shown.say(f"{self._air}: {phase}: {_WORDS[phase]}")
            if phase == "ready":
                for warning in upload.warnings:
                    self.note(warning)

    def retried(self, error: PenstockClientError, pause: float) -> None:
        """A request that is repeated after so many seconds: told once, until something goes on."""
        if pause > _WORTH_TELLING and not self._waiting:
            self._waiting = True
            self._shown.say(f"penstock: {error}; trying again for about a minute")

    def standing(self) -> str:
        """What is there of it, and what to do next, when the command ends here."""
        upload = self._upload
        if upload is not None and not upload.finished:
            return f"the server goes on with it ({upload.id}); push it again to follow it"
        if upload is not None and upload.error is not None and self._sending:
            return "the file is kept for a day: when it is pushed again, it is not sent again"
        if self._sending:
            return "what has arrived of a large file is kept for a day; push it again to go on"
        return ""

    def _begun(self, done: int, total: int) -> None:
        if total and done == total:
            self.note("all of the file had arrived already; nothing is sent")
        elif done:
            self.note(f"goes on at {100 * done // total} %: {in_words(done)} of {in_words(total)} had arrived already")


@contextmanager
def told_what_stands(begun: list[Telling]) -> Iterator[None]:
    """Say what stands if the command ends too early."""
    try:
        yield
    except SystemExit as ended:
        standing = begun[-1].standing() if begun and ended.code else ""
        if standing:
            print(f"penstock: {standing}", file=sys.stderr)
        raise
