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

    UPLOAD_CREATED = "upload.created"
    UPLOAD_STORED = "upload.stored"
    UPLOAD_READY = "upload.ready"
    UPLOAD_FAILED = "upload.failed"
    UPLOAD_EXPIRED = "upload.expired"
    RUN_QUEUED = "run.queued"
    RUN_STARTED = "run.started"
    RUN_PROGRESS = "run.progress"
    RUN_LOG = "run.log"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. `subject` is the id of an upload or a run; `number` counts from 1 within it."""

    account_id: AccountId
    subject: str
    number: int
    kind: EventKind
    data: EventData
    created_at: datetime
