"""`imageInference` on the wire: what is asked, and one item for each picture (contract §12).

Everything that is not about the task itself goes to the model under the product's own names; which of them a model
takes is its table in the catalog.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.dialects.runware import parameters
from penstock.dialects.runware.task import Failure
from penstock.dialects.runware.wire import is_uuid
from penstock.domain.catalog import FieldType
from penstock.domain.errors import RateLimited, RunnerFailed
from penstock.domain.idempotency import idempotent_request
from penstock.domain.media_types import OCTET_STREAM
from penstock.domain.runs import RunFault
from penstock.services.runs import Variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.domain.assets import Asset
    from penstock.domain.catalog import Model
    from penstock.domain.idempotency import IdempotentRequest
    from penstock.domain.runs import Run

TASK = "imageInference"
MOST_RESULTS = 20
OUTPUT_TYPES = ("URL", "base64Data", "dataURI")
_DELIVERIES = ("sync", "async")
_FORMATS = ("JPG", "JPEG", "PNG", "WEBP")
_OF_THE_TASK = frozenset(
    {"taskType", "taskUUID", "model", "numberResults", "deliveryMethod", "outputType", "outputFormat", "includeCost"}
    | {"webhookURL", "uploadEndpoint", "ttl", "retry", "checkNSFW", "checkNsfw", "safety", "seed"}
)
_FORMAT = "outputFormat"
_USUAL_FORMAT = "JPG"
_LARGEST_SEED = 2**63 - 1
_FAULTS = {RunFault.SERVER: "internal_error", RunFault.UNAVAILABLE: "internal_error", RunFault.INPUT: "source_failed"}
"""What is told of a run that failed not by its model."""
NO_PICTURE = Failure(code=RunnerFailed.code, message="the model made no picture that is still there")
NO_ROOM = Failure(
    code=RateLimited.code,
    message="the picture is made, but too much stands in answers now; ask for it again in a while, with fewer others",
)
"""So that a picture which is there and paid for is not lost: `getResponse` has it, and so has the same task again."""
_SEEDS = 2**53
"""Seeds that are chosen here stay whole numbers in JavaScript."""
_LEAST_BASE64 = 64
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTask:
    """What is asked. `inputs` are the model's; `seed` is that of the first picture, if one was given."""

    model: str
    inputs: Mapping[str, object]
    results: int
    waits: bool
    output_type: str
    output_format: str | None
    includes_cost: bool
    seed: int | None
    webhook_url: str | None


def parse_image_task(task: Mapping[str, Any]) -> ImageTask:
    """Raises `InvalidField` at the parameter that is wrong."""
    model = parameters.given(task, "model")
    if model is None:
        parameters.missing("model")
    if not isinstance(model, str) or not model:
        parameters.invalid("model", "must be the AIR of a model", type="string")
    wanted = parameters.given(task, "outputType")
    one = wanted[0] if isinstance(wanted, list) and len(wanted) == 1 else wanted
    results = parameters.integer(task, "numberResults", least=1, most=MOST_RESULTS, default=1)
    return ImageTask(
        model=model,
        inputs={name: value for name, value in task.items() if name not in _OF_THE_TASK and value is not None},
        results=results or 1,
        waits=parameters.choice(task, "deliveryMethod", _DELIVERIES) != "async",
        output_type=parameters.choice({"outputType": one}, "outputType", OUTPUT_TYPES) or "URL",
        output_format=parameters.choice(task, "outputFormat", _FORMATS),
        includes_cost=parameters.flag(task, "includeCost") or False,
        seed=parameters.integer(task, "seed", least=0, most=_LARGEST_SEED),
        webhook_url=parameters.text(task, "webhookURL", most=2048),
    )


