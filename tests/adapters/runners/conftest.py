from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.runners.builtin import BuiltinRunner
from penstock.telemetry import Log
from tests.adapters.runners.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    workdir = tmp_path / "run"
    workdir.mkdir()
    return Workbench(workdir)


@pytest.fixture
def runner() -> BuiltinRunner:
    return BuiltinRunner(Log("test", None))


@pytest.fixture
def cat() -> Path:
    return EXAMPLES / "chelsea.png"


@pytest.fixture
def coffee() -> Path:
    return EXAMPLES / "coffee.png"


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    yield
    own = Path("/proc/thread-self").resolve() / "children"
    if own.exists():
        left = [
            pid for pid in own.read_text().split() if b"runners.builtin" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert left == []
