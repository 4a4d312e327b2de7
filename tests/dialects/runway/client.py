"""A raw client of the Runway dialect: what it sends is what the test says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.exchange import exchange
from tests.support.forms import post_form

if TYPE_CHECKING:
    from tests.support.exchange import Answer

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
PICTURE = PNG + bytes(600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runway:
    """What one key can do."""

    base: str
    key: str
    version: str | None = "2024-11-06"

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request; `body` is sent as JSON unless it is bytes; `Some_Header="…"`."""
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        if self.version is not None:
            sent["X-Runway-Version"] = self.version
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        return exchange(method, self.base + path, content, headers=sent)

    def slot(self, filename: str = "image.png") -> Any:  # noqa: ANN401 - JSON
        """Ask for an upload slot."""
        return self.call("POST", "/v1/uploads", {"filename": filename, "type": "ephemeral"}).must(200)

    def upload(self, content: bytes = PICTURE, filename: str = "image.png") -> str:
        """The URI of a file whose bytes are in place."""
        slot = self.slot(filename)
        send(slot, content).must(204)
        return str(slot["runwayUri"])

    def generate(self, reference: object, **changes: object) -> Answer:
        """Ask for a task; a change to None leaves the member out."""
        body = {"model": "gen4.5", "promptImage": reference, "promptText": "a", "ratio": "1280:720", "duration": 5}
        kept = {name: value for name, value in {**body, **changes}.items() if value is not None}
        return self.call("POST", "/v1/image_to_video", kept)


def send(slot: Any, content: bytes = PICTURE, **changes: str) -> Answer:  # noqa: ANN401 - JSON
    """The form of a slot, with other values for some of its fields."""
    return post_form(slot["uploadUrl"], {**slot["fields"], **changes}, content)


def issue_paths(answer: Answer) -> list[list[str | int]]:
    """The paths of a refusal's issues; the body must be nothing but a refusal."""
    said = answer.must(400)
    assert set(said) == {"error", "issues"}
    return [issue["path"] for issue in said["issues"]]
