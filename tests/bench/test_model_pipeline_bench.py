"""The benchmark of models on their way works; how fast anything is, it is not for a test to say."""

from __future__ import annotations

import pytest

from bench import models


@pytest.mark.slow
def test_a_small_run_brings_the_models_of_two_accounts(capsys: pytest.CaptureFixture[str]) -> None:
    models.main(["--part", "pipeline", "--only", "many", "--many", "2", "--many-mb", "12"])

    said = capsys.readouterr().out
    assert "MB from two accounts" in said
    assert "of the first 1 that were ready: 1 of first" in said


@pytest.mark.slow
def test_a_small_run_brings_a_model_by_one_connection_and_by_several(capsys: pytest.CaptureFixture[str]) -> None:
    models.main(["--part", "ranges", "--mb", "200", "--rate", "50", "--connections", "1", "3"])

    said = capsys.readouterr().out
    assert "by 1: " in said
    assert " 1 requests" in said
    assert "by 3: " in said
