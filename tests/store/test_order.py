"""The order of system calls that durability rests on (P1): bytes, fsync, name, fsync of the directory, only then 2xx.

A power cut shows a missing fsync only where the file system makes use of it; this order is right on any.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.store.changes import CHANGES, DELETE_MANY
from tests.store.support import StoreProcess
from tests.support.strace import ANSWERS, BYTES, NAMES, SYNCS, calls, needs_strace, traced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.strace import Call

pytestmark = needs_strace

TEMPORARY = "tmp"
STORED = ("write file", "sync file", "rename", "sync shard")
COPIED = ("link", "write file", "sync file", "sync shard", "rename", "sync shard")
COPIED_PARTS = (
    "make parts",
    "link",
    "link",
    "sync parts",
    "write file",
    "sync file",
    "sync shard",
    "rename",
    "sync shard",
)
PART = ("write file", "sync file", "rename", "sync parts")
COMPLETED = (
    *("write file", "sync file", "write file", "sync file", "sync parts", "rename", "sync shard"),
    *("rename", "unlink upload", "sync uploads"),
)
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
    "begin an upload": ("make parts", "sync shard", "write file", "sync file", "rename", "sync uploads", "answer"),
    "put a part": (*PART, "answer"),
    "put a part again": (*PART, "answer"),
    "copy a part": (*PART, "answer"),
    "complete": (*COMPLETED, "unlink part", "answer"),
    "complete over a copy": (*COMPLETED, "unlink data", "unlink part", "answer"),
    "complete over parts": (*COMPLETED, "unlink part", "unlink part", "remove parts", "unlink part", "answer"),
    "abort": ("unlink upload", "sync uploads", "unlink part", "unlink part", "remove parts", "answer"),
    "overwrite parts": (*STORED, "unlink part", "unlink part", "remove parts", "answer"),
    "copy parts": (*COPIED_PARTS, "answer"),
    "copy over parts": (*COPIED, "unlink part", "unlink part", "remove parts", "answer"),
    "delete parts": ("unlink", "sync shard", "unlink part", "unlink part", "remove parts", "answer"),
    "create a bucket": ("create bucket", "sync buckets", "answer"),
    "delete a bucket": ("unlink bucket", "sync buckets", "sync uploads", "answer"),
}
# A step is a call of such a name on such a path of the data directory; the first that fits.
STEPS = (
    ("write file", r"p?writev?2?(64)?|splice|copy_file_range", rf"/{TEMPORARY}/.+"),
    ("sync file", r"fsync|fdatasync", rf"/{TEMPORARY}/.+"),
    ("sync shard", r"fsync", r"/objects/\w\w"),
    ("sync parts", r"fsync", r"/objects/\w\w/\w+\.\w+"),
    ("sync uploads", r"fsync", r"/uploads"),
    ("sync buckets", r"fsync", r"/buckets"),
    ("rename", r"rename(at2?)?", r".*"),
    ("unlink bucket", r"unlink(at)?", r"/buckets/.+"),
    ("unlink upload", r"unlink(at)?", r"/uploads/\w+"),
    ("unlink part", r"unlink(at)?", r"/objects/\w\w/\w+\.\w+/.+"),
    ("remove parts", r"rmdir", r"/objects/\w\w/\w+\.\w+"),
    ("make parts", r"mkdir(at)?", r"/objects/\w\w/\w+\.\w+"),
    ("unlink data", r"unlink(at)?", r"/objects/\w\w/\w+\.\w+"),
    ("unlink", r"unlink(at)?", r"/objects/.*"),
    ("link", r"link(at)?", r".*"),
    ("create bucket", r"open(at)?", r"/buckets/.+"),
)


@pytest.mark.parametrize("name", ORDERS)
def test_every_step_is_durable_before_the_next_and_the_answer_is_the_last(
    filled: Path, tmp_path: Path, name: str
) -> None:
    change, directory, trace = CHANGES.get(name, DELETE_MANY), tmp_path / "data", tmp_path / "trace"
    shutil.copytree(filled, directory)

    with StoreProcess(directory, "--no-log") as process:
        store = process.ready()
        with traced(process.process.pid, trace, NAMES, BYTES, SYNCS, ANSWERS):
            assert change.ask(store).status in change.answers

    steps: list[str] = []
    for call in calls(trace):
        step = step_of(call, directory)
        if step and not (step == "write file" and steps[-1:] == [step]):
            steps.append(step)
    assert steps == list(ORDERS[name])


def test_every_change_is_looked_at() -> None:
    assert ORDERS.keys() == {*CHANGES, "delete many"}


def step_of(call: Call, directory: Path) -> str:
    """The step that a call is; empty if it is none."""
    if call.name.startswith("send") and call.data.startswith(b"HTTP/1.1 20"):
        return "answer"
    inside = call.path.removeprefix(str(directory))
    if inside == call.path or (call.name.startswith("open") and "O_CREAT" not in call.arguments):
        return ""
    fitting = (step for step, name, path in STEPS if re.fullmatch(name, call.name) and re.fullmatch(path, inside))
    return next(fitting, "")
