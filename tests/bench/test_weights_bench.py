"""The benchmark of rewriting works; how fast anything is, it is not for a test to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import weights
from bench.weights_work import WAYS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_small_run_measures_every_way(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    weights.main(["--mb", "1", "--rounds", "1", "--kinds", "bf16", "--directory", str(tmp_path)])

    said = capsys.readouterr().out
    assert "F32 to BF16 (a transformer), of 1 MB that come, MB/s | read only" in said
    assert all(f"| {way} |" in said for way in WAYS)
    assert not list(tmp_path.iterdir())
