"""What documents tell people to type, typed: the product's guide, and our page, against a real `penstock serve`."""

from __future__ import annotations

import base64
import json
import queue
import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from penstock.dialects.runflow import POLICY
from tests.dialects.runflow.client import PNG, Runflow, envelope
from tests.support.remote import remote_server
from tests.support.server import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.exchange import Answer
    from tests.support.remote import Remote, Visit
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


@pytest.fixture
def receiver() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


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


# The guide "Upload large files", its commands as they stand, but for hosts, key and the elided ids.
CREATE = """
curl -X POST https://api.runflow.io/v1/asset-uploads \\
  -H "Authorization: Bearer $RUNFLOW_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "filename": "perfume-bottle.webp",
    "mime_type": "image/webp",
    "size_bytes": 2400000
  }'
"""
PUT = """
curl -X PUT "$UPLOAD_URL" \\
  -H "Content-Type: image/webp" \\
  --upload-file ./perfume-bottle.webp
"""
CONFIRM = """
curl -X POST https://api.runflow.io/v1/asset-uploads/{asset_upload_id}/confirmations \\
  -H "Authorization: Bearer $RUNFLOW_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{}'
"""
RUN = """
curl -X POST https://api.runflow.io/v1/models/runflow/background-replace/runs \\
  -H "Authorization: Bearer $RUNFLOW_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "input": {
      "asset_id": "01J0...",
      "prompt": "white studio"
    },
    "callback_url": "https://your-server.com/webhook"
  }'
"""
LOOK = """
curl https://api.runflow.io/v1/assets/{id} \\
  -H "Authorization: Bearer $RUNFLOW_API_KEY"
"""


@pytest.mark.statement("RF-32")
def test_the_guides_sequence_works(folder: Path, environment: Mapping[str, str], receiver: Remote) -> None:
    told: queue.Queue[bytes] = queue.Queue()

    def take(visit: Visit) -> None:
        told.put(visit.body)
        visit.answer("200 OK")

    receiver.on("/webhook", take)
    picture = BytesIO()
    Image.effect_mandelbrot((320, 240), (-2.0, -1.5, 1.0, 1.5), 50).convert("RGB").save(picture, "WEBP")
    (folder / "perfume-bottle.webp").write_bytes(picture.getvalue().ljust(2_400_000, b"\0"))

    def said(script: str, asset_id: str = "", **variables: str) -> Any:  # noqa: ANN401 - JSON
        script = script.replace("https://api.runflow.io", environment["BASE"])
        script = script.replace("https://your-server.com", receiver.url(""))
        for elided in ("{asset_upload_id}", "{id}", "01J0..."):
            script = script.replace(elided, asset_id)
        return json.loads(shell(script, folder, environment, **variables) or "null")

    begun = said(CREATE)
    assert said(PUT, UPLOAD_URL=begun["upload_url"]) is None
    asset = said(CONFIRM, begun["asset_id"])
    run = said(RUN, asset["id"])

    assert asset["id"] == begun["asset_id"]
    assert asset["size_bytes"] == 2_400_000
    assert run["status_code"] == "queued"
    assert said(LOOK, asset["id"])["name"] == "perfume-bottle.webp"
    callback = json.loads(told.get(timeout=120))
    assert (callback["run_id"], callback["status"]) == (run["id"], "succeeded")


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
