"""Drives the ModelRunner dialect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.conformance.dialect_lifecycle import Begun, Ended, File, RefusedError
from tests.dialects.modelrunner.client import LIFECYCLE, ModelRunner

if TYPE_CHECKING:
    from collections.abc import Mapping


class ModelRunnerDriver:
    """`dialect_lifecycle.Driver`. A run is named by its `response_url`."""

    def __init__(self, base_url: str, key: str) -> None:
        self._api = ModelRunner(base=base_url, key=key)

    def begin(self, content: bytes, *, lifetime_seconds: int | None = None) -> Begun:
        declared = {"file_name": "picture.png", "content_type": "image/png", "size": len(content)}
        preference = {LIFECYCLE: json.dumps({"expiration_duration_seconds": lifetime_seconds})}
        made = self._call("POST", "/storage/upload/initiate", declared, **preference)
        return Begun(handle=made["file_url"], url=made["upload_url"], headers={"Content-Type": "image/png"})

    def complete(self, begun: Begun) -> File:
        return File(reference=begun.handle, url=begun.handle)

    def submit(self, model: str, inputs: Mapping[str, object]) -> str:
        return str(self._call("POST", f"/{model}", dict(inputs))["response_url"])

    def look(self, run: str) -> Ended | None:
        answer = self._api.call("GET", f"{run}/status")
        said = answer.json()
        if answer.status == 400 and said.get("status") in {"FAILED", "CANCELLED"}:
            return Ended(output=None)
        if answer.status >= 400:
            raise RefusedError(answer)
        if said["status"] != "COMPLETED":
            return None
        return Ended(output=self._call("GET", run)["output"])

    def cancel(self, run: str) -> None:
        self._call("PUT", f"{run}/cancel")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:  # noqa: ANN401 - JSON
        answer = self._api.call(method, path, body, **headers)
        if answer.status >= 400:
            raise RefusedError(answer)
        return answer.json()
