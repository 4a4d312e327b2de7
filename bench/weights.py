"""Rewriting of weights: survey, one pass, two passes, beside a script that holds the file in memory.

Source and target are files in the page cache, so the limit is the processor: SHA-256 of what comes and of what goes.
Every way does the same: hashes of both files; ours besides a hash, a span and the bounds of every tensor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.table import BANDWIDTH, Heading, Outcome, Sheet
from bench.weights_work import WAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "one pass"
_LIMIT = 300
_SHAPE = (3072, 3072)
_KINDS = {
    "bf16": ("F32 to BF16 (a transformer)", "F32", "flux1"),
    "f16": ("F32 to F16 (a UNet)", "F32", "sdxl"),
    "layout": ("layout alone (BF16 as it comes)", "BF16", "flux1"),
}


def main(arguments: list[str]) -> None:
    """Make the files, measure in rounds, print."""
    parser = argparse.ArgumentParser(prog="bench models --part rewriting", description=__doc__)
    parser.add_argument("--mb", type=int, default=1000, help="of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where the files are made; room for two of them")
    parser.add_argument("--kinds", nargs="+", choices=list(_KINDS), default=list(_KINDS))
    options = parser.parse_args(arguments)
    kinds = {name: _KINDS[name] for name in options.kinds}
    sheet = Sheet()
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        for name, (_, dtype, family) in kinds.items():
            source = Path(folder) / f"{name}.safetensors"
            size = make(source, dtype, options.mb)
            _measure(sheet, name, family, source, size=size, rounds=options.rounds)
            source.unlink()
    headings = [
        Heading(name=name, title=f"{title}, of {options.mb} MB that come", unit=BANDWIDTH)
        for name, (title, _, _) in kinds.items()
    ]
    print(sheet.render(headings, ours=OURS))


def make(path: Path, dtype: str, megabytes: int) -> int:
    """A file like a checkpoint: large matrices, and vectors that end between pages. Its bytes."""
    rows = np.random.default_rng(6).standard_normal(_SHAPE, np.float32) * np.float32(0.02)
    data = rows.tobytes() if dtype == "F32" else (rows.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    width = 4 if dtype == "F32" else 2
    entries, parts, begin = {}, [], 0
    for number in range(max(1, megabytes * 1_000_000 // len(data))):
        for name, shape in (("weight", _SHAPE), ("bias", (3071,))):
            length = width * int(np.prod(shape))
            place = [begin, begin + length]
            entries[f"double_blocks.{number}.{name}"] = {"dtype": dtype, "shape": shape, "data_offsets": place}
            parts.append(length)
            begin += length
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(memoryview(data)[:length] for length in parts)
    return path.stat().st_size


def _measure(sheet: Sheet, name: str, family: str, source: Path, *, size: int, rounds: int) -> None:
    ways = [way for way in WAYS if way != "numpy, whole file" or name != "layout"]
    if len(ways) < len(WAYS):
        sheet.lack(name, "numpy, whole file", "safetensors' numpy part knows no BF16")
    target = source.with_name("target")
    for _ in range(rounds):
        for way in ways:
            sheet.add(name, way, _once((way, family, str(source), str(target)), size))
            target.unlink(missing_ok=True)


def _once(arguments: Sequence[str], size: int) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "bench.weights_work", *arguments], check=True, capture_output=True, timeout=_LIMIT
    )
    took = json.loads(done.stdout)
    return Outcome(figure=size / took["seconds"] / 1e6, cpu=took["cpu"] / size * 1e9, peak_mb=took["peak_mb"])
