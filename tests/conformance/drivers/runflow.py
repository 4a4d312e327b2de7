"""Drives the Runflow dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.dialect_lifecycle import Begun, Ended, File, RefusedError
from tests.dialects.runflow.client import Runflow

if TYPE_CHECKING:
    from collections.abc import Mapping


class RunflowDriver:
    """`dialect_lifecycle.Driver`. Files have no lifetime here, so that a wish for one is not passed on."""

    def __init__(self, base_url: str, key: str) -> None:
        self._api = Runflow(base=base_url, key=key)

    def begin(self, content: bytes, *, lifetime_seconds: int | None = None) -> Begun:
        del lifetime_seconds
        declared = {"filename": "picture.png", "mime_type": "image/png", "size_bytes": len(content)}
        made = self._call("POST", "/v1/asset-uploads", declared)
        return Begun(handle=made["asset_id"], url=made["upload_url"], headers={"Content-Type": "image/png"})

    def complete(self, begun: Begun) -> File:
        asset = self._call("POST", f"/v1/asset-uploads/{begun.handle}/confirmations", {})
        return File(reference=f"runflow://assets/{asset['id']}", url=asset["url"], others=(asset["id"],))

    def submit(self, model: str, inputs: Mapping[str, object]) -> str:
        return str(self._call("POST", f"/v1/models/{model}/runs", {"input": dict(inputs)})["id"])

    def look(self, run: str) -> Ended | None:
        said = self._call("GET", f"/v1/runs/{run}")
        if said["status_code"] in {"queued", "running"}:
            return None
        output = said["output"]
        return Ended(output={k: v for k, v in output.items() if k != "outputs"} if output is not None else None)

    def cancel(self, run: str) -> None:
        msg = f"run {run}: the product has no way to cancel one"
        raise AssertionError(msg)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        answer = self._api.call(method, path, body)
        if answer.status >= 400:
            raise RefusedError(answer)
        return answer.json()
