"""What system calls another process makes, in their order: `strace`, and its text as values."""

from __future__ import annotations

import os.path
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to see the system calls")
NAMES = "/^open,/mkdir,/rename,/link,/rmdir"
BYTES = "/write,/splice,/sendfile,/copy_file_range,/truncate,/fallocate"
SYNCS = "/sync"
ANSWERS = "/^send"
_SECONDS = 20.0
# With -xx every text is in hexadecimal digits, so no text of the traced process can look like strace's own.
_LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+)", re.ASCII)
_TOKEN = re.compile(r'<((?:\\x[0-9a-f]{2})+)>(\(deleted\))?|"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?', re.ASCII)
_INTERRUPTED = re.compile(r" <(unfinished|detached) \.\.\.>$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `paths` are those of its descriptors and names, a relative name joined to its descriptor's.

    `data` is what it was given to write, or its names; `whole` is False where strace has cut that off.
    """

    name: str
    arguments: str
    result: int
    paths: tuple[str, ...]
    data: bytes
    whole: bool

    @property
    def path(self) -> str:
        return self.paths[0] if self.paths else ""


@contextmanager
def traced(pid: int, output: Path, *kinds: str, longest: int = 64) -> Iterator[None]:
    """Write down the calls of a process and all its threads; skips the test where that is forbidden."""
    options = ("-f", "-y", "-xx", "-s", str(longest), "-o", str(output), "-e", f"trace={','.join(kinds)}")
    tracer = subprocess.Popen(["strace", *options, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    first = tracer.stderr.readline()
    if "not permitted" in first:
        tracer.communicate(timeout=_SECONDS)
        pytest.skip(first.strip())
    assert "attached" in first, first
    try:
        yield
    finally:
        tracer.terminate()
        tracer.communicate(timeout=_SECONDS)


def calls(trace: Path) -> Iterator[Call]:
    """The calls that succeeded, in the order of their ends; what is sent to a client counts from its beginning."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            thread, _, text = line.strip().partition(" ")
            text = text.strip()
            if _INTERRUPTED.search(text):
                begun[thread] = _INTERRUPTED.sub("", text)
                if text.startswith("send"):
                    yield _call(begun.pop(thread) + ") = 0")
            elif text.startswith("<... "):
                if thread in begun:
                    yield from _successful(begun.pop(thread) + text.partition(">")[2])
            else:
                yield from _successful(text)


def _successful(text: str) -> Iterator[Call]:
    if (found := _LINE.match(text)) and int(found[3]) >= 0:
        yield _call(text)


def _call(text: str) -> Call:
    found = _LINE.match(text)
    assert found, text
    descriptors: list[str] = []
    named: list[str] = []
    texts: list[bytes] = []
    whole, base = True, ""
    for token in _TOKEN.finditer(found[2]):
        if token[1] is not None:
            base = _bytes(token[1]).decode() + (token[2] or "")
            descriptors.append(base)
        else:
            texts.append(_bytes(token[3]))
            named.append(os.path.join(base, texts[-1].decode(errors="replace")))  # noqa: PTH118 - another process's text
            whole = whole and not token[4]
    writes = found[1].startswith(("write", "pwrite", "send"))
    return Call(
        name=found[1],
        arguments=_TOKEN.sub("", found[2]),
        result=int(found[3]),
        paths=tuple(descriptors if writes or not named else named),
        data=b"".join(texts),
        whole=whole,
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
