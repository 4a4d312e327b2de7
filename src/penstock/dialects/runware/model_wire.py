"""`modelUpload`: the task's parameters, and what is said of its phases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.dialects.runware.parameters import (
    choice,
    flag,
    integer,
    invalid,
    line_of,
    number,
    required_choice,
    required_text,
    text,
    texts,
    words,
)
from penstock.dialects.runware.task import Failure
from penstock.domain.egress import MAX_URL, UrlRefusedError, parse_url, shown_url
from penstock.domain.errors import (
    DatabaseUnavailable,
    InsufficientCredits,
    InternalError,
    ObjectStoreUnavailable,
    QuotaExceeded,
)
from penstock.domain.model_cards import ARCHITECTURES, CONDITIONINGS, TYPES
from penstock.domain.model_uploads import Phase
from penstock.domain.weights import Category

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from penstock.domain.model_uploads import ModelUpload

    Task = Mapping[str, Any]

TASK = "modelUpload"
FORMAT = "safetensors"
OTHER_CONDITIONINGS: Mapping[str, str] = {  # what the JavaScript SDK's enumeration sends (inferred)
    "segmentation": "seg",
    "normal bae": "normal",
    "line art": "lineart",
    "inpaint depth": "inpaintdepth",
    "low quality": "lowquality",
}
MESSAGES: Mapping[Phase, str] = {
    Phase.VALIDATED: "Model parameters and configuration validated.",
    Phase.DOWNLOADED: "Model downloaded from provider.",
    Phase.OPTIMIZED: "Model optimized for deployment.",
    Phase.STORED: "Model uploaded to secure storage.",
    Phase.READY: "Model successfully deployed and ready for use.",
}
"""In their order; literal."""
PARAMETERS: Mapping[str, str] = {
    "air": "air",
    "source_url": "downloadURL",
    "callback_url": "webhookURL",
    "client_ref": "taskUUID",
    "category": "category",
    "type": "type",
    "architecture": "architecture",
    "conditioning": "conditioning",
    "unique_identifier": "uniqueIdentifier",
    "name": "name",
    "version_label": "version",
    "private": "private",
    "default_steps": "defaultSteps",
    "default_scheduler": "defaultScheduler",
    "default_cfg": "defaultCFG",
    "default_strength": "defaultStrength",
    "default_weight": "defaultWeight",
    "hero_image_url": "heroImageURL",
    "tags": "tags",
    "positive_trigger_words": "positiveTriggerWords",
    "negative_trigger_words": "negativeTriggerWords",
    "short_description": "shortDescription",
    "comment": "comment",
}
"""The product's words for what a model upload says."""
DRY_RUN: Mapping[str, object] = {"dryRun": True, "cost": 0}
"""What a task is told that was only to be checked and priced: bringing a model costs nothing (inferred)."""
_NOT_THE_FILES = frozenset(
    kind.code
    for kind in (InternalError, QuotaExceeded, InsufficientCredits, ObjectStoreUnavailable, DatabaseUnavailable)
)
"""Failures that are no parameter's."""
_PROGRESS: Mapping[Phase, tuple[int, int]] = {
    Phase.VALIDATED: (0, 60),
    Phase.DOWNLOADED: (60, 85),
    Phase.OPTIMIZED: (85, 95),
    Phase.STORED: (95, 100),
}
_TRIGGERED = frozenset({Category.CHECKPOINT, Category.LORA, Category.LYCORIS, Category.EMBEDDINGS})
_MOST_TAGS = 100
_LONGEST_TAG = 400
_LONGEST_AIR = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTask:
    """A task whose parameters are fit.

    `given` is by the names of `ModelCard`'s fields, as JSON, and holds what was said alone.
    """

    air: str
    category: Category
    given: Mapping[str, object]
    download_url: str
    webhook_url: str | None
    waits: bool


def parse_upload(task: Task, *, architectures: Sequence[str] = ARCHITECTURES) -> UploadTask:
    """Read a task. Raises `InvalidField` for the first parameter that is wrong.

    A parameter that does not apply to the category is not looked at (inferred).
    """
    category = Category(required_choice(task, "category", tuple(Category)))
    said = dict(_identity(task, category, architectures))
    required_choice(task, "format", (FORMAT,))
    air = required_text(task, "air", most=_LONGEST_AIR)
    said |= {
        "unique_identifier": required_text(task, "uniqueIdentifier"),
        "name": required_text(task, "name"),
        "version_label": required_text(task, "version", most=400),
    }
    download_url = _url(required_text(task, "downloadURL", "downloadUrl", most=MAX_URL), "downloadURL")
    said |= dict(_defaults(task, category))
    said |= dict(_described(task, category))
    webhook = text(task, "webhookURL", most=MAX_URL)
    return UploadTask(
        air=air,
        category=category,
        given={name: value for name, value in said.items() if value is not None},
        download_url=download_url,
        webhook_url=webhook if webhook is None else _url(webhook, "webhookURL"),
        waits=choice(task, "deliveryMethod", ("sync", "async")) != "async",
    )


