"""What the product's guide tells people to type, typed, against a real `penstock serve`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
def test_the_guides_script_runs(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("requests")
    shutil.copy(ROOT / "examples" / "chelsea.png", tmp_path / "photo.png")
    script = SCRIPT.format(key=server.create_key(), base=f"{server.url}/modelroute")

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
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


@pytest.mark.statement("MO-32")
def test_the_guides_three_calls_work(server: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shutil.copy(ROOT / "examples" / "chelsea.png", tmp_path / "input-photo.png")
    variables = {"BASE": f"{server.url}/modelroute", "KEY": server.create_key()}

    def shell(script: str, **more: str) -> str:
        environment = clean_environment(**variables, **more)
        done = subprocess.run(
            ["sh", "-eu", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    begun = json.loads(shell(STEP_1))
    assert shell(STEP_2, UPLOAD_URL=begun["upload_url"]) == ""
    said = json.loads(shell(STEP_3.replace("FILE_ID", begun["file_id"])))

    assert said["id"].startswith("exec_")
    assert said["status"] == "PENDING"
