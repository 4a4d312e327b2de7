"""Small model files of every shape, and malformed ones, made once in a session (`tests/fixtures/make_model_files.py`).

A test asks for the fixture `model_files`; its manifest says what each file is.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAKER = Path(__file__).parents[1] / "fixtures" / "make_model_files.py"

Profile = Literal["tiny", "head", "true"]
"""Reduced tensors; the first bytes up to the data; real sizes, where the data are a hole (never read it whole)."""


@dataclass(frozen=True)
class ModelFiles:
    """Files below `root`, and what the manifest says of them. Nobody changes them: they are everybody's."""

    root: Path

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """`cases` (by name: category, family, accepts, rejects, type …), `opt`, `bad` (by name: strict, …)."""
        read: dict[str, Any] = json.loads((self.root / "manifest.json").read_bytes())
        return read

    @property
    def cases(self) -> Mapping[str, Mapping[str, Any]]:
        """The 72 models by name, such as `lora/sdxl_kohya`."""
        cases: Mapping[str, Mapping[str, Any]] = self.manifest["cases"]
        return cases

    def path(self, case: str, profile: Profile = "tiny") -> Path:
        """The file of a model in one profile."""
        path: str = self.cases[case]["files"][profile]["path"]
        return self.root / path

    def malformed(self, name: str) -> Path:
        """One of the containers of `manifest["bad"]`; some of them are well formed, and named `ok_…`."""
        return self.root / "bad" / f"{name}.safetensors"

    def for_optimising(self, name: str) -> Path:
        """One of `manifest["opt"]`, whose names begin with `opt/`."""
        return self.root / f"{name}.safetensors"


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelFiles]:
    """Takes about two seconds and 45 MB of disk, once in each process that runs tests."""
    root = tmp_path_factory.mktemp("model-files")
    make_model_files(root, "--profile", "all")
    yield ModelFiles(root)
    shutil.rmtree(root)


def make_model_files(root: Path, *options: str) -> None:
    """Run the generator with its options, in a process of its own: it leaves files open to be collected."""
    subprocess.run([sys.executable, str(MAKER), str(root), *options], check=True, capture_output=True, timeout=150)


def write_wide_lora(path: Path, like: Path, *, rank: int, mark: int = 1) -> Path:
    """A LoRA with the tensors of another, of a rank that makes it as large as a test needs (0.58 MB each for SDXL).

    Its numbers are zeros but for a `mark` in every 64 KiB, so that no two pieces of it are the same.
    """
    raw = like.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header: dict[str, Any] = json.loads(raw[8:start])
    end = 0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        width, numbers = tensor["shape"], tensor["data_offsets"][1] - tensor["data_offsets"][0]
        size = numbers // max(1, math.prod(width))
        for axis, side in enumerate(("lora_down", "lora_up")):
            if side in name:
                width[axis] = rank
        tensor["data_offsets"] = [end, end + size * math.prod(width)]
        end = tensor["data_offsets"][1]
    text = json.dumps(header).encode()
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(stream.tell() + end)
        for number, place in enumerate(range(stream.tell(), stream.tell() + end - 4, 2**16)):
            stream.seek(place)
            stream.write(bytes([number % 251, 0, mark, 0]))
    return path
