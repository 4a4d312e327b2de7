"""Drives the Runware dialect, over REST."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from tests.conformance.dialect_lifecycle import Begun, Ended, File, Kept, RefusedError, read
from tests.dialects.runware.client import Runware, task, uuid
from tests.support.exchange import fetch

if TYPE_CHECKING:
    from collections.abc import Mapping


class RunwareDriver:
    """`dialect_lifecycle.Driver`. Bytes come with the task that stores them; what a run said is in its picture."""

    def __init__(self, base_url: str, key: str) -> None:
        self._api = Runware(base=f"{base_url}/v1", key=key)

    def begin(self, content: bytes, *, lifetime_seconds: int | None = None) -> Begun:
        del lifetime_seconds
        media = f"data:image/png;base64,{b64encode(content).decode()}"
        item = self._do("mediaStorage", operation="upload", media=media)
        return Kept(handle=item["mediaUUID"], url=item["mediaURL"])

    def complete(self, begun: Begun) -> File:
        return File(reference=begun.handle, url=begun.url)

    def submit(self, model: str, inputs: Mapping[str, object]) -> str:
        run = uuid()
        of_a_file = model if ":" in model else f"{model}-file"  # what is registered makes files
        asked = {"model": of_a_file, "seedImage": inputs.get("image"), "positivePrompt": "a"}
        self._do("imageInference", taskUUID=run, deliveryMethod="async", **asked)
        return run

    def look(self, run: str) -> Ended | None:
        item = self._do("getResponse", taskUUID=run)
        if item["status"] == "processing":
            return None
        return Ended(output=read(fetch(item["imageURL"]).body))

    def cancel(self, run: str) -> None:
        msg = f"run {run}: the product has no way to cancel one"
        raise AssertionError(msg)

    def _do(self, kind: str, **members: object) -> Any:  # noqa: ANN401 - JSON
        answer = self._api.post(task(kind, **members))
        if answer.status >= 400:
            raise RefusedError(answer)
        return answer.json()["data"][0]
