"""What documents tell people to type, typed: the product's guide, and our page, against a real `penstock serve`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.dialects.modelrunner import POLICY
from tests.support.server import clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.server import Server

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "dialects" / "modelrunner.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000/modelrunner"

# The guide "File uploads", single part: its two lines, with host, key and file names as this test has them.
INITIATE = """
curl -X POST "$BASE/storage/upload/initiate" \\
  -H "Authorization: Key $MODELRUNNER_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "file_name": "input.png",
    "content_type": "image/png",
    "size": SIZE
  }'
"""
PUT = """
curl -X PUT "$UPLOAD_URL" \\
  -H "Content-Type: image/png" \\
  --data-binary @input.png
"""


# The guide, "Multipart upload (large files)": its four lines, in the same way.
INITIATE_MULTIPART = """
curl -X POST "$BASE/storage/upload/initiate-multipart" \\
  -H "Authorization: Key $MODELRUNNER_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "file_name": "input.png",
    "content_type": "image/png",
    "size": SIZE
  }'
"""
PART_URL = """
curl "$BASE/storage/upload/multipart-url?uploadKey=$UPLOAD_KEY&uploadId=$UPLOAD_ID&partNumber=$NUMBER" \\
  -H "Authorization: Key $MODELRUNNER_KEY"
"""
PUT_PART = """
curl -X PUT "$PRESIGNED_URL" --data-binary @part -D headers.txt
"""
COMPLETE = """
curl -X POST "$BASE/storage/upload/complete" \\
  -H "Authorization: Key $MODELRUNNER_KEY" \\
  -H "Content-Type: application/json" \\
  -d "{
    \\"uploadId\\": \\"$UPLOAD_ID\\",
    \\"uploadKey\\": \\"$UPLOAD_KEY\\",
    \\"parts\\": [
      { \\"partNumber\\": 1, \\"etag\\": \\"$FIRST\\" },
      { \\"partNumber\\": 2, \\"etag\\": \\"$SECOND\\" }
    ]
  }"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody stands who follows a guide, with a photograph beside them."""
    shutil.copy(ROOT / "examples" / "chelsea.png", tmp_path / "input.png")
    return tmp_path


@pytest.fixture
def environment(server: Server, key: str) -> dict[str, str]:
    return {"BASE": f"{server.url}/modelrunner", "MODELRUNNER_KEY": key}


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


@pytest.mark.statement("MR-41")
def test_the_guides_lines_upload_a_file(folder: Path, environment: Mapping[str, str]) -> None:
    size = (folder / "input.png").stat().st_size

    urls = json.loads(shell(INITIATE.replace("SIZE", str(size)), folder, environment))
    shell(PUT, folder, environment, UPLOAD_URL=urls["upload_url"])

    shell('curl -fsSL -o copy.png "$FILE_URL"', folder, environment, FILE_URL=urls["file_url"])
    assert (folder / "copy.png").read_bytes() == (folder / "input.png").read_bytes()
    assert size < 2**20


@pytest.mark.statement("MR-41")
def test_a_file_for_which_curl_waits_to_be_told_to_go_on_is_stored_too(
    folder: Path, environment: Mapping[str, str]
) -> None:
    content = (folder / "input.png").read_bytes() * 8
    (folder / "input.png").write_bytes(content)
    assert len(content) > 2**20

    urls = json.loads(shell(INITIATE.replace("SIZE", str(len(content))), folder, environment))
    shell(
        f"{PUT.replace('curl', 'curl -v', 1).rstrip()} 2> talk.txt", folder, environment, UPLOAD_URL=urls["upload_url"]
    )

    assert "100 Continue" in (folder / "talk.txt").read_text()
    shell('curl -fsSL -o copy.png "$FILE_URL"', folder, environment, FILE_URL=urls["file_url"])
    assert (folder / "copy.png").read_bytes() == content


@pytest.mark.statement("MR-41")
@pytest.mark.statement("MR-42")
def test_the_guides_lines_upload_a_file_in_parts(folder: Path, environment: Mapping[str, str]) -> None:
    content = (folder / "input.png").read_bytes() * 30
    parts = [content[: 5 * 2**20], content[5 * 2**20 :]]
    assert parts[1]

    begun = json.loads(shell(INITIATE_MULTIPART.replace("SIZE", str(len(content))), folder, environment))
    names = {"UPLOAD_ID": begun["uploadId"], "UPLOAD_KEY": begun["uploadKey"]}
    etags = []
    for number, part in enumerate(parts, 1):
        (folder / "part").write_bytes(part)
        url = json.loads(shell(PART_URL, folder, environment, NUMBER=str(number), **names))["presignedUrl"]
        shell(PUT_PART, folder, environment, PRESIGNED_URL=url)
        etags += re.findall(r'^etag: "(.*)"', (folder / "headers.txt").read_text(), re.IGNORECASE | re.MULTILINE)
    said = json.loads(shell(COMPLETE, folder, environment, FIRST=etags[0], SECOND=etags[1], **names))

    assert said == {"fileUrl": begun["fileUrl"]}
    shell('curl -fsSL -D headers.txt -o copy.png "$FILE_URL"', folder, environment, FILE_URL=begun["fileUrl"])
    assert (folder / "copy.png").read_bytes() == content
    assert "image/png" in (folder / "headers.txt").read_text()


def test_our_pages_lines_upload_a_file_and_run_a_model(folder: Path, environment: Mapping[str, str]) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    result = json.loads(shell("".join(blocks), folder, environment))

    assert result["status"] == "COMPLETED"
    assert result["output"]["image"]["content_type"] == "image/png"
    assert (folder / "copy.png").read_bytes() == (folder / "input.png").read_bytes()


def test_our_pages_python_runs_as_it_stands(folder: Path, environment: Mapping[str, str]) -> None:
    [example] = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        if "upload_file" in block
    ]
    assert ADDRESS in example

    done = subprocess.run(
        [sys.executable, "-c", example.replace(ADDRESS, environment["BASE"])],
        cwd=folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{environment['BASE']}/media/")


def test_our_page_tells_the_limits_that_hold() -> None:
    assert f"| a file | {POLICY.max_bytes} bytes " in PAGE
    assert f"| a file in parts | {POLICY.max_multipart_bytes} bytes " in PAGE
    assert f"| an upload in parts | {POLICY.multipart_ttl.days} days " in PAGE
    assert f"| `upload_url` | {POLICY.url_ttl.total_seconds():.0f} seconds " in PAGE
