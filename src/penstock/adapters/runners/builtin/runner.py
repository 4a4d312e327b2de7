"""The parent's side: start a child, pass its words on, end it when it must end. Imports no image library.

The child is not trusted once it reads a picture: what it says is checked and cut to size before it goes anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import stat
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from penstock.adapters.confinement import Limits
from penstock.adapters.runners.builtin.weights import told
from penstock.domain.errors import RunnerFailed
from penstock.ports.jobs import AttemptInterruptedError
from penstock.ports.runners import FileInput, OutputFile, RunCancelledError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from penstock.ports.runners import JsonLike, RunContext
    from penstock.telemetry import Log

_CHILD = "penstock.adapters.runners.builtin.child"
_LOOK_SECONDS = 0.05
_LINE_BYTES = 16_384
_MESSAGE_CHARACTERS = 500
_LAST_WORDS_BYTES = 2000
_CONTENT_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "webm": "video/webm",
}
_TITLE = re.compile(r"[a-z][a-z-]{0,39}")
_RESULT = "result"
# Nothing of ours: no credentials, no proxies. OpenBLAS and malloc would reserve address space per core.
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "OPENCV_OPENCL_RUNTIME": "disabled",
    # A film names no other file or server to open (S13).
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file|format_whitelist;mov,mp4,m4a,3gp,3g2,mj2,matroska,webm",
}


LIMITS = Limits(cpu_seconds=300, wall_seconds=600.0, threads=8)
"""A film of ten seconds is made of 240 pictures; OpenCV alone writes five of them a second."""


class ChildEndedError(Exception):
    """What the operator gets to see of a child that ended without an answer; the cause of a `RunnerFailed`."""


class BuiltinRunner:
    """Runs the models that `models.py` lists, each run in a confined process of its own."""

    def __init__(self, log: Log, *, limits: Limits | None = None, python: str = sys.executable) -> None:
        self._log = log
        self._limits = limits or LIMITS
        self._python = python
        self._confinement_is_known = False

    def run(self, model: str, inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        """The output `{"image": OutputFile}`, or `{"video": OutputFile}` of a model that makes films.

        Raises `RunnerFailed` (the input is unusable, the child crashed, or a limit was reached; the operator's details
        are its cause), `RunCancelledError`, `AttemptInterruptedError`, and what `context.fetch` and `told` raise.
        """
        if context.cancelled():
            raise RunCancelledError
        request = {
            "model": model,
            "values": {
                name: told(value, context) for name, value in inputs.items() if not isinstance(value, FileInput)
            },
            "files": {name: str(context.fetch(file)) for name, file in inputs.items() if isinstance(file, FileInput)},
            "workdir": str(context.workdir),
            "result": _RESULT,
            "limits": asdict(self._limits),
            "parent": os.getpid(),
        }
        with _child(self._python, request, context.workdir) as child:
            return self._listen(child, context)

    def _listen(self, child: subprocess.Popen[bytes], context: RunContext) -> JsonLike:
        deadline = time.monotonic() + self._limits.wall_seconds
        for line in _lines(_pipe(child)):
            if context.cancelled():
                raise RunCancelledError
            if time.monotonic() > deadline:
                msg = f"the run took longer than {self._limits.wall_seconds:g} s"
                raise RunnerFailed(msg)
            if line is None:
                continue
            message = _parsed(line)
            match message.get("event"):
                case "progress":
                    context.progress(_fraction(message.get("fraction")))
                case "log":
                    level = "warning" if message.get("level") == "warning" else "info"
                    context.log(_text(message.get("message")), level=level)
                case "confined":
                    self._report(message)
                case "failed":
                    raise RunnerFailed(_text(message.get("message"))) from ChildEndedError(_last_words(context.workdir))
                case "done":
                    made = _output(context.workdir / _RESULT, message)
                    return {made.content_type.partition("/")[0]: made}
                case _:
                    raise RunnerFailed(_BROKEN) from ChildEndedError("the child sent something that is no message")
        raise _ended(child, context.workdir)

    def _report(self, message: Mapping[str, object]) -> None:
        if not self._confinement_is_known:
            self._confinement_is_known = True
            words = {name: _text(message.get(name)) for name in ("network", "files", "limits", "parent")}
            self._log("runner.isolation", **words)


_BROKEN = "the model stopped without an answer; the picture may be damaged in a way that it cannot handle"


@contextlib.contextmanager
def _child(python: str, request: Mapping[str, object], workdir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child that has its request; killed and reaped on the way out, whatever happened."""
    request_file = workdir / "request.json"
    request_file.write_text(json.dumps(request), encoding="utf-8")
    with request_file.open("rb") as standard_input, _errors(workdir).open("wb") as standard_error:
        child = subprocess.Popen(
            [python, "-I", "-m", _CHILD],
            stdin=standard_input,
            stdout=subprocess.PIPE,
            stderr=standard_error,
            env={**_ENVIRONMENT, "TMPDIR": str(workdir)},
            cwd=workdir,
            start_new_session=True,  # Ctrl-C at the terminal is for the server, which ends its runs in order
        )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # its own group, so also what it may have started
        child.wait()
        _pipe(child).close()


