"""What the product's guide tells people to type, typed, against a real `penstock serve`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.tools import library, program
from tests.support.pages import commands
from tests.support.server import clean_environment, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server

ROOT = Path(__file__).parents[3]
# The guide's own script, but for key and address.
SCRIPT = """
import requests
API_KEY = "{key}"
BASE = "{base}/v1"
HEADERS = {{"Authorization": f"Bearer {{API_KEY}}"}}
upload_resp = requests.post(
    f"{{BASE}}/files/upload",
    headers=HEADERS,
    json={{"filename": "photo.png", "content_type": "image/png", "size_bytes": 2048576}},
).json()
file_id = upload_resp["file_id"]
upload_url = upload_resp["upload_url"]
with open("photo.png", "rb") as f:
    requests.put(upload_url, data=f, headers={{"Content-Type": "image/png"}})
result = requests.post(
    f"{{BASE}}/executions",
    headers=HEADERS,
    json={{
        "model": "flux-1.1-pro",
        "input": {{"prompt": "Make this photo look like a watercolor painting", "image": file_id}},
    }},
).json()
print(f"Execution {{result['id']}}: {{result['status']}}")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("served") / "data", "--dev") as running:
        yield running


@pytest.mark.statement("MO-29")
def test_the_guides_script_runs(server: Server, folder: Path) -> None:
    library("requests")
    script = SCRIPT.format(key=server.create_key(), base=f"{server.url}/modelroute")

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Execution exec_")
    assert done.stdout.rstrip().endswith(": PENDING")


STEP_1 = """
curl -sS -X POST "$BASE/v1/files/upload" \\
-H "Authorization: Bearer $KEY" \\
-H "Content-Type: application/json" \\
-d '{
"filename": "input-photo.png",
"content_type": "image/png",
"size_bytes": 2048576
}'
"""
STEP_2 = """
curl -sS -X PUT "$UPLOAD_URL" \\
-H "Content-Type: image/png" \\
--data-binary @input-photo.png
"""
STEP_3 = """
curl -sS -X POST "$BASE/v1/executions" \\
-H "Authorization: Bearer $KEY" \\
-H "Content-Type: application/json" \\
-d '{
"model": "flux-1.1-pro",
"input": {
"prompt": "Transform this photo into an oil painting",
"image": "FILE_ID"
}
}'
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody stands who follows a guide, with a photograph beside them."""
    for name in ("photo.png", "input-photo.png"):
        shutil.copy(ROOT / "examples" / "chelsea.png", tmp_path / name)
    return tmp_path


def shell(script: str, folder: Path, **variables: str) -> str:
    """What a script prints; it must succeed."""
    program("curl")
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=folder,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.statement("MO-32")
def test_the_guides_three_calls_work(server: Server, folder: Path) -> None:
    known = {"BASE": f"{server.url}/modelroute", "KEY": server.create_key()}

    begun = json.loads(shell(STEP_1, folder, **known))
    assert shell(STEP_2, folder, UPLOAD_URL=begun["upload_url"]) == ""
    said = json.loads(shell(STEP_3.replace("FILE_ID", begun["file_id"]), folder, **known))

    assert said["id"].startswith("exec_")
    assert said["status"] == "PENDING"


def test_our_pages_lines_upload_a_file_and_run_a_model(server: Server, folder: Path) -> None:
    typed = [code for code in commands("dialects/modelroute.md") if not code.startswith("penstock ")]
    key = server.create_key()

    shell("".join(typed), folder, BASE=f"{server.url}/modelroute", MODELROUTE_KEY=key)

    made = (folder / "painting.png").read_bytes()
    assert made.startswith(b"\x89PNG")
    assert made != (folder / "photo.png").read_bytes()