def phase_item(phase: Phase, *, air: str) -> dict[str, object]:
    """What is said when a phase has ended: these three members, beside the two that name the task (RU-21)."""
    return {"status": phase.value, "message": MESSAGES[phase], "air": air}


def polled_item(upload: ModelUpload) -> dict[str, object]:
    """Where an upload stands that has not failed, to whoever asks (contract §6.3)."""
    if upload.phase is Phase.READY:
        return {"status": "success", "message": MESSAGES[Phase.READY], "air": upload.air}
    return {"status": "processing", "progress": progress_of(upload), "air": upload.air}


def progress_of(upload: ModelUpload) -> int:
    """How far it is, 0 to 100 (inferred): the download counts for most, by its bytes where their number is known."""
    begin, end = _PROGRESS[upload.phase]
    if upload.phase is not Phase.VALIDATED or not upload.size:
        return begin
    return begin + (end - begin) * min(upload.received, upload.size) // upload.size


def failure_of(code: str | None, reason: str | None, field: str | None) -> Failure:
    """Why an upload came to nothing, from what was kept of it (contract §7).

    What is wrong with a file is said of its URL, unless one parameter is known to be the wrong one (inferred).
    """
    kept = code or InternalError.code
    parameter = PARAMETERS.get(field or "", None if kept in _NOT_THE_FILES else "downloadURL")
    return Failure(code=kept, message=reason or "the model could not be processed", parameter=parameter)


def request_of(upload: ModelUpload) -> dict[str, object]:
    """The task, as far as it was kept: names are the canonical ones, and URLs are without queries, which are secrets.

    Whoever asks may have another key of the account, which may only read.
    """
    said = {PARAMETERS[name]: value for name, value in upload.given.items() if name in PARAMETERS}
    for name in ("positiveTriggerWords", "negativeTriggerWords"):
        if isinstance(several := said.get(name), list):
            said[name] = line_of(several)
    urls = {"downloadURL": upload.source_url, "webhookURL": upload.callback_url}
    return {
        "taskType": TASK,
        "taskUUID": upload.client_ref,
        "air": upload.air,
        "format": FORMAT,
        **said,
        **{name: shown_url(url) for name, url in urls.items() if url is not None},
    }


def _identity(task: Task, category: Category, architectures: Sequence[str]) -> Iterator[tuple[str, object]]:
    yield "category", category.value
    yield "type", required_choice(task, "type", TYPES[category]) if category in TYPES else None
    yield "architecture", required_choice(task, "architecture", architectures)
    is_controlnet = category is Category.CONTROLNET
    words_for_it = {"other_words": OTHER_CONDITIONINGS}
    yield "conditioning", choice(task, "conditioning", CONDITIONINGS, **words_for_it) if is_controlnet else None


def _defaults(task: Task, category: Category) -> Iterator[tuple[str, object]]:
    if category is Category.CHECKPOINT:
        yield "default_steps", integer(task, "defaultSteps", least=1, most=100)
        yield "default_scheduler", text(task, "defaultScheduler", most=200)
        # The text says defaultCFG; the Python and JavaScript SDKs send the others.
        yield "default_cfg", number(task, "defaultCFG", "defaultGuidanceScale", "defaultCFGScale", least=0, most=30)
        yield "default_strength", number(task, "defaultStrength", least=0, most=1)
    if category is Category.LORA:
        yield "default_weight", number(task, "defaultWeight", least=-4, most=4)


def _described(task: Task, category: Category) -> Iterator[tuple[str, object]]:
    yield "private", flag(task, "private")
    hero = text(task, "heroImageURL", "heroImageUrl", most=MAX_URL)
    yield "hero_image_url", hero if hero is None else _url(hero, "heroImageURL")
    yield "tags", _listed(texts(task, "tags", most=_MOST_TAGS, longest=_LONGEST_TAG))
    if category in _TRIGGERED:
        yield "positive_trigger_words", _listed(words(task, "positiveTriggerWords"))
        yield "negative_trigger_words", _listed(words(task, "negativeTriggerWords"))
    yield "short_description", text(task, "shortDescription", least=2, most=40_000)
    yield "comment", text(task, "comment", least=2, most=1000)


def _url(url: str, name: str) -> str:
    """The URL as it was given, if it can be one."""
    try:
        parse_url(url)
    except UrlRefusedError as error:
        invalid(name, f"must be the URL of a public file: {error}", type="string")
    return url


def _listed(several: tuple[str, ...] | None) -> list[str] | None:
    return None if several is None else list(several)
