"""One way of rewriting a model file, in a process of its own: `python -m bench.weights_work WAY FAMILY SOURCE TARGET`.

Prints seconds, seconds of CPU and the peak of its memory as JSON.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import peak_mb
from penstock.adapters.weights.optimizer import Optimizer
from penstock.domain.weights import Category

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCK = 8 << 20


def blocks(source: Path, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The file's bytes, each block in memory of its own, as a download brings them."""
    with source.open("rb") as file:
        file.seek(begin)
        left = (source.stat().st_size if end is None else end) - begin
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            left -= len(block)
            yield block


def read(source: Path, _target: Path, _family: str) -> None:
    """What all ways pay."""
    for _ in blocks(source):
        pass


def survey(source: Path, _target: Path, family: str) -> dict[str, object]:
    """The first of two passes."""
    surveyor = Optimizer().surveyor(_head(source), category=Category.CHECKPOINT, family=family)
    for block in blocks(source):
        surveyor.update(block)
    found = surveyor.finish()
    surveyor.close()
    return found


def one_pass(source: Path, target: Path, family: str) -> None:
    """Survey, rewriting and manifest at once."""
    passing = Optimizer().passing(_head(source), category=Category.CHECKPOINT, family=family)
    assert passing is not None
    with target.open("wb") as file:
        for block in blocks(source):
            file.writelines(passing.update(block))
        file.writelines(passing.finish()[1])
    assert not passing.refuted
    passing.manifest()
    passing.close()


def two_passes(source: Path, target: Path, family: str) -> None:
    """Survey, then rewriting and manifest."""
    found = survey(source, target, family)
    rewriting = Optimizer().rewrite(_head(source), found, lambda begin, end: blocks(source, begin, end))
    with target.open("wb") as file:
        file.writelines(rewriting.blocks())
    rewriting.manifest()


def with_numpy(source: Path, target: Path, family: str) -> None:
    """As a script does it: all of it in memory; and the hashes of both files, which ours has too."""
    import ml_dtypes  # noqa: PLC0415 - weighs on the memory of the others
    import numpy as np  # noqa: PLC0415 - likewise
    from safetensors.numpy import load_file, save_file  # noqa: PLC0415 - likewise

    narrower = np.dtype(np.float16 if family == "sdxl" else ml_dtypes.bfloat16)
    save_file({name: array.astype(narrower) for name, array in load_file(source).items()}, target)
    for path in (source, target):
        digest = hashlib.sha256()
        for block in blocks(path):
            digest.update(block)


WAYS: dict[str, Callable[[Path, Path, str], object]] = {
    "read only": read,
    "survey": survey,
    "one pass": one_pass,
    "two passes": two_passes,
    "numpy, whole file": with_numpy,
}


def _head(source: Path) -> bytes:
    with source.open("rb") as file:
        return (length := file.read(8)) + file.read(int.from_bytes(length, "little"))


def main(way: str, family: str, source: str, target: str) -> None:
    """Do it once; a worker has the libraries loaded since its first file."""
    if way != "read only":
        for module in ("ml_dtypes", "penstock.weights.convert", "penstock.weights.manifest"):
            importlib.import_module(module)
    begun, used = time.perf_counter(), time.process_time()
    WAYS[way](Path(source), Path(target), family)
    took = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - used}
    print(json.dumps({**took, "peak_mb": peak_mb(os.getpid())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
