"""What the official JavaScript client 1.3.0 sends, as it was recorded; its package cannot be installed from npm.

The replay is what its statements (MR-37, MR-50) are proven by as long as that is so.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tests.dialects.modelrunner.client import PNG, SVG
from tests.support.exchange import exchange, fetch

if TYPE_CHECKING:
    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.server import Server

PHOTOGRAPH = Path(__file__).parents[3] / "examples" / "chelsea.png"
CHUNK = 10 * 2**20
POLL_SECONDS = 0.5


def call(base: str, key: str, method: str, path: str, body: object = None, **headers: str) -> Any:  # noqa: ANN401 - JSON
    """A call of the client's: JSON both ways, also of a GET, which has a Content-Type and no body."""
    sent = {
        "Authorization": f"Key {key}",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "@modelrunner/client/1.3.0",
        "sec-fetch-mode": "cors",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
    answer = exchange(method, base + path, content, headers=sent)
    assert answer.headers["content-type"] == "application/json"  # the client does not read it otherwise
    assert 200 <= answer.status < 300, answer.body
    return answer.json()


def upload(base: str, key: str, content: bytes, content_type: str) -> str:
    """`storage.upload(blob)` of an unnamed blob; one without a type is `application/octet-stream` and `….octet`."""
    declared = content_type or "application/octet-stream"
    extension = declared.partition("/")[2].partition("-")[0].partition(";")[0]
    body = {"content_type": declared, "file_name": f"1795224900073.{extension}"}
    begun = call(base, key, "POST", "/storage/upload/initiate", body)
    headers = {"Content-Type": declared, "Accept": "*/*", "sec-fetch-mode": "cors"}
    if declared == "image/svg+xml":
        headers["Content-Disposition"] = "attachment"
    answer = exchange("PUT", begun["upload_url"], content, headers=headers)
    assert answer.status == 200
    assert answer.headers.get("content-type") != "application/json"
    return str(begun["file_url"])


def upload_in_parts(base: str, key: str, content: bytes) -> str:
    """`storage.upload(blob)` of a blob above 90 MiB: parts of 10 MiB, one after the other."""
    body = {"content_type": "image/png", "file_name": "1795224900073.png", "size": len(content)}
    begun = call(base, key, "POST", "/storage/upload/initiate-multipart", body)
    parts = []
    for number, start in enumerate(range(0, len(content), CHUNK), 1):
        query = urlencode({"uploadKey": begun["uploadKey"], "uploadId": begun["uploadId"], "partNumber": number})
        url = call(base, key, "GET", f"/storage/upload/multipart-url?{query}")["presignedUrl"]
        headers = {"Accept": "*/*", "sec-fetch-mode": "cors"}
        answer = exchange("PUT", url, content[start : start + CHUNK], headers=headers)
        assert answer.status == 200
        parts.append({"partNumber": number, "etag": answer.headers["etag"].replace('"', "")})
    named = {"uploadId": begun["uploadId"], "uploadKey": begun["uploadKey"], "parts": parts}
    call(base, key, "POST", "/storage/upload/complete", named)
    return str(begun["fileUrl"])


@pytest.mark.statement("MR-37")
@pytest.mark.parametrize(
    ("content", "content_type", "served_as"),
    [
        (PNG, "image/png", "image/png"),
        (PNG, "", "image/png"),
        (SVG, "image/svg+xml", "application/octet-stream"),
    ],
    ids=["a Blob", "a Blob without a type", "an SVG"],
)
def test_a_blob_is_uploaded(acme: ModelRunner, content: bytes, content_type: str, served_as: str) -> None:
    url = upload(acme.base, acme.key, content, content_type)

    served = fetch(url)
    assert (served.status, served.headers["content-type"], served.body) == (200, served_as, content)


@pytest.mark.statement("MR-37")
def test_a_blob_of_more_than_90_mib_is_uploaded_in_parts(acme: ModelRunner) -> None:
    content = PNG + bytes(90 * 2**20)

    url = upload_in_parts(acme.base, acme.key, content)

    assert fetch(url).body == content


@pytest.mark.statement("MR-50")
def test_the_guides_example_uploads_a_typeless_blob_and_subscribes(server: Server, key: str) -> None:
    base = f"{server.url}/modelrunner"
    url = upload(base, key, PHOTOGRAPH.read_bytes(), "")

    priority = {"x_modelrunner_queue_priority": "normal"}
    queued = call(base, key, "POST", "/swook/inspyrenet", {"image_path": url}, **priority)
    path = f"/swook/inspyrenet/requests/{queued['request_id']}"
    while call(base, key, "GET", f"{path}/status?logs=0")["status"] != "COMPLETED":
        time.sleep(POLL_SECONDS)  # what the client does
    data = call(base, key, "GET", path)

    assert data["id"] == queued["request_id"]
    assert fetch(data["output"]["image"]["url"]).body.startswith(b"\x89PNG")
