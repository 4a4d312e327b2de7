"""The library's benchmark works; how fast anything is, it is not for a test to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import library
from bench.library_rows import made

if TYPE_CHECKING:
    import pytest


def test_a_small_run_measures_every_filter(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.library_rows.SMALL_ACCOUNTS", 2)
    monkeypatch.setattr("bench.library_rows.SMALL_ASSETS", 5)

    library.main(["--assets", "100", "--database", "sqlite", "--rounds", "1"])

    said = capsys.readouterr().out
    assert "words that never meet" in said
    assert "pages: 180" in said
    assert "adding an asset, with terms" in said


def test_the_same_seed_makes_the_same_library() -> None:
    assert list(made(20, seed=3)) == list(made(20, seed=3))
