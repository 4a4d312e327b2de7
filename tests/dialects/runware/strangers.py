"""What a stranger can ask about somebody's models, and all that an answer tells them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.dialects.runware.client import Runware, task
from tests.support.exchange import exchange
from tests.support.native import Native

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.dialects.runware.shelf import Shelf
    from tests.dialects.runware.upload_tasks import Task
    from tests.support.exchange import Answer
    from tests.support.house import House

_NUMBERS = count()
_HEX = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_TRANSIENT = {"date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What `owner` has: private models by category, and a public checkpoint with a private twin of the same file."""

    owner: Runware
    private: Mapping[str, Task]
    public: Task
    twin: Task
    shelf: Shelf


def opened(house: House, name: str, *scopes: str) -> Runware:
    """A new account with a source of its own, and a key with those scopes or all."""
    whole = f"{name}-{next(_NUMBERS)}"
    key = house.create_key(whole, scopes=scopes)
    return Runware(base=f"{house.url}/runware/v1", key=key, source=house.create_source(key, whole))


def native(client: Runware) -> Native:
    """The same key on the native API."""
    return Native(url=client.base.removesuffix("/runware/v1"), key=client.key)


def unknown_beside(air: str) -> str:
    """An AIR of the same source that nobody has, of the same length."""
    source, _, rest = air.partition(":")
    return f"{source}:{'9' * len(rest.partition('@')[0])}@1"


def of_nobody(air: str) -> str:
    """An AIR of a source that nobody has, of the same length."""
    source, _, rest = air.partition(":")
    return f"{'z' * len(source)}:{rest}"


def bare(text: str, air: str) -> str:
    """Without the name that was asked for, and without what differs from request to request."""
    source = air.partition(":")[0]
    for name in (quote(air, safe=""), quote(air, safe=":"), air, source):
        text = re.sub(re.escape(name), "ASKED", text, flags=re.IGNORECASE)
    return _HEX.sub("ID", text)


def heard(answer: Answer, air: str) -> tuple[int, tuple[tuple[str, str], ...], str]:
    """All that an answer tells."""
    headers = ((name.lower(), bare(value, air)) for name, value in answer.headers.items())
    return (
        answer.status,
        tuple(sorted(one for one in headers if one[0] not in _TRANSIENT)),
        bare(answer.body.decode(), air),
    )


def tasks_about(air: str, scene: Scene, shelf: Shelf) -> Iterator[dict[str, Any]]:
    """Every task that names a model."""
    for category in ("checkpoint", "lora", "vae"):
        named = scene.private[category]["uniqueIdentifier"]
        for identifier in (named, "another"):
            said = shelf.task(scene.owner, category, air=air, uniqueIdentifier=identifier)
            yield said
            yield {**said, "deliveryMethod": "async"}
    picture = {"positivePrompt": "a", "width": 512, "height": 512, "numberResults": 1}
    public = scene.public["air"]
    yield task("imageInference", model=air, **picture)
    yield task("imageInference", model=air.upper(), **picture)
    yield task("imageInference", model=f"urn:air:flux1:checkpoint:{air}", **picture)
    yield task("imageInference", model=public, lora=[{"model": air, "weight": 1}], **picture)
    yield task("imageInference", model=public, vae=air, **picture)
    yield task("imageInference", model=public, embeddings=[{"model": air}], **picture)
    yield task("imageInference", model=public, controlNet=[{"model": air, "guideImage": "x"}], **picture)
    yield task("modelManagement", operation="delete", air=air)


def requests_about(air: str, scene: Scene) -> Iterator[tuple[str, str, Any]]:
    """Every request of the other dialects that names a model."""
    for spelled in (air, air.upper(), quote(air, safe=""), air.replace("@", "%40"), f"urn:air:flux1:checkpoint:{air}"):
        path = f"/v1/models/{spelled}"
        yield "GET", path, None
        yield "HEAD", path, None
        yield "PATCH", path, {"name": "mine", "private": False}
        yield "DELETE", path, None
        for part in ("original", "optimized", "manifest", "survey", "manifest/"):
            yield "GET", f"{path}/files/{part}", None
            yield "HEAD", f"{path}/files/{part}", None
    public = scene.public["air"]
    said = {"category": "checkpoint", "type": "base", "architecture": "flux1s", "name": "mine", "version_label": "1"}
    for identifier in (scene.private["checkpoint"]["uniqueIdentifier"], "another"):
        yield "POST", "/v1/models", {"air": air, "unique_identifier": identifier, **said}
        yield "POST", "/v1/models", {"air": air, "unique_identifier": identifier, "url": "http://127.0.0.1:9/x", **said}
    yield "POST", "/v1/models", {"air": air, "name": "mine"}
    for model, inputs in (
        (air, {}),
        (public, {"lora": air}),
        (public, {"lora": [{"model": air}]}),
        (public, {"vae": air}),
    ):
        yield "POST", "/v1/runs", {"model": model, "input": inputs}
        yield "POST", f"/modelrunner/{model}", inputs
        yield "POST", f"/modelrunner/{model}/stream", inputs
        yield "POST", "/modelroute/v1/executions", {"model": model, "input": inputs}
        yield "POST", f"/runflow/v1/models/{model}/runs", {"input": inputs}
    yield "POST", "/runway/v1/text_to_image", {"model": air, "promptText": "a", "ratio": "1024:1024"}


def send(client: Runware, method: str, path: str, body: object) -> Answer:
    """One request of any dialect, as this client."""
    content = None if body is None else json.dumps(body).encode()
    scheme = "Key" if path.startswith("/modelrunner") else "Bearer"
    headers = {"Authorization": f"{scheme} {client.key}", "Content-Type": "application/json"}
    if path.startswith("/runway"):
        headers["X-Runway-Version"] = "2024-11-06"
    return exchange(method, native(client).url + path, content, headers=headers)


def state_of(scene: Scene) -> tuple[object, ...]:
    """All that the owner sees of what is theirs."""
    account = native(scene.owner)
    models = [account.get(f"/models/{one['air']}").must(200) for one in (*scene.private.values(), scene.public)]
    return models, account.get("/model-uploads?limit=100").must(200), account.get("/account").must(200)


def batches(tasks: list[dict[str, object]], size: int = 20) -> Iterator[list[dict[str, object]]]:
    for start in range(0, len(tasks), size):
        yield tasks[start : start + size]


def with_metadata(data: bytes, word: str) -> bytes:
    """The same tensors in a file that is another one."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = {**header.get("__metadata__", {}), "word": word}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def named(air: str, *said: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The same task about a model that is there, one that is not, and one of nobody's source."""
    yield from zip(said, (air, unknown_beside(air), of_nobody(air)), strict=True)
