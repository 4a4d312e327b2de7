"""What our page tells people to type, typed: the official clients, and curl."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.tools import NODE_FOLDER, environment, missing, program
from tests.dialects.runware.official import newer_python, socket_url
from tests.dialects.runware.shelf import ORDER, found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.dialects.runware.client import Runware
    from tests.dialects.runware.shelf import Shelf
    from tests.support.house import House

pytestmark = pytest.mark.real_clients
PAGE = (Path(__file__).parents[3] / "docs" / "dialects" / "runware.md").read_text(encoding="utf-8")
LORA = "lora/sd15_diffusers_old"


def block(language: str) -> str:
    """All of the page's blocks in a language, one after another; a language may have a file's name behind it."""
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def typed(command: Sequence[str], folder: Path, acme: Runware, shelf: Shelf, house: House) -> str:
    """What a program prints that has the page's variables, while the server works."""
    said = {
        "PENSTOCK_URL": house.url,
        "PENSTOCK_API_KEY": acme.key,
        "RUNWARE_URL": socket_url(acme),
        "MODEL_URL": shelf.url(LORA),
        "ACME": acme.source,
    }
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder, **said), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        out, errors = "", ""
        for _ in range(2000):
            house.work()
            with suppress(subprocess.TimeoutExpired):
                out, errors = running.communicate(timeout=0.05)
                break
        running.kill()
    assert running.returncode == 0, errors
    return out


def test_our_pages_python_runs_as_it_stands(acme: Runware, shelf: Shelf, house: House, tmp_path: Path) -> None:
    said = typed([sys.executable, "-c", block("python")], tmp_path, acme, shelf, house)

    assert said.splitlines() == [" ".join(ORDER), "Ink drawings"]


def test_our_pages_newer_python_runs_as_it_stands(acme: Runware, shelf: Shelf, house: House, tmp_path: Path) -> None:
    python = newer_python(acme, tmp_path / "newer", "rest").command[0]

    said = typed([python, "-c", block(r"python newer\.py")], tmp_path, acme, shelf, house)

    assert said.splitlines() == [" ".join(ORDER)]
    assert found(acme, f"{acme.source}:103@1") is not None


def test_our_pages_javascript_runs_as_it_stands(acme: Runware, shelf: Shelf, house: House, tmp_path: Path) -> None:
    if not (NODE_FOLDER / "node_modules" / "@runware").is_dir():
        missing("the official JavaScript SDK is not installed (./dev setup integration)")
    (tmp_path / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    (tmp_path / "run.mjs").write_text(block("js"))

    said = typed([program("node"), "run.mjs"], tmp_path, acme, shelf, house)

    assert said.splitlines() == [*ORDER, "Model successfully deployed and ready for use."]


def test_our_pages_shell_lines_run_as_they_stand(acme: Runware, shelf: Shelf, house: House, tmp_path: Path) -> None:
    program("curl")

    typed(["sh", "-eu", "-c", block("sh")], tmp_path, acme, shelf, house)

    assert found(acme, f"{acme.source}:102@1") is not None