def model_inputs(task: ImageTask, model: Model) -> dict[str, object]:
    """What the model gets: bare base64 in its file fields as data URIs, and the format where it takes one.

    The format in the model's own letters; a JPG that nobody asked for only where the model makes it.
    """
    files = {name for field in model.inputs if field.type is FieldType.FILE for name in (field.name, *field.synonyms)}
    inputs = {name: _as_reference(value) if name in files else value for name, value in task.inputs.items()}
    for field in model.inputs:
        if _FORMAT in {field.name, *field.synonyms}:
            own = {choice.upper(): choice for choice in field.choices}
            asked = task.output_format or (_USUAL_FORMAT if not own or _USUAL_FORMAT in own else None)
            if asked is not None:
                inputs[_FORMAT] = own.get(asked, asked)
    return inputs


def requests(task: ImageTask, task_uuid: str, sent: Mapping[str, Any]) -> list[IdempotentRequest | None]:
    """One for each picture: the same task sent again is the same requests."""
    return [idempotent_request(key_of(task_uuid, place), sent) for place in range(task.results)]


def variants(task: ImageTask, model: Model, task_uuid: str, asked: Sequence[IdempotentRequest | None]) -> list[Variant]:
    """One for each picture: seeds follow one another, where the model takes one or one was given.

    Without a seed the first follows from the task's UUID, so that the same task sent again asks for the same.
    """
    chosen = int.from_bytes(hashlib.sha256(task_uuid.lower().encode()).digest(), "big") % (_SEEDS - MOST_RESULTS)
    first = chosen if task.seed is None else min(task.seed, _LARGEST_SEED - task.results)
    seeded = task.seed is not None or takes(model, "seed")
    return [
        Variant(inputs={"seed": first + place} if seeded else {}, idempotency=request)
        for place, request in enumerate(asked)
    ]


def metadata_of(task: ImageTask) -> dict[str, object]:
    """What has to be known of the task when a run is told of."""
    return {
        "number_results": str(task.results),
        "output_type": task.output_type,
        "include_cost": "yes" if task.includes_cost else "no",
    }


def key_of(task_uuid: str, place: int) -> str:
    """Under which key the run of a picture was submitted."""
    return f"runware:{task_uuid.lower()}/{place}"


def takes(model: Model, name: str) -> bool:
    """Whether a model has an input of that name."""
    return any(name in {field.name, *field.synonyms} for field in model.inputs)


def failure_of(run: Run) -> Failure:
    """What is told of a run that did not succeed."""
    message = run.error or f"the task was {run.state.value}"
    code = RunnerFailed.code if run.fault is None else _FAULTS.get(run.fault, RunnerFailed.code)
    return Failure(code=code, message=message)


def image_item(run: Run, asset: Asset, *, url: str, data: bytes | None) -> dict[str, object]:
    """One picture. `data` are its bytes, where they are to stand in the answer."""
    output_type = str(run.metadata.get("output_type"))
    seed = run.values.get("seed")
    item: dict[str, object] = {"imageUUID": asset.id}
    if data is None:
        item["imageURL"] = url
    elif output_type == "dataURI":
        item["imageDataURI"] = f"data:{asset.content_type};base64,{_encoded(data)}"
    else:
        item["imageBase64Data"] = _encoded(data)
    if isinstance(seed, int):
        item["seed"] = seed
    if run.metadata.get("include_cost") == "yes" and run.cost is not None:
        item["cost"] = float(run.cost)
    return item


def wants_bytes(run: Run) -> bool:
    """Whether a picture's bytes stand in the answer."""
    return run.metadata.get("output_type") in OUTPUT_TYPES[1:]


def number_of_results(runs: Sequence[Run]) -> int:
    """How many pictures the task of that first run asked for."""
    said = str(runs[0].metadata.get("number_results", "1"))
    return int(said) if said.isdecimal() else 1


def request_of(run: Run, task_uuid: str) -> dict[str, object]:
    """The task as far as it was kept; data URIs are shortened."""
    said = {"taskType": TASK, "taskUUID": task_uuid, "model": run.model, **run.inputs}
    return {**said, "numberResults": number_of_results([run]), "outputType": run.metadata.get("output_type")}


def _as_reference(value: object) -> object:
    if not isinstance(value, str) or is_uuid(value) or len(value) < _LEAST_BASE64 or not _BASE64.fullmatch(value):
        return value
    return f"data:{OCTET_STREAM};base64,{''.join(value.split())}"


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
