"""A raw client of the ModelRoute dialect: what it sends is what the test says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tests.support.exchange import Answer

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00" + (b"\xff\xfb\x90\x00" + b"\0" * 413) * 8
DECLARED = {"filename": "photo.png", "content_type": "image/png", "size_bytes": 2_048_576}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRoute:
    """What one key can do. `base` is the address that stands for the product's API host."""

    base: str
    key: str

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request. `body` is sent as JSON unless it is bytes; `Some_Header="…"`."""
        sent = {"Authorization": f"Bearer {self.key}", **{name.replace("_", "-"): v for name, v in headers.items()}}
        content = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        return exchange(method, self.base + path, content, headers=sent)

    def native(self, method: str, path: str, body: object = None) -> Answer:
        """One request to the native API, for what this one does not tell."""
        root = self.base.removesuffix("/modelroute")
        content = json.dumps(body).encode() if body is not None else None
        return exchange(method, f"{root}/v1{path}", content, headers={"Authorization": f"Bearer {self.key}"})

    def begin(self, **declared: object) -> Any:  # noqa: ANN401 - JSON
        """Step 1, with the guide's declaration where the test has no other."""
        return self.call("POST", "/v1/files/upload", {**DECLARED, **declared}).must(200)

    def upload(self, content: bytes = PNG, name: str = "photo.png", content_type: str = "image/png") -> str:
        """A file's id, its bytes in place."""
        begun = self.begin(filename=name, content_type=content_type)
        assert put(begun["upload_url"], content, content_type).status == 200
        return str(begun["file_id"])

    def try_execute(self, inputs: Mapping[str, object], model: str = "acme/model", **headers: str) -> Answer:
        """Ask for an execution."""
        return self.call("POST", "/v1/executions", {"model": model, "input": dict(inputs)}, **headers)

    def execute(self, inputs: Mapping[str, object], model: str = "acme/model") -> Any:  # noqa: ANN401 - JSON
        """An execution that must be accepted."""
        return self.try_execute(inputs, model).must(202)

    def execution(self, execution_id: str) -> Any:  # noqa: ANN401 - JSON
        """Where an execution stands."""
        return self.call("GET", f"/v1/executions/{execution_id}").must(200)


def put(url: str, content: bytes, content_type: str | None) -> Answer:
    """Send bytes to a presigned URL, without a key."""
    return exchange("PUT", url, content, headers={} if content_type is None else {"Content-Type": content_type})


def stamp(time: datetime) -> str:
    """A time as the product writes it."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def envelope(answer: Answer, status: int, code: str, *, retryable: bool = False) -> Any:  # noqa: ANN401 - JSON
    """The `error` of an answer that must be a complete envelope."""
    said = answer.must(status)
    assert answer.headers["content-type"] == "application/json"
    assert set(said) == {"error"}
    error = said["error"]
    assert (error["code"], error["retryable"]) == (code, retryable)
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["request_id"].startswith("req_")
    assert ("details" in error) == (code == "INPUT_VALIDATION_ERROR")
    return error


def wrong_fields(answer: Answer) -> dict[str, str]:
    """The details of a validation error: code by field."""
    details = envelope(answer, 400, "INPUT_VALIDATION_ERROR")["details"]
    assert details
    assert all(set(detail) == {"field", "code", "message"} and detail["message"] for detail in details)
    return {detail["field"]: detail["code"] for detail in details}
