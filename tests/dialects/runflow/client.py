"""A raw client of the Runflow dialect: what it sends is what the test says."""

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
UNKNOWN = "019a9f1e-3b6c-7a10-9f0d-5e2b7c1d8e44"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runflow:
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

    def try_begin(self, **declared: object) -> Answer:
        """Step 1, with exactly these members."""
        return self.call("POST", "/v1/asset-uploads", declared)

    def begin(self, name: str = "photo.png", mime_type: str = "image/png", size: int = len(PNG)) -> Any:  # noqa: ANN401 - JSON
        """Step 1."""
        return self.try_begin(filename=name, mime_type=mime_type, size_bytes=size).must(201)

    def send(self, content: bytes = PNG, name: str = "photo.png", mime_type: str = "image/png") -> str:
        """The id of an upload whose bytes are in place, not yet confirmed."""
        begun = self.begin(name, mime_type, len(content))
        assert put(begun["upload_url"], content, mime_type).status == 200
        return str(begun["asset_id"])

    def try_confirm(self, upload_id: str, body: object = None) -> Answer:
        """Step 3."""
        return self.call("POST", f"/v1/asset-uploads/{upload_id}/confirmations", body)

    def upload(
        self, content: bytes = PNG, name: str = "photo.png", mime_type: str = "image/png", folder: str | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        """An asset, from beginning to end."""
        return self.try_confirm(self.send(content, name, mime_type), {"folder_id": folder}).must(201)

    def asset(self, asset_id: str) -> Any:  # noqa: ANN401 - JSON
        """An asset that must be there."""
        return self.call("GET", f"/v1/assets/{asset_id}").must(200)

    def try_run(self, inputs: Mapping[str, object], model: str = "acme/model", **more: object) -> Answer:
        """Ask for a run."""
        return self.call("POST", f"/v1/models/{model}/runs", {"input": dict(inputs), **more})

    def run(self, inputs: Mapping[str, object], model: str = "acme/model", **more: object) -> Any:  # noqa: ANN401 - JSON
        """A run that must be accepted."""
        return self.try_run(inputs, model, **more).must(201)

    def look(self, run_id: str) -> Any:  # noqa: ANN401 - JSON
        """Where a run stands."""
        return self.call("GET", f"/v1/runs/{run_id}").must(200)


def put(url: str, content: bytes, content_type: str | None) -> Answer:
    """Send bytes to a presigned URL, without a key."""
    return exchange("PUT", url, content, headers={} if content_type is None else {"Content-Type": content_type})


def envelope(answer: Answer, status: int, code: str) -> Any:  # noqa: ANN401 - JSON
    """The body of an answer that must be a complete error."""
    said = answer.must(status)
    assert answer.headers["content-type"] == "application/json"
    assert set(said) == {"code", "message", "errors"}
    assert said["code"] == code
    assert said["message"]
    return said


def wrong_fields(answer: Answer) -> list[list[str | int]]:
    """Where the fields stand that a 422 names."""
    found = envelope(answer, 422, "VALIDATION_ERROR")["errors"]
    assert found
    assert all(set(one) == {"loc", "msg", "type"} and one["msg"] for one in found)
    return [one["loc"] for one in found]
