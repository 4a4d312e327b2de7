"""What documents tell people to type, typed: the product's guide, and our page, against a real `penstock serve`."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.dialects.runflow import POLICY
from tests.dialects.runflow.client import PNG, Runflow, envelope
from tests.support.server import clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.exchange import Answer
    from tests.support.server import Server

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "dialects" / "runflow.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody stands who follows a guide, with a photograph beside them."""
    shutil.copy(ROOT / "examples" / "chelsea.png", tmp_path / "input.png")
    return tmp_path


@pytest.fixture
def environment(server: Server, key: str) -> dict[str, str]:
    return {"BASE": f"{server.url}/runflow", "RUNFLOW_API_KEY": key}


def shell(script: str, folder: Path, environment: Mapping[str, str], **variables: str) -> str:
    """What a script prints; it must succeed."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=folder,
        env=clean_environment(**environment, **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_pages_lines_upload_a_file_and_run_a_model(folder: Path, environment: Mapping[str, str]) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    shell("".join(blocks), folder, environment)

    run = json.loads((folder / "run.json").read_text())
    [made] = run["output"]["outputs"]
    assert run["status_code"] == "succeeded"
    assert made["type"] == "image"
    shell('curl -fsS -o made.png "$URL"', folder, environment, URL=made["url"])
    assert (folder / "made.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.statement("RF-33")
def test_inline_data_is_taken_up_to_the_limit_that_our_page_tells(server: Server, key: str) -> None:
    acme = Runflow(base=f"{server.url}/runflow", key=key)
    assert "| inline data | 10 MiB decoded; above that 413" in PAGE

    def answer(size: int) -> Answer:
        content = base64.b64encode(PNG.ljust(size, b"\0")).decode()
        return acme.try_run({"image": f"data:image/png;base64,{content}", "prompt": "a"}, model="builtin/stylize")

    assert [answer(size).status for size in (2**19, 3 * 2**19, 10 * 2**20)] == [201, 201, 201]
    for size in (10 * 2**20 + 1, 13 * 2**20):
        envelope(answer(size), 413, "BODY_TOO_LARGE")


def test_our_page_tells_the_limits_that_hold() -> None:
    assert f"| a file | {POLICY.min_bytes} to {POLICY.max_bytes} bytes; " in PAGE
    assert f"| `upload_url`, `url`, `thumbnail_url` | {POLICY.url_ttl.total_seconds():.0f} seconds " in PAGE
