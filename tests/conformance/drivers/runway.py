"""Drives the Runway dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.dialect_lifecycle import Begun, Ended, File, RefusedError, read
from tests.dialects.runway.client import Runway
from tests.support.exchange import fetch

if TYPE_CHECKING:
    from collections.abc import Mapping


class RunwayDriver:
    """`dialect_lifecycle.Driver`. A task's output is files alone: what the model said is in the first of them."""

    def __init__(self, base_url: str, key: str) -> None:
        self._api = Runway(base=base_url, key=key)
        self._cancelled: set[str] = set()

    def begin(self, content: bytes, *, lifetime_seconds: int | None = None) -> Begun:
        del content, lifetime_seconds
        made = self._call("POST", "/v1/uploads", {"filename": "picture.png", "type": "ephemeral"})
        return Begun(handle=made["runwayUri"], url=made["uploadUrl"], fields=made["fields"])

    def complete(self, begun: Begun) -> File:
        return File(reference=begun.handle, url="")

    def submit(self, model: str, inputs: Mapping[str, object]) -> str:
        of_a_file = model if ":" in model else f"{model}-file"  # what is registered makes files
        body = {"model": of_a_file, "ratio": "1280:720", "duration": 5, "promptText": "a"}
        if "image" not in inputs:
            return str(self._call("POST", "/v1/text_to_video", body)["id"])
        body["promptImage"] = inputs["image"]
        return str(self._call("POST", "/v1/image_to_video", body)["id"])

    def look(self, run: str) -> Ended | None:
        answer = self._api.call("GET", f"/v1/tasks/{run}")
        if answer.status == 404 and run in self._cancelled:  # that is how a cancelled task ends
            return Ended(output=None)
        if answer.status >= 400:
            raise RefusedError(answer)
        said = answer.json()
        if said["status"] in {"PENDING", "THROTTLED", "RUNNING"}:
            return None
        return Ended(output=read(fetch(said["output"][0]).body) if "output" in said else None)

    def cancel(self, run: str) -> None:
        self._call("DELETE", f"/v1/tasks/{run}")
        self._cancelled.add(run)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        answer = self._api.call(method, path, body)
        if answer.status >= 400:
            raise RefusedError(answer)
        return answer.json() if answer.body else None
