"""A raw client of the ModelRunner dialect: what it sends is what the test says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.exchange import Answer

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="1" height="1"/></svg>'
LIFECYCLE = "X-Modelrunner-Object-Lifecycle-Preference"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRunner:
    """What one key can do. `base` is the address that stands for all of the product's hosts."""

    base: str
    key: str

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request; `path` may be a whole URL. `body` is sent as JSON unless it is bytes; `Some_Header="…"`."""
        sent = {"Authorization": f"Key {self.key}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        content = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        url = path if path.startswith("http") else self.base + path
        return exchange(method, url, content, headers=sent)

    def initiate(self, name: str = "input.png", content_type: str = "image/png", **more: object) -> Any:  # noqa: ANN401 - JSON
        """Begin an upload; `more` are further members of the body."""
        body = {"file_name": name, "content_type": content_type, **more}
        return self.call("POST", "/storage/upload/initiate", body).must(200)

    def mortal(self, seconds: object, name: str = "input.png") -> Any:  # noqa: ANN401 - JSON
        """Begin an upload of a picture that shall live so long."""
        header = {LIFECYCLE: json.dumps({"expiration_duration_seconds": seconds})}
        body = {"file_name": name, "content_type": "image/png"}
        return self.call("POST", "/storage/upload/initiate", body, **header).must(200)

    def upload(self, content: bytes = PNG, name: str = "input.png", content_type: str = "image/png") -> str:
        """A file's URL, its bytes in place."""
        begun = self.initiate(name, content_type)
        assert put(begun["upload_url"], content, content_type).status == 200
        return str(begun["file_url"])

    def submit(self, model: str = "acme/model", body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Queue a request."""
        return self.call("POST", f"/{model}", dict(body or {})).must(201)


def put(url: str, content: bytes, content_type: str | None, **headers: str) -> Answer:
    """Send bytes to a presigned URL, without a key."""
    sent = {} if content_type is None else {"Content-Type": content_type}
    return exchange("PUT", url, content, headers=sent | {name.replace("_", "-"): v for name, v in headers.items()})


def envelope(answer: Answer, status: int) -> Any:  # noqa: ANN401 - JSON
    """The body of an answer that must be a complete error envelope."""
    said = answer.must(status)
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(said["error"], str | list)
    assert said["error"]
    assert said["message"]
    assert said["statusCode"] == status
    assert said["request_id"] == answer.headers["x-modelrunner-request-id"] != ""
    return said


def issues(answer: Answer) -> dict[str, str]:
    """The issues of a 400 envelope: code by dotted path. They must stand in both places where clients look."""
    said = envelope(answer, 400)
    assert said["error"] == said["details"]["validationErrors"]
    assert all(set(issue) == {"path", "message", "code"} and issue["message"] for issue in said["error"])
    return {".".join(map(str, issue["path"])): issue["code"] for issue in said["error"]}
