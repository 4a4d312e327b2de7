"""The benchmark of headers works; how fast anything is, it is not for a test to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import models

if TYPE_CHECKING:
    import pytest


def test_a_small_run_measures_both_readers_and_every_long_header(capsys: pytest.CaptureFixture[str]) -> None:
    models.main(["--part", "headers", "--tensors", "10", "--rounds", "1", "--worst-bytes", "20000"])

    said = capsys.readouterr().out
    assert "-- headers" in said
    assert "safe_open" in said
    assert "one header of 10 tensors" in said
    assert "| dimensions | 1 |" in said
