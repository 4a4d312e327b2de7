"""Runway shapes: slots, references, task bodies and tasks. What the product's documents leave open is *inferred*."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from penstock.domain.errors import InvalidField, ReferenceInvalid, RunNotFound
from penstock.domain.ids import RunId, UploadId, format_short, parse_short
from penstock.domain.references import UploadReference
from penstock.domain.runs import Run, RunFault, RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from penstock.domain.references import Reference

VERSION_HEADER = "X-Runway-Version"
VERSION = "2024-11-06"
REFERENCE_LIFETIME = timedelta(hours=24)
UNKNOWN_REFERENCE = "Failed to fetch asset. The upload does not exist, has expired, or has no file yet."

_SCHEME = "runway://"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_URL_LENGTHS = range(13, 2048 + 1)
_MIB = 2**20
_DATA_URI_CHARACTERS = {"image": 5 * _MIB, "video": 16 * _MIB, "audio": 16 * _MIB}
_MAX_TEXT_UNITS = 1000
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


class Frame(BaseModel):
    """One entry of `promptImage`."""

    model_config = ConfigDict(strict=True)

    uri: str
    position: Literal["first"]


class ImageToVideo(BaseModel):
    """`POST /v1/image_to_video`, in the shape of `gen4.5`. Members that are not listed are ignored (inferred)."""

    model_config = ConfigDict(strict=True)

    model: str
    promptImage: str | Annotated[list[Frame], Field(min_length=1, max_length=1)]  # noqa: N815 - the wire's word
    promptText: str | None = None  # noqa: N815 - the wire's word
    ratio: Literal["1280:720", "720:1280", "1104:832", "960:960", "832:1104", "1584:672"]
    duration: Annotated[int, Field(ge=2, le=10)] | None = None
    seed: Annotated[int, Field(ge=0, le=4294967295)] | None = None

    @field_validator("promptText")
    @classmethod
    def _of_bounded_length(cls, value: str | None) -> str | None:
        """1 to 1000 UTF-16 code units (RW-50)."""
        if value is not None and not 1 <= len(value.encode("utf-16-le", "surrogatepass")) // 2 <= _MAX_TEXT_UNITS:
            raise PydanticCustomError("length", "must have 1 to 1000 UTF-16 code units")
        return value

    @property
    def image(self) -> tuple[tuple[str | int, ...], str]:
        """Where the reference stands, and the reference."""
        if isinstance(self.promptImage, str):
            return ("promptImage",), self.promptImage
        return ("promptImage", 0, "uri"), self.promptImage[0].uri

    def model_input(self) -> dict[str, object]:
        """What the model gets, under the wire's names."""
        given = self.model_dump(exclude={"model", "promptImage"}, exclude_none=True)
        return {**given, "promptImage": self.image[1]}


def check_version(given: str | None) -> None:
    """Raises `InvalidField` for a missing or other version (RW-02; that it is 400 is inferred)."""
    if given != VERSION:
        raise InvalidField((VERSION_HEADER,), f"must be {VERSION}")


def check_data_uri(text: str, *, path: tuple[str | int, ...], medium: str) -> None:
    """Raises `ReferenceInvalid` for a data URI that is too long, of another medium, or not base64 (RW-52)."""
    problem = _data_uri_problem(text, medium)
    if problem is not None:
        raise ReferenceInvalid(path, problem)


def check_url(text: str, *, path: tuple[str | int, ...]) -> None:
    """Raises `ReferenceInvalid` for a URL that is not https, has no domain or is too long (RW-51)."""
    problem = _url_problem(text)
    if problem is not None:
        raise ReferenceInvalid(path, problem)


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
            raise ReferenceInvalid((), UNKNOWN_REFERENCE)
        return UploadReference(upload_id=UploadId(found))

    return parse


def parse_task_id(text: str) -> RunId:
    """Raises `RunNotFound` for what cannot be a task's id."""
    if not _UUID.match(text):
        raise RunNotFound(text)
    return RunId(text)


def created_out(run: Run) -> dict[str, Any]:
    """The answer to a new task (RW-40)."""
    return {"id": run.id, "estimatedCost": {"credits": credits_of(run.held)}}


def task_out(run: Run, *, output: Sequence[str]) -> dict[str, Any]:
    """A task with exactly the members of its status (RW-42)."""
    shown: dict[str, Any] = {"id": run.id, "createdAt": _timestamp(run.created_at), "status": _STATUS[run.state]}
    cost = {"credits": credits_of(run.cost) if run.cost is not None else 0}
    estimated = {"credits": credits_of(run.held)}
    match run.state:
        case RunState.QUEUED:
            return {**shown, "estimatedCost": estimated}
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


def credits_of(amount: Decimal) -> int:
    """USD in credits of one cent, rounded up, so that an estimate is never below the cost (RW-41)."""
    return math.ceil(amount * 100)


_FAILURES: Mapping[RunFault | None, str] = {
    RunFault.MODEL: "INTERNAL.BAD_OUTPUT.MODEL",
    RunFault.INPUT: "ASSET.INVALID",
}
_STATUS = {
    RunState.QUEUED: "PENDING",
    RunState.RUNNING: "RUNNING",
    RunState.SUCCEEDED: "SUCCEEDED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "CANCELLED",
}


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _data_uri_problem(text: str, medium: str) -> str | None:
    if len(text) >= _DATA_URI_CHARACTERS[medium]:
        return "Invalid data URI. It is too long; upload the file instead."
    head = text[:100].partition(",")[0].lower()
    if not head.startswith(f"data:{medium}/"):
        return "Unsupported asset type."
    return None if head.endswith(";base64") else "Invalid data URI."


def _url_problem(text: str) -> str | None:
    try:
        url = urlsplit(text)
        host = url.hostname
    except ValueError:
        return "Invalid URL"
    if not url.scheme or not host or len(text) not in _URL_LENGTHS:
        return "Invalid URL"
    if url.scheme != "https":
        return "Only HTTPS URLs are allowed."
    return "URLs must be hosted on a domain." if _is_address(host) else None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host.replace(".", "").isdecimal()
    return True


def _timestamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
