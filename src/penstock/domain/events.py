"""Events: durable, numbered per subject, written in the transaction of the change they tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.ids import AccountId

EventData = Mapping[str, object]


class EventKind(StrEnum):
    """Everything that can be told about a subject."""

    UPLOAD_PROGRESS = "upload.progress"
    UPLOAD_DELAYED = "upload.delayed"
    UPLOAD_STORED = "upload.stored"
    UPLOAD_READY = "upload.ready"
    UPLOAD_FAILED = "upload.failed"
    UPLOAD_EXPIRED = "upload.expired"
    UPLOAD_ABORTED = "upload.aborted"
    ASSET_READY = "asset.ready"
    RUN_QUEUED = "run.queued"
    RUN_STARTED = "run.started"
    RUN_PROGRESS = "run.progress"
    RUN_LOG = "run.log"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    MODEL_VALIDATED = "model.validated"
    MODEL_PROGRESS = "model.progress"
    MODEL_DELAYED = "model.delayed"
    MODEL_DOWNLOADED = "model.downloaded"
    MODEL_OPTIMIZED = "model.optimized"
    MODEL_STORED = "model.stored"
    MODEL_READY = "model.ready"
    MODEL_FAILED = "model.failed"


MEANINGS: Mapping[EventKind, str] = {
    EventKind.UPLOAD_PROGRESS: "how much of a URL's file has been fetched (`received`, `size`, null when unknown)",
    EventKind.UPLOAD_DELAYED: "a URL's file did not come and will be asked for again (`reason`, `code`, `retry_at`)",
    EventKind.UPLOAD_STORED: "the bytes were accepted (`asset_id`, `size`)",
    EventKind.UPLOAD_READY: "the asset is measured; the last event (`asset_id`, `sha256`)",
    EventKind.UPLOAD_FAILED: "the bytes were refused; the last event (`reason`, `code`)",
    EventKind.UPLOAD_EXPIRED: "no bytes arrived in time; the last event",
    EventKind.UPLOAD_ABORTED: "its owner gave it up; the last event",
    EventKind.ASSET_READY: "intake has ended; the last event (`asset_id`, `sha256`, `facts`, `problem`, and whether "
    "there is a `thumbnail`)",
    EventKind.RUN_QUEUED: "the run waits for a worker (`model`)",
    EventKind.RUN_STARTED: "an attempt began; more than once when a worker died (`attempt`)",
    EventKind.RUN_PROGRESS: "how far the run is, 0 to 1 (`fraction`)",
    EventKind.RUN_LOG: "a line of the model's log (`message`, `level`, `source`)",
    EventKind.RUN_SUCCEEDED: "the output is there; the last event",
    EventKind.RUN_FAILED: "the run ended without an output; the last event (`error`)",
    EventKind.RUN_CANCELLED: "the run was cancelled; the last event",
    EventKind.MODEL_VALIDATED: "what was said of a model was accepted (`air`)",
    EventKind.MODEL_PROGRESS: "how far the phase under way is (`phase`, `done`, `size`, null when unknown; bytes)",
    EventKind.MODEL_DELAYED: "a model's file did not come and will be asked for again (`reason`, `code`, `retry_at`)",
    EventKind.MODEL_DOWNLOADED: "all of a model's file is here, and it is what was declared (`size`, `sha256`)",
    EventKind.MODEL_OPTIMIZED: "it was laid out for loading (`size`, `sha256`)",
    EventKind.MODEL_STORED: "both are at rest",
    EventKind.MODEL_READY: "the model can be used; the last event (`air`)",
    EventKind.MODEL_FAILED: "the upload came to nothing; the last event (`reason`, `code`, `field`)",
}
"""What each kind tells, and the members of its data."""

RUN_FINALS = frozenset({EventKind.RUN_SUCCEEDED, EventKind.RUN_FAILED, EventKind.RUN_CANCELLED})
UPLOAD_FINALS = frozenset(
    {EventKind.UPLOAD_READY, EventKind.UPLOAD_FAILED, EventKind.UPLOAD_EXPIRED, EventKind.UPLOAD_ABORTED}
)
ASSET_FINALS = frozenset({EventKind.ASSET_READY})
MODEL_FINALS = frozenset({EventKind.MODEL_READY, EventKind.MODEL_FAILED})
"""The kinds after which a subject has nothing more to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    `subject` is the id of an upload, a run or a model upload, or what `assets.event_subject` makes of one.

    `number` counts from 1 within it.
    """

    account_id: AccountId
    subject: str
    number: int
    kind: EventKind
    data: EventData
    created_at: datetime
