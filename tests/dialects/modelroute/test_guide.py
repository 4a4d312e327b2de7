"""What the product's guide tells people to type, typed, against a real `penstock serve`."""

from __future__ import annotations

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
