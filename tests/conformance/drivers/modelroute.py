"""Drives the ModelRoute dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.dialect_lifecycle import Begun, Ended, File, RefusedError
from tests.dialects.modelroute.client import ModelRoute

if TYPE_CHECKING:
    from collections.abc import Mapping


class ModelRouteDriver:
    """`dialect_lifecycle.Driver`. Files have no lifetime here, so that a wish for one is not passed on."""

    def __init__(self, base_url: str, key: str) -> None:
        self._api = ModelRoute(base=base_url, key=key)

    def begin(self, content: bytes, *, lifetime_seconds: int | None = None) -> Begun:
        del lifetime_seconds
        declared = {"filename": "picture.png", "content_type": "image/png", "size_bytes": len(content)}
        made = self._call("POST", "/v1/files/upload", declared)
        return Begun(handle=made["file_id"], url=made["upload_url"], headers={"Content-Type": "image/png"})

    def complete(self, begun: Begun) -> File:
        address = f"/v1/files/{begun.handle}"
        url = self._call("GET", f"{address}/url")["url"]
        return File(reference=begun.handle, url=url, others=(f"{self._api.base}{address}/download",))

    def submit(self, model: str, inputs: Mapping[str, object]) -> str:
        return str(self._call("POST", "/v1/executions", {"model": model, "input": dict(inputs)})["id"])

    def look(self, run: str) -> Ended | None:
        said = self._call("GET", f"/v1/executions/{run}/result")
        if said["status"] in {"PENDING", "PROCESSING"}:
            return None
        return Ended(output=said.get("output"))

    def cancel(self, run: str) -> None:
        self._call("POST", f"/v1/executions/{run}/cancel")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        answer = self._api.call(method, path, body)
        if answer.status >= 400:
            raise RefusedError(answer)
        return answer.json()
