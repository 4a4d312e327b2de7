"""Runway shapes: slots, references, task bodies and tasks. What the product's documents leave open is *inferred*."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from penstock.domain.errors import (
    AssetGone,
    AssetNotFound,
    FileNotStored,
    FileTooLarge,
    FileTooSmall,
    FileTypeMismatch,
    FileTypeRefused,
    InvalidField,
    PenstockError,
    ReferenceInvalid,
    RunNotFound,
    UploadNotCompletable,
)
from penstock.domain.ids import RunId, UploadId, format_short, parse_short
from penstock.domain.references import UploadReference, is_data_uri
from penstock.domain.runs import Run, RunFault, RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from penstock.dialects.runway.bodies import FileMember
    from penstock.domain.catalog import Model
    from penstock.domain.ledger import Spent
    from penstock.domain.references import Reference

VERSION_HEADER = "X-Runway-Version"
VERSION = "2024-11-06"
REFERENCE_LIFETIME = timedelta(hours=24)
DAY = timedelta(hours=24)
OUTPUT_URL_LIFETIME = DAY
"""Of URLs in an `output`; a later look gives fresh ones, as long as the task is not deleted (RW-44)."""

_SCHEME = "runway://"
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_USUAL_SPAN = timedelta(days=30)
_LONGEST_SPAN = timedelta(days=90)
# The documents' words for what is wrong with an asset. The first says nothing of what there is (RW-24 to RW-26).
_UNKNOWN = "Failed to fetch asset. The upload does not exist, has expired, or has no file yet."
_UNSUPPORTED = "Unsupported asset type."
_REASONS = {
    "url_scheme": "Only HTTPS URLs are allowed.",
    "url_host": "URLs must be hosted on a domain.",
    "data_uri": "Invalid data URI.",
    "data_uri_length": "Invalid data URI. It is too long; upload the file instead.",
}
# No document lists the extensions that are valid: these follow the media formats (inferred). No GIF.
_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpe": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "ogv": "video/ogg",
    "avi": "video/x-msvideo",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
}


def _day(value: object) -> object:
    """A day from `YYYY-MM-DD`, and from nothing else."""
    if isinstance(value, str) and _DAY.match(value):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(value)
    raise PydanticCustomError("date", "must be a day such as 2026-11-21")


Day = Annotated[date, BeforeValidator(_day)]


class NewSlot(BaseModel):
    """`POST /v1/uploads`. Members that are not listed are ignored (inferred)."""

    model_config = ConfigDict(strict=True)

    filename: Annotated[str, StringConstraints(min_length=3, max_length=255)]
    type: Literal["ephemeral"]

    @field_validator("filename")
    @classmethod
    def _with_an_extension(cls, value: str) -> str:
        if _extension(value) not in _TYPES:
            raise PydanticCustomError("extension", "must end in the extension of an image, video or audio type")
        return value

    @property
    def content_type(self) -> str:
        """The media type that the file's extension stands for."""
        return _TYPES[_extension(self.filename)]


class UsageQuery(BaseModel):
    """`POST /v1/organization/usage`. Days are UTC, `beforeDate` is not included."""

    model_config = ConfigDict(strict=True)

    startDate: Day | None = None  # noqa: N815 - the wire's word
    beforeDate: Day | None = None  # noqa: N815 - the wire's word

    def span(self, today: date) -> tuple[date, date]:
        """First day and the day after the last; 30 days unless said otherwise. Raises `InvalidField`."""
        start = self.startDate or today - _USUAL_SPAN
        if start > date.max - _LONGEST_SPAN:  # such a span would end after the calendar does
            raise InvalidField(("startDate",), "is too late")
        before = self.beforeDate or start + _USUAL_SPAN
        if not start <= before <= start + _LONGEST_SPAN:
            raise InvalidField(("beforeDate",), f"must be 0 to {_LONGEST_SPAN.days} days after startDate")
        return start, before


def check_version(given: str | None) -> None:
    """Raises `InvalidField` for a missing or other version (RW-02; that it is 400 is inferred)."""
    if given != VERSION:
        raise InvalidField((VERSION_HEADER,), f"must be {VERSION}")


def check_media(files: Iterable[FileMember]) -> None:
    """Raises `ReferenceInvalid` for a data URI that names another medium than its field's (RW-52)."""
    for file in files:
        if is_data_uri(file.text) and file.text[5:].partition("/")[0].lower() not in file.kinds:
            raise ReferenceInvalid(file.path, _UNSUPPORTED)