def _pipe(child: subprocess.Popen[bytes]) -> IO[bytes]:
    pipe = child.stdout
    if pipe is None:
        msg = "the child was started without a pipe"
        raise RuntimeError(msg)
    return pipe


def _errors(workdir: Path) -> Path:
    return workdir / "errors.txt"


def _lines(pipe: IO[bytes]) -> Iterator[bytes | None]:
    """Each line as it comes, and None at least every `_LOOK_SECONDS`, until the other end is closed."""
    descriptor = pipe.fileno()
    os.set_blocking(descriptor, False)
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(_LOOK_SECONDS):
                yield None
                continue
            chunk = os.read(descriptor, 65_536)
            if not chunk:
                return
            *complete, pending = (pending + chunk).split(b"\n")
            yield from complete
            if len(pending) > _LINE_BYTES:
                yield pending
                return


def _parsed(line: bytes) -> dict[str, object]:
    try:
        message = json.loads(line) if len(line) <= _LINE_BYTES else None
    except ValueError:
        message = None
    return message if isinstance(message, dict) else {}


def _output(path: Path, message: Mapping[str, object]) -> OutputFile:
    """The result, if it is a plain file of a known type (a link could point anywhere)."""
    extension, title = str(message.get("extension")), str(message.get("title"))
    content_type = _CONTENT_TYPES.get(extension)
    if (
        content_type is None
        or not _TITLE.fullmatch(title)
        or not path.exists()
        or not stat.S_ISREG(path.lstat().st_mode)
    ):
        raise RunnerFailed(_BROKEN) from ChildEndedError("the child named a result that is none")
    return OutputFile(path=path, name=f"{title}.{extension}", content_type=content_type)


def _ended(child: subprocess.Popen[bytes], workdir: Path) -> RunnerFailed | AttemptInterruptedError:
    code = child.wait()
    if code == -signal.SIGTERM:  # whoever stops the server may tell all its processes at once
        return AttemptInterruptedError()
    message = _BROKEN
    if code == -signal.SIGXCPU:
        message = "the run needed more computing time than it may use"
    elif code == -signal.SIGKILL:
        message = "the run was stopped by the system, most likely because memory was short"
    failure = RunnerFailed(message)
    failure.__cause__ = ChildEndedError(f"exit code {code}: {_last_words(workdir)}")
    return failure


def _last_words(workdir: Path) -> str:
    with _errors(workdir).open("rb") as file:
        file.seek(max(0, _errors(workdir).stat().st_size - _LAST_WORDS_BYTES))
        return file.read().decode("utf-8", "replace")


def _text(value: object) -> str:
    return "".join(letter for letter in str(value)[:_MESSAGE_CHARACTERS] if letter.isprintable())


def _fraction(value: object) -> float:
    return min(1.0, max(0.0, float(value))) if isinstance(value, int | float) else 0.0
