"""Drives the native API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.dialect_lifecycle import Begun, Ended, File, RefusedError
from tests.support.native import Native

if TYPE_CHECKING:
    from collections.abc import Mapping


class NativeDriver:
    """`dialect_lifecycle.Driver`."""

    def __init__(self, base_url: str, key: str) -> None:
        self._api = Native(url=base_url.removesuffix("/v1"), key=key)

    def begin(self, content: bytes, *, lifetime_seconds: int | None = None) -> Begun:
        declared = {"filename": "picture.png", "content_type": "image/png", "size_bytes": len(content)}
        more = {} if lifetime_seconds is None else {"expires_in": lifetime_seconds}
        made = self._call("POST", "/uploads", declared | more)
        return Begun(handle=made["id"], url=made["upload_url"], headers=made["headers"])

    def complete(self, begun: Begun) -> File:
        asset = self._call("POST", f"/uploads/{begun.handle}/complete")
        return File(reference=asset["id"], url=asset["url"], others=(begun.handle,))

    def submit(self, model: str, inputs: Mapping[str, object]) -> str:
        return str(self._call("POST", "/runs", {"model": model, "input": dict(inputs)})["id"])

    def look(self, run: str) -> Ended | None:
        said = self._call("GET", f"/runs/{run}")
        return None if said["state"] in {"queued", "running"} else Ended(output=said["output"])

    def cancel(self, run: str) -> None:
        self._call("POST", f"/runs/{run}/cancel")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        answer = self._api.call(method, path, body)
        if answer.status >= 400:
            raise RefusedError(answer)
        return answer.json()
