"""JavaScript: the official SDK under Node, and the product's own lines for those who use none."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.tools import NODE_FOLDER, environment, missing, program
from tests.dialects.runway.client import PICTURE
from tests.support.exchange import fetch

if TYPE_CHECKING:
    from tests.dialects.runway.client import Runway
    from tests.support.house import House

pytestmark = pytest.mark.real_clients

HOSTED = "https://api.dev.runwayml.com"
# The three steps of the product's text on uploads, word for word.
BY_HAND = """
const response = await fetch('https://api.dev.runwayml.com/v1/uploads', {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${process.env.RUNWAYML_API_SECRET}`,
    'X-Runway-Version': '2024-11-06',
    'Content-Type': 'application/json'
  },
  body: JSON.stringify({
    filename: 'image.jpg',
    type: 'ephemeral'
  })
});
const { uploadUrl, fields, runwayUri } = await response.json();
const formData = new FormData();
// Add all presigned form fields first
for (const [key, value] of Object.entries(fields)) {
  formData.append(key, value);
}
// Add the file last
formData.append('file', fileBuffer, 'image.jpg');
await fetch(uploadUrl, {
  method: 'POST',
  body: formData
});
const task = await fetch('https://api.dev.runwayml.com/v1/image_to_video', {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${process.env.RUNWAYML_API_SECRET}`,
    'X-Runway-Version': '2024-11-06',
    'Content-Type': 'application/json'
  },
  body: JSON.stringify({
    model: 'gen4.5',
    promptImage: runwayUri,
    promptText: 'Animate this scene',
    ratio: '1280:720',
    duration: 5
  })
});
"""
BEFORE = 'import { readFileSync } from "node:fs";\nconst fileBuffer = new Blob([readFileSync("image.jpg")]);\n'
AFTER = "console.log(task.status, (await task.json()).id);\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a script finds the packages and a picture."""
    if not (NODE_FOLDER / "node_modules" / "@runwayml").is_dir():
        missing("the official JavaScript SDK is not installed (./dev setup integration)")
    (tmp_path / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    (tmp_path / "image.jpg").write_bytes(PICTURE)
    return tmp_path


def node(script: str, folder: Path, acme: Runway, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [program("node"), script, *arguments],
        cwd=folder,
        env=environment(folder, RUNWAYML_BASE_URL=acme.base, RUNWAYML_API_SECRET=acme.key),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.statement("RW-33")
def test_the_sdk_takes_every_form_of_a_file_and_awaits_its_runs(acme: Runway, house: House, folder: Path) -> None:
    shutil.copy(Path(__file__).with_name("sdk.mjs"), folder)
    (folder / "picture.png").write_bytes(PICTURE)

    with node("sdk.mjs", folder, acme, "picture.png") as running:
        assert running.stdout is not None
        queued = running.stdout.readline()
        house.work()
        told, errors = running.communicate(timeout=120)
    said = json.loads(told) if running.returncode == 0 else {}

    assert (queued, running.returncode) == ("queued\n", 0), errors
    assert len(set(said["uris"].values())) == 9
    assert [(task["status"], task["cost"]) for task in said["ended"]] == [("SUCCEEDED", {"credits": 60})] * 9
    assert fetch(said["ended"][1]["output"][0]).body == PICTURE
    assert said["refused"] == {"extension": 400, "small": 400, "task": 404, "deleted": 404}
    assert said["creditBalance"] == 10_000 - 9 * 60
    assert said["models"] == []  # of the days before this one


@pytest.mark.statement("RW-62")
def test_the_products_own_lines_upload_a_picture_and_begin_a_run(acme: Runway, house: House, folder: Path) -> None:
    (folder / "by-hand.mjs").write_text(BEFORE + BY_HAND.replace(HOSTED, acme.base) + AFTER)

    with node("by-hand.mjs", folder, acme) as running:
        told, errors = running.communicate(timeout=120)
    house.work()

    assert running.returncode == 0, errors
    status, task_id = told.split()
    assert status == "200"
    assert acme.call("GET", f"/v1/tasks/{task_id}").must(200)["status"] == "SUCCEEDED"