def refused_file(error: PenstockError, files: Iterable[FileMember]) -> PenstockError:
    """The error as an issue at the member that it is about, in the product's words; as it is if about none (RW-24)."""
    place = next((file.path for file in files if error.at == ("input", file.name)), None)
    if place is None:
        return error
    match error:
        case ReferenceInvalid(rule=rule):
            return ReferenceInvalid(place, _REASONS.get(rule, "Invalid URL"), rule=rule)
        case AssetNotFound() | AssetGone() | FileNotStored() | UploadNotCompletable():
            return ReferenceInvalid(place, _UNKNOWN)
        case FileTypeRefused() | FileTypeMismatch():
            return ReferenceInvalid(place, f"{_UNSUPPORTED} {error.message}")
        case FileTooLarge() | FileTooSmall():
            return ReferenceInvalid(place, f"Failed to fetch asset. {error.message}")
        case _:
            return error


def format_reference(upload_id: UploadId) -> str:
    """The `runway://` URI of an upload."""
    return f"{_SCHEME}{format_short(upload_id)}"


def reference_parser(_base_url: str) -> Callable[[str], Reference | None]:
    """Parses `runway://` URIs; parse ∘ format = identity."""

    def parse(text: str) -> Reference | None:
        if not text.startswith(_SCHEME):
            return None
        found = parse_short(text.removeprefix(_SCHEME))
        if found is None:
            raise AssetNotFound(text)
        return UploadReference(upload_id=UploadId(found), names_for=REFERENCE_LIFETIME)

    return parse


def parse_task_id(text: str) -> RunId:
    """Raises `RunNotFound` for what cannot be a task's id."""
    if not _UUID.match(text):
        raise RunNotFound(text)
    return RunId(text)


def created_out(run: Run) -> dict[str, Any]:
    """The answer to a new task (RW-40)."""
    return {"id": run.id, "estimatedCost": {"credits": credits_of(run.held)}}


def task_out(run: Run, *, output: Sequence[str], throttled: bool) -> dict[str, Any]:
    """A task with exactly the members of its status (RW-42); `throttled`: it is queued for want of a place (RW-47)."""
    shown: dict[str, Any] = {"id": run.id, "createdAt": _timestamp(run.created_at), "status": _STATUS[run.state]}
    cost = {"credits": credits_of(run.cost) if run.cost is not None else 0}
    estimated = {"credits": credits_of(run.held)}
    match run.state:
        case RunState.QUEUED:
            return {**shown, **({"status": _THROTTLED} if throttled else {}), "estimatedCost": estimated}
        case RunState.RUNNING:
            return {**shown, "progress": run.progress or 0.0, "estimatedCost": estimated}
        case RunState.SUCCEEDED:
            return {**shown, "output": list(output), "cost": cost}
        case RunState.FAILED:
            # The families are documented; which of them a fault is told as is inferred.
            code = _FAILURES.get(run.fault, "INTERNAL")
            return {**shown, "failure": run.error or "The task failed.", "failureCode": code, "cost": cost}
        case RunState.CANCELLED:
            return {**shown, "cost": cost}


def organization_out(balance: Decimal, *, models: Iterable[Model], daily: Mapping[str, int]) -> dict[str, Any]:
    """The account. Every one is of the tier that the catalog's limits make; the month's is the ledger's (inferred)."""
    limits = {
        name: {
            "maxConcurrentGenerations": model.max_running_per_account,
            "maxDailyGenerations": model.max_daily_per_account,
        }
        for model in models
        for name in (model.slug, *model.aliases)
    }
    return {
        "creditBalance": max(0, math.floor(balance * 100)),
        "tier": {"maxMonthlyCreditSpend": _MOST_CREDITS, "models": limits},
        "usage": {"models": {model: {"dailyGenerations": count} for model, count in daily.items()}},
    }


def usage_out(spent: Iterable[Spent]) -> dict[str, Any]:
    """What was spent, by day and model (RW-61). Credits are whole numbers, rounded up."""
    rows = list(spent)
    results = [
        {
            "date": day.isoformat(),
            "usedCredits": [{"model": row.model, "amount": credits_of(row.amount)} for row in of_day],
        }
        for day, of_day in groupby(rows, key=lambda row: row.day)
    ]
    return {"results": results, "models": sorted({row.model for row in rows})}


def credits_of(amount: Decimal) -> int:
    """USD in credits of one cent, rounded up, so that an estimate is never below the cost (RW-41)."""
    return math.ceil(amount * 100)


_FAILURES: Mapping[RunFault | None, str] = {
    RunFault.MODEL: "INTERNAL.BAD_OUTPUT.MODEL",
    RunFault.INPUT: "ASSET.INVALID",
}
_THROTTLED = "THROTTLED"
_STATUS = {
    RunState.QUEUED: "PENDING",
    RunState.RUNNING: "RUNNING",
    RunState.SUCCEEDED: "SUCCEEDED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "CANCELLED",
}


_MOST_CREDITS = 10**11


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _timestamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
