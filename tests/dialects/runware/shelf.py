"""Somebody's server with model files on it, and tasks that upload them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from penstock.domain.model_uploads import Phase
from tests.dialects.runware.client import uuid
from tests.dialects.runware.upload_tasks import Task, task_of
from tests.support.remote import serving

if TYPE_CHECKING:
    from tests.dialects.runware.client import Runware, Wire
    from tests.support.house import House
    from tests.support.model_files import ModelFiles
    from tests.support.remote import Remote, Visit

# What the product's page says, letter by letter.
SAID = {
    "validated": "Model parameters and configuration validated.",
    "downloaded": "Model downloaded from provider.",
    "optimized": "Model optimized for deployment.",
    "stored": "Model uploaded to secure storage.",
    "ready": "Model successfully deployed and ready for use.",
}
ORDER = list(SAID)
EXAMPLES = {
    "checkpoint": ("checkpoint/flux_schnell_bfl", "flux1s"),
    "lora": ("lora/sd15_diffusers_old", "sd1x"),
    "lycoris": ("lycoris/sdxl_lokr", "sdxl"),
    "controlnet": ("controlnet/sd15_t2i_adapter", "sd1x"),
    "vae": ("vae/qwen_3d", "qwen_image"),
    "embeddings": ("embeddings/sd15_diffusers_token", "sd1x"),
}
"""A small file of each category, and the architecture that it is declared as."""
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Files of `model_files` at URLs of a server on this machine."""

    remote: Remote
    files: ModelFiles

    def url(self, case: str, query: str = "") -> str:
        """Where the file of a model is. Each call is another URL, so that its visits can be told."""
        return self.put(self.files.path(case).read_bytes(), query)

    def put(self, data: bytes, query: str = "") -> str:
        """Where such a file is."""
        path = f"/{next(_NUMBERS)}.safetensors"
        self.remote.on(path, serving(data))
        return self.remote.url(path + query)

    def visits(self, url: str) -> list[Visit]:
        """The requests that came for a URL."""
        target = url.removeprefix(self.remote.url(""))
        return [visit for visit in self.remote.visits if visit.target == target]

    def task(self, client: Runware, category: str = "embeddings", **more: object) -> Task:
        """A task that uploads the example of a category as a new model of the client's."""
        case, architecture = EXAMPLES[category]
        number = next(_NUMBERS)
        said = {
            "taskUUID": uuid(),
            "air": f"{client.source}:{number}@1",
            "architecture": architecture,
            "uniqueIdentifier": f"file-{number}",
            **({} if "downloadURL" in more else {"downloadURL": self.url(case)}),
        }
        return task_of(category, {**said, **more})


def upload(client: Runware, house: House, task: Task) -> None:
    """Upload a model that must become ready."""
    accepted = client.post({**task, "deliveryMethod": "async"}).must(200)
    assert accepted == {"data": [{"taskType": "modelUpload", "taskUUID": task["taskUUID"]}]}
    house.work()
    assert ask(client, task)["data"][0]["status"] == "success"


def ready(client: Runware, house: House, shelf: Shelf, category: str = "checkpoint", **more: object) -> str:
    """The AIR of a new model of the client's that can be used."""
    task = shelf.task(client, category, **more)
    upload(client, house, task)
    return str(task["air"])


def ask(client: Runware, task: Task, kind: str = "getResponse") -> Any:  # noqa: ANN401 - JSON
    """What `getResponse` says of a task."""
    return client.post({"taskType": kind, "taskUUID": task["taskUUID"]}).json()


def frames(wire: Wire, number: int) -> list[Any]:
    """The next frames."""
    return [wire.hear() for _ in range(number)]


def phases(task: Task, *names: str) -> list[dict[str, Any]]:
    """The frames that tell of phases, exactly."""
    known = {"taskType": "modelUpload", "taskUUID": task["taskUUID"], "air": task["air"]}
    return [{"data": [{**known, "status": name, "message": SAID[name]}]} for name in names]


def search(client: Runware, **filters: object) -> Any:  # noqa: ANN401 - JSON
    """The item of a search."""
    (item,) = client.post({"taskType": "modelSearch", "taskUUID": uuid(), **filters}).must(200)["data"]
    return item


def own(client: Runware) -> list[Any]:
    """The client's own models, the newest first."""
    results: list[Any] = search(client, visibility="owned", limit=100)["results"]
    return results


def found(client: Runware, air: str) -> Any | None:  # noqa: ANN401 - JSON
    """The model of that AIR, if the client can see it."""
    results = search(client, search=air, limit=100)["results"]
    return next((model for model in results if model["air"] == air), None)


assert list(Phase)[: len(ORDER)] == ORDER
