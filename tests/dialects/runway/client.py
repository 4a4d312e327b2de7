"""A raw client of the Runway dialect: what it sends is what the test says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.exchange import exchange
from tests.support.forms import post_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.exchange import Answer

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
PICTURE = PNG + bytes(600)
_MEDIA = Path(__file__).parents[2] / "fixtures" / "media"
FILM = (_MEDIA / "film.mp4").read_bytes()
SOUND = (_MEDIA / "sound.wav").read_bytes()


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
        """Ask for a film from a picture; a change to None leaves the member out."""
        body = {"model": "gen4.5", "promptImage": reference, "promptText": "a", "ratio": "1280:720", "duration": 5}
        return self.create("image_to_video", {**body, **changes})

    def create(self, endpoint: str, body: Mapping[str, object]) -> Answer:
        """Ask for a task; members that are None are left out."""
        return self.call("POST", f"/v1/{endpoint}", {name: value for name, value in body.items() if value is not None})

    def task(self, reference: object, **changes: object) -> str:
        """The path of a new task."""
        return f"/v1/tasks/{self.generate(reference, **changes).must(200)['id']}"


def send(slot: Any, content: bytes = PICTURE, **changes: str) -> Answer:  # noqa: ANN401 - JSON
    """The form of a slot, with other values for some of its fields."""
    return post_form(slot["uploadUrl"], {**slot["fields"], **changes}, content)


def issue_paths(answer: Answer) -> list[list[str | int]]:
    """The paths of a refusal's issues; the body must be nothing but a refusal."""
    said = answer.must(400)
    assert set(said) == {"error", "issues"}
    assert all(set(issue) == {"code", "path", "message"} for issue in said["issues"])
    return [issue["path"] for issue in said["issues"]]
