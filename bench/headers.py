"""Headers of model files: how long ours are checked beside the official reader's opening, and what the worst one takes.

Each round makes both look at the same file, whose data are a hole; ours checks every rule and works in pure Python, the
official one is written in Rust. The worst legal headers fill the cap and are read by a sealed child, as in the server.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import os
import resource
import string
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from bench.processes import children, peak_mb
from bench.table import DURATION, Heading, Outcome, Sheet
from penstock.adapters.weights.examiner import ChildExaminer, ExaminerOptions
from penstock.domain.errors import NotSafetensors
from penstock.domain.weights import Category, Declaration
from penstock.telemetry import Log
from penstock.weights.container import HEADER_CAP_BYTES, LENGTH_BYTES, header_length, parse_header
from penstock.weights.examine import MOST_TENSORS, examine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OURS = "Penstock"
_OFFICIAL = "safetensors, safe_open"
_DECLARED = Declaration(category=Category.CHECKPOINT, architecture="sdxl", type="base")
_DIMENSIONS = (320, 320, 3, 3)
_NUMBER_BYTES = 2
_LOOK_SECONDS = 0.01


def main(arguments: list[str]) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="bench models headers", description=__doc__)
    parser.add_argument("--tensors", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--worst-bytes", type=int, default=HEADER_CAP_BYTES, help="the length of the worst headers")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        _write(path, options.tensors)
        print(_usual(path, options.tensors, rounds=options.rounds))
    print()
    _worst(options.worst_bytes)


def _write(path: Path, tensors: int) -> None:
    size = _NUMBER_BYTES
    for dimension in _DIMENSIONS:
        size *= dimension
    entries = {
        f"model.diffusion_model.input_blocks.{number}.1.transformer_blocks.0.attn2.to_out.0.weight": {
            "dtype": "F16",
            "shape": _DIMENSIONS,
            "data_offsets": [number * size, (number + 1) * size],
        }
        for number in range(tensors)
    }
    content = json.dumps(entries, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(content)) + content)
        file.truncate(file.tell() + size * tensors)


def _usual(path: Path, tensors: int, *, rounds: int) -> str:
    """What one look at the file takes, wall clock, in the same rounds."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(LENGTH_BYTES)
        head += file.read(header_length(head))
    with _child() as examiner:
        ways: dict[str, Callable[[], object]] = {
            OURS: lambda: parse_header(head[LENGTH_BYTES:], file_size=size),
            _OFFICIAL: lambda: _open(path),
            "Penstock, and what it is": lambda: examine(head, size=size, declared=_DECLARED),
            "Penstock, and what it is, by a child": lambda: examiner.examine(head, size=size, declared=_DECLARED),
        }
        sheet = Sheet()
        for way in ways.values():
            way()
        for _ in range(rounds):
            for name, way in ways.items():
                sheet.add("header", name, _timed(way))
    title = f"one header of {tensors:,} tensors, {len(head):,} bytes"
    return sheet.render([Heading(name="header", title=title, unit=DURATION, most=10)], ours=OURS)


def _open(path: Path) -> None:
    with safe_open(path, framework="np"):
        pass


def _timed(way: Callable[[], object]) -> Outcome:
    gc.collect()
    cpu, begun = time.thread_time(), time.perf_counter()
    way()
    seconds, used = time.perf_counter() - begun, time.thread_time() - cpu
    return Outcome(figure=seconds * 1000, cpu=used * 1000)


def _worst(length: int) -> None:
    """By a fresh child each: the time with its start, and what the child took."""
    print("| longest legal header | tensors | seconds | CPU of the child, s | its peak RSS |")
    print("| --- | --- | --- | --- | --- |")
    for title, build in _LONGEST.items():
        content = build(length)
        before = _cpu_of_children()
        head = struct.pack("<Q", len(content)) + content
        with _child() as examiner, _watched() as peaks:
            begun = time.perf_counter()
            tensors = _looked_into(examiner, head)
            seconds = time.perf_counter() - begun
        used = _cpu_of_children() - before
        print(f"| {title} | {tensors} | {seconds:.2f} | {used:.2f} | {max(peaks):.0f} MB |", flush=True)


def _looked_into(examiner: ChildExaminer, head: bytes) -> str:
    try:
        return f"{examiner.examine(head, size=None, declared=_DECLARED).tensors:,}"
    except NotSafetensors as refused:
        return str(refused)


def _cpu_of_children() -> float:
    """Of those that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def _child() -> Iterator[ChildExaminer]:
    examiner = ChildExaminer(Log("bench", None), options=ExaminerOptions(children=1))
    try:
        yield examiner
    finally:
        examiner.close()


@contextlib.contextmanager
def _watched() -> Iterator[list[float]]:
    """The peaks of this process's children, looked at all the time: a child that was large does not live on."""
    peaks, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            for child in children(os.getpid()):
                with contextlib.suppress(OSError):
                    peaks.append(peak_mb(child))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


def _names() -> Iterator[str]:
    """The shortest there are."""
    letters = string.ascii_letters + string.digits
    return ("".join(name) for length in itertools.count(1) for name in itertools.product(letters, repeat=length))


def _filled(length: int, entry: str, *, most: int = MOST_TENSORS) -> bytes:
    """As many tensors of one byte as fit and are taken; `entry` has places for NAME, BEGIN and END."""
    parts, left = [], length - 1
    for place, name in enumerate(itertools.islice(_names(), most)):
        part = entry.replace("NAME", name).replace("BEGIN", str(place)).replace("END", str(place + 1))
        left -= len(part.encode()) + 1
        if left < 0:
            break
        parts.append(part)
    return f"{{{','.join(parts)}}}".encode()


def _texts(length: int) -> bytes:
    """Metadata without an end, and one tensor."""
    tensor = '"":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}'
    texts, left = [], length - len(tensor) - 20
    for name in _names():
        left -= len(name) + 6
        if left < 0:
            break
        texts.append(f'"{name}":""')
    return f'{{"__metadata__":{{{",".join(texts)}}},{tensor}'.encode()


def _dimensions(length: int) -> bytes:
    return b'{"":{"dtype":"U8","shape":[' + b"1," * (length // 2 - 40) + b'1],"data_offsets":[0,1]}}'


_LONG = "x" * 80
_FIELDS = '"data_offsets":[BEGIN,END],"dtype":"U8","shape":[]'
_LONGEST: dict[str, Callable[[int], bytes]] = {
    "more tensors than are taken": lambda length: _filled(length, f'"NAME":{{{_FIELDS}}}', most=length),
    "as many as are taken": lambda length: _filled(length, f'"{_LONG}NAME":{{{_FIELDS}}}'),
    "their names beyond 16 bits": lambda length: _filled(length, f'"{_LONG}NAME\U0001f600":{{{_FIELDS}}}'),
    "their names to be read twice": lambda length: _filled(length, f'"{_LONG}NAME-0":{{{_FIELDS}}}'),
    "their names those of a LoRA": lambda length: _filled(
        length, f'"lora_unet_single_blocks_0_linear1{_LONG[:40]}NAME.lora_up.weight":{{{_FIELDS}}}'
    ),
    "metadata": _texts,
    "dimensions": _dimensions,
}
"""What can stand in a legal header, as small and as often as it fits."""
