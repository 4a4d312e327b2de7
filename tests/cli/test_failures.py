from __future__ import annotations

import pytest

from penstock.cli.failures import clear_failures


class ExpectedError(Exception):
    pass


@pytest.mark.parametrize("error", [ExpectedError("it is\nso"), PermissionError(13, "it is so")])
def test_an_expected_failure_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    with pytest.raises(SystemExit) as caught, clear_failures(ExpectedError):
        raise error

    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith("penstock: ")
    assert said.endswith("it is so\n")
    assert said.count("\n") == 1


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), clear_failures(ExpectedError):
        _ = 1 / 0


def test_an_interrupted_command_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, clear_failures():
        raise KeyboardInterrupt

    assert caught.value.code == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_gone_ends_the_command_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, clear_failures():
        raise BrokenPipeError

    assert caught.value.code == 1
    assert capsys.readouterr().err == ""
