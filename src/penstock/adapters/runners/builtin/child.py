"""The child's side of the builtin runner: one request on standard input, JSON lines on standard output, then the end.

Started as `python -I -m penstock.adapters.runners.builtin.child`.
Events: `confined`, `log`, `progress`, and at the end `done` or `failed`. Details for the operator go to standard error.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from penstock.adapters.confinement import Limits, confine_files, confine_process
from penstock.adapters.runners.builtin.faults import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_MEMORY = "this picture needs more memory than a run may use"
NO_ROOM = "the result is larger than a run's files may be"
NOT_INSTALLED = (
    "the builtin models are not installed on this server; its operator can add them: pip install 'penstock[demo]'"
)
BROKE = "the model could not process this picture"
_OPENCV_NO_MEMORY = -4
_PICTURE_THREADS = 4
"""Of the threads that a run may start; the rest are for writing films."""


class Lines:
    """Writes one JSON object per line, at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = -1.0

    def send(self, event: str, **fields: object) -> None:
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")
        self._stream.flush()

    def log(self, message: str, *, level: str = "info") -> None:
        self.send("log", message=message, level=level)

    def progress(self, fraction: float) -> None:
        if fraction - self._shown >= 0.01:  # noqa: PLR2004 - a hundred steps are enough for anybody
            self._shown = fraction
            self.send("progress", fraction=round(fraction, 3))


def main() -> int:
    """Serve one request. 0: it was answered, with `done` or `failed`."""
    request = json.load(sys.stdin)
    lines = Lines(_private_stdout())
    limits = Limits(**request["limits"])
    try:
        confined = confine_process(limits, parent=request["parent"])
        _serve(request, limits, confined, lines)
    except UnusableInputError as error:
        _fail(lines, str(error))
    except MemoryError:
        _fail(lines, NO_MEMORY)
    except OSError as error:
        _fail(lines, NO_ROOM if error.errno == errno.EFBIG else BROKE)
    return 0


def _serve(request: Mapping[str, Any], limits: Limits, confined: dict[str, str], lines: Lines) -> None:
    try:
        import cv2  # noqa: PLC0415 - may be absent, and is not to be loaded before the limits are taken

        from penstock.adapters.runners.builtin import models  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise UnusableInputError(NOT_INSTALLED) from error
    cv2.setNumThreads(min(limits.threads, _PICTURE_THREADS, os.cpu_count() or 1))
    workdir = Path(str(request["workdir"]))
    lines.send("confined", files=confine_files(workdir), **confined)
    model = models.MODELS.get(str(request["model"]))
    if model is None:
        raise UnusableInputError(f"there is no builtin model named {request['model']}")
    inputs = {**request["values"], **{name: Path(path) for name, path in request["files"].items()}}
    try:
        title, extension = model(inputs, workdir / str(request["result"]), lines, max_pixels=limits.pixels)
    except cv2.error as error:
        raise UnusableInputError(NO_MEMORY if error.code == _OPENCV_NO_MEMORY else BROKE) from error
    lines.send("done", title=title, extension=extension)


def _fail(lines: Lines, message: str) -> None:
    traceback.print_exc()
    lines.send("failed", message=message)


def _private_stdout() -> TextIO:
    """The pipe to the parent, out of the way of libraries that print: their words go to standard error."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
