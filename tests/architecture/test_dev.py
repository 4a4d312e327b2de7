"""The runner's script: plain sh, and its help lists exactly the tasks it has."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEV = ROOT / "dev"


@pytest.mark.parametrize("script", [DEV, ROOT / "tools" / "s3tests" / "run.sh"], ids=lambda path: path.name)
def test_the_script_parses_as_plain_sh(script: Path) -> None:
    parsed = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)

    assert parsed.stderr == ""


def test_the_help_lists_the_tasks_there_are() -> None:
    cases = DEV.read_text(encoding="utf-8").partition("case $task in\n")[2]
    tasks = set(re.findall(r"^(\w+)\)", cases, re.MULTILINE))

    shown = subprocess.run([DEV, "help"], capture_output=True, text=True, check=True).stdout

    assert set(re.findall(r"^  (\w+) ", shown, re.MULTILINE)) == tasks


def test_a_task_that_does_not_exist_is_refused_with_the_help(tmp_path: Path) -> None:
    refused = subprocess.run([DEV, "dance"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert refused.returncode == 1
    assert "no task 'dance'" in refused.stderr
    assert refused.stdout == ""
