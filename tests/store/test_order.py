"""The order of system calls that durability rests on (P1): bytes, fsync, name, fsync of the directory, only then 2xx.

A power cut shows a missing fsync only where the file system makes use of it; this order is right on any.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.store.changes import CHANGES, DELETE_MANY, fill
from tests.store.support import PATIENCE_SECONDS, StoreProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to see the system calls")

CALLS = "trace=/^open,/write,/splice,/send,/sync,/rename,/link,/rmdir"
STORED = ("write file", "sync file", "rename", "sync shard")
COPIED = ("link", "write file", "sync file", "sync shard", "rename", "sync shard")
ORDERS = {
    "put": (*STORED, "answer"),
    "overwrite": (*STORED, "answer"),
    "overwrite a copy": (*STORED, "unlink data", "answer"),
    "overwrite a source": (*STORED, "answer"),
    "post a form": (*STORED, "answer"),
    "copy": (*COPIED, "answer"),
    "copy a copy": (*COPIED, "answer"),
    "copy over a copy": (*COPIED, "unlink data", "answer"),
    "delete": ("unlink", "sync shard", "answer"),
    "delete a copy": ("unlink", "sync shard", "unlink data", "answer"),
    "delete many": ("unlink", "unlink", "sync shard", "sync shard", "unlink data", "answer"),
    "create a bucket": ("create bucket", "sync buckets", "answer"),
    "delete a bucket": ("unlink bucket", "sync buckets", "answer"),
}
# What a line of strace must match to be a step; `-y` shows the paths of descriptors.
STEPS = (
    ("write file", r"(?:write|writev|pwrite64|splice)\(.*/data/tmp/"),
    ("sync file", r"(?:fsync|fdatasync)\(.*/data/tmp/"),
    ("sync shard", r"(?:fsync|fdatasync)\(\d+<.*/objects/..>"),
    ("sync buckets", r"(?:fsync|fdatasync)\(\d+<.*/buckets>"),
    ("rename", r"rename"),
    ("unlink bucket", r"unlink\(.*/buckets/"),
    ("unlink data", r"unlink\(.*/objects/../\w+\.\w+\""),
    ("unlink", r"unlink\(.*/objects/"),
    ("link", r"link"),
    ("create bucket", r"open.*/buckets/.*O_CREAT"),
    ("answer", r"send.*HTTP/1\.1 20"),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory to be copied."""
    place = tmp_path_factory.mktemp("filled")
    fill(place)
    return place


@pytest.mark.parametrize("name", ORDERS)
def test_every_step_is_durable_before_the_next_and_the_answer_is_the_last(
    filled: Path, tmp_path: Path, name: str
) -> None:
    change = CHANGES.get(name, DELETE_MANY)
    shutil.copytree(filled, tmp_path / "data")

    with StoreProcess(tmp_path / "data", "--no-log") as process:
        store = process.ready()
        with traced(process, tmp_path / "trace"):
            assert change.ask(store).status in change.answers

    assert steps(tmp_path / "trace") == list(ORDERS[name])


def test_every_change_is_looked_at() -> None:
    assert ORDERS.keys() == {*CHANGES, "delete many"}


@contextmanager
def traced(process: StoreProcess, output: Path) -> Iterator[None]:
    """Write down the system calls of a process and all its threads."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "64", "-o", str(output), "-e", CALLS, "-p", str(process.process.pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    first = tracer.stderr.readline()
    if "ptrace" in first:
        tracer.communicate(timeout=PATIENCE_SECONDS)
        pytest.skip(first.strip())
    assert "attached" in first
    try:
        yield
    finally:
        tracer.terminate()
        tracer.communicate(timeout=PATIENCE_SECONDS)


def steps(trace: Path) -> list[str]:
    """The traced steps in their order; writes that follow each other are one."""
    found: list[str] = []
    for line in whole_calls(trace.read_text()):
        step = next((name for name, pattern in STEPS if re.match(pattern, line)), None)
        if step is not None and not (step == "write file" and found[-1:] == [step]):
            found.append(step)
    return found


def whole_calls(trace: str) -> Iterator[str]:
    """Calls without their thread's number. One that another thread interrupted in the trace stands where it ended.

    A change is durable when its call ends; an answer and the writing of a name count from their beginning.
    """
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
            if not call.startswith(("fsync", "fdatasync", "write", "pwrite")):
                yield begun.pop(thread)
        elif call.startswith("<... "):
            if thread in begun:
                yield begun.pop(thread) + call.partition(">")[2]
        else:
            yield call
