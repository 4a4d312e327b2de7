from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.server import run_penstock

COMMANDS = ["serve", "upload", "run", "migrate", "version", "accounts", "keys"]
HEAVY = ("alembic", "fastapi", "httpx2", "pydantic", "rich", "sqlalchemy", "uvicorn", "penstock.app", "penstock.client")


def test_help_names_every_command() -> None:
    shown = run_penstock("--help")

    assert shown.returncode == 0
    assert [command for command in COMMANDS if f"  {command} " not in shown.stdout] == []


def test_help_loads_nothing_heavy() -> None:
    assert loaded_by("--help") == ""


@pytest.mark.parametrize("arguments", [["serve", "--help"], ["run", "--help"], ["accounts"]])
def test_help_on_a_command_loads_nothing_heavy_but_what_typer_loads(arguments: list[str]) -> None:
    assert loaded_by(*arguments) in {"", "pydantic"}


def loaded_by(*arguments: str) -> str:
    """Which heavy modules a command has loaded at its end."""
    script = (
        "import sys\n"
        "from penstock.cli.program import program\n"
        "try:\n    program(prog_name='penstock')\n"
        "except SystemExit:\n    pass\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )

    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)

    assert "Usage: penstock" in done.stdout + done.stderr
    return done.stderr.splitlines()[-1]


def test_the_version_is_printed_alone() -> None:
    shown = run_penstock("version")

    assert shown.stdout.strip().count(".") == 2
    assert shown.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["serve", "--port", "70000"],
        ["serve", "--only", "kitchen"],
        ["upload"],
        ["upload", "/no/such/file"],
        ["run", "model", "--input", "novalue"],
        ["accounts", "create", "name", "--credits", "much"],
        ["accounts", "create", "name", "--credits", "NaN"],
        ["accounts", "create", "name", "--credits=-1"],
        ["accounts", "create", "name", "--credits", "1e400"],
        ["accounts", "create", "name", "--credits", "0.0000000001"],
        ["accounts", "credit", "name", "0"],
        ["accounts", "credit", "name", "--", "-1"],
        ["keys", "create"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused_with_status_2(arguments: list[str]) -> None:
    refused = run_penstock(*arguments)

    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
