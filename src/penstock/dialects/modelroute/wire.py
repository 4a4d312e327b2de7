"""ModelRoute shapes: snake_case throughout, ids as UUIDs behind a prefix, money as decimal strings.

What the product's documents leave open is marked *inferred*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from penstock.dialects.base.errors import from_validation
from penstock.dialects.base.texts import texts_in
from penstock.domain.errors import AssetNotFound, InvalidField, RunNotFound
from penstock.domain.ids import AssetId, RunId
from penstock.domain.media_types import OCTET_STREAM, contradicts_name, essence, is_media_type
from penstock.domain.references import AssetReference
from penstock.domain.runs import ASSET_MARK, Run, RunFault, RunState, output_assets, with_assets
from penstock.services.uploads import NewUpload

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.domain.assets import Asset
    from penstock.domain.references import Reference
    from penstock.domain.uploads import Upload
    from penstock.services.assets import Address

REQUEST_ID_HEADER = "x-request-id"
"""Inferred: the product tells the request id in errors alone, and in their body."""
REQUEST_ID_PREFIX = "req_"

ACCEPTED_KINDS = ("image", "audio", "video")
"""First halves of the types that may be declared (inferred: the guide names one example of each)."""

_MAX_NAME = 255
_MAX_TYPE = 255
_MAX_NAMED = 100
MAX_METADATA = 16_384
"""Bytes of JSON (inferred)."""
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_FILE = re.compile(rf"file_({UUID})\Z")
_EXECUTION = re.compile(rf"exec_({UUID})\Z")
_EXECUTION_LIFE = timedelta(minutes=5)
"""The example of executions/create, told of a run that has no deadline of its own."""
_CENT_PLACES = Decimal("0.001")

Text = Annotated[str, StringConstraints(min_length=1)]


class BeginUpload(BaseModel):
    """`POST /v1/files/upload` as the guide has it. Members that are not listed are ignored (inferred)."""

    model_config = ConfigDict(strict=True)

    filename: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_MAX_NAME)]
    content_type: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_TYPE)]
    size_bytes: int = Field(ge=1)

    def declared(self, *, dialect: str, limit: int) -> NewUpload:
        """The declaration, of at most `limit` bytes; a type that is not taken, or that the name contradicts, is none.

        That the name is "used for content-type validation" is the guide's; the rule is inferred (MO-30). Raises
        `InvalidField`.
        """
        kind = essence(self.content_type).partition("/")[0]
        if not is_media_type(self.content_type) or kind not in ACCEPTED_KINDS:
            raise InvalidField(("content_type",), f"must be a type of {', '.join(ACCEPTED_KINDS)}, such as image/png")
        if contradicts_name(self.content_type, self.filename):
            raise InvalidField(("content_type",), "does not fit the extension of filename", rule="conflict")
        if self.size_bytes > limit:
            raise InvalidField(("size_bytes",), f"must be at most {limit}", rule="too_big")
        return NewUpload(dialect=dialect, filename=self.filename, content_type=self.content_type, size=self.size_bytes)


class BeginLaterUpload(BaseModel):
    """`POST /v1/files/upload` in its later form (files/uploading): the bytes say of what type they are.

    Files are kept in one place, whatever the `region`; the `purpose` changes nothing.
    """

    model_config = ConfigDict(strict=True)

    purpose: Literal["INPUT", "UPLOAD"]
    region: Literal["US", "EU", "APAC"] | None = None
    ttl_days: Annotated[int, Field(ge=1, le=365)] | None = None

    def declared(self, *, dialect: str, limit: int) -> NewUpload:
        """The declaration: nothing but how long the file lives, from its confirmation or first use on."""
        del limit  # the size is not declared; the URL and the first use hold the bytes to it
        lifetime = timedelta(days=self.ttl_days) if self.ttl_days is not None else None
        return NewUpload(dialect=dialect, filename="upload", content_type=OCTET_STREAM, size=None, lifetime=lifetime)


UploadRequest = BeginUpload | BeginLaterUpload


class ConfirmUpload(BaseModel):
    """`POST /v1/files/confirm` (inferred: the product names the call alone)."""

    model_config = ConfigDict(strict=True)

    file_id: Text


class ConfirmUploadOut(BaseModel):
    """A file that is there (inferred)."""

    file_id: str
    content_type: str
    size_bytes: int
    status: str


class BeginUploadOut(BaseModel):
    """Where to PUT the bytes, until when, and the id under which executions name them."""

    file_id: str
    upload_url: str
    expires_at: str


class FileUrlOut(BaseModel):
    """Where a file can be read without a key."""

    url: str
    expires_at: str
    content_type: str
    size_bytes: int


class Execute(BaseModel):
    """`POST /v1/executions`. Members that are not listed are ignored (inferred)."""

    model_config = ConfigDict(strict=True)

    model: Text
    input: dict[str, Any]
    metadata: dict[str, Any] | None = None
    webhook_url: str | None = None


class FileOut(BaseModel):
    """A file that an execution made; in pixels, null until it was measured."""

    file_id: str
    content_type: str
    width: int | None
    height: int | None


class FailureOut(BaseModel):
    """Why an execution failed."""

    code: str
    message: str


class ExecutionOut(BaseModel):
    """An execution. Amounts are decimal strings of USD."""

    id: str
    status: str
    model: str
    hold_amount: str
    estimated_cost: str
    expires_at: str
    created_at: str
    result: FileOut | None = None
    cost: str | None = None
    error: FailureOut | None = None
    completed_at: str | None = None


class ResultOut(BaseModel):
    """`GET …/result`; before the end there is a status alone (inferred: the quickstart polls this path)."""

    execution_id: str
    status: str
    output: Any = None
    cost: str | None = None
    latency_ms: int | None = None
    error: FailureOut | None = None


# Of the seven states AWAITING_WEBHOOK is not produced; EXPIRED is a failure for want of time.
_STATUS: Mapping[RunState, str] = {
    RunState.QUEUED: "PENDING",
    RunState.RUNNING: "PROCESSING",
    RunState.SUCCEEDED: "COMPLETED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "CANCELLED",
}
_FAILURES: Mapping[RunFault | None, str] = {
    RunFault.MODEL: "GENERATION_FAILED",
    RunFault.SERVER: "INTERNAL_ERROR",
    RunFault.UNAVAILABLE: "MODEL_UNAVAILABLE",
    RunFault.TIMEOUT: "GENERATION_TIMEOUT",
    RunFault.INPUT: "FILE_NOT_FOUND",
    None: "INTERNAL_ERROR",
}


def parse_upload(body: Mapping[str, object]) -> UploadRequest:
    """The guide's form wherever one of its fields is given, else the later one where there is a `purpose`.

    Raises `InvalidField`, `InvalidFields`.
    """
    is_later = "purpose" in body and not body.keys() & BeginUpload.model_fields.keys()
    try:
        return (BeginLaterUpload if is_later else BeginUpload).model_validate(body)
    except ValidationError as error:
        raise from_validation([{**found, "loc": ("body", *found["loc"])} for found in error.errors()]) from None


def begin_upload_out(upload: Upload, *, upload_url: str) -> BeginUploadOut:
    """The answer to step 1."""
    return BeginUploadOut(
        file_id=format_file(AssetId(upload.id)), upload_url=upload_url, expires_at=timestamp(upload.expires_at)
    )


def confirmed_out(asset: Asset) -> ConfirmUploadOut:
    """A file whose bytes are there."""
    return ConfirmUploadOut(
        file_id=format_file(asset.id), content_type=asset.content_type, size_bytes=asset.size, status="available"
    )


def file_url_out(asset: Asset, address: Address) -> FileUrlOut:
    """The address of a file that is there."""
    return FileUrlOut(
        url=address.url,
        expires_at=timestamp(address.expires_at),
        content_type=asset.content_type,
        size_bytes=asset.size,
    )


def execution_out(run: Run, *, assets: Mapping[AssetId, Asset]) -> ExecutionOut:
    """A run as an execution; `assets` are those that its output names and that can still be read."""
    made = [assets[found] for found in map(AssetId, output_assets(run.output)) if found in assets]
    return ExecutionOut(
        id=format_execution(run.id),
        status=_status(run),
        model=run.model,
        # The product holds more than it estimates; here the price is fixed, and both are it.
        hold_amount=amount(run.held),
        estimated_cost=amount(run.held),
        expires_at=timestamp(run.deadline_at or run.created_at + _EXECUTION_LIFE),
        created_at=timestamp(run.created_at),
        result=_file(made[0]) if made else None,
        cost=amount(run.cost) if run.cost is not None else None,
        error=_failure(run),
        completed_at=timestamp(run.finished_at) if run.finished_at else None,
    )


def result_out(run: Run, *, assets: Mapping[AssetId, Asset]) -> ResultOut:
    """A run's result; its time of work, in milliseconds, counts from its acceptance (inferred)."""
    took = run.finished_at - run.created_at if run.finished_at else None
    return ResultOut(
        execution_id=format_execution(run.id),
        status=_status(run),
        output=_output(run.output, assets) if run.state is RunState.SUCCEEDED else None,
        cost=amount(run.cost) if run.cost is not None else None,
        latency_ms=took // timedelta(milliseconds=1) if took is not None else None,
        error=_failure(run),
    )


def named_files(model_input: object) -> tuple[str, ...]:
    """Every string of an input, at whatever depth, that is a file's id and nothing else. Raises `InvalidField`."""
    found = tuple(dict.fromkeys(text for text in texts_in(model_input) if _FILE.match(text)))
    if len(found) > _MAX_NAMED:
        raise InvalidField(("input",), f"must not name more than {_MAX_NAMED} files", rule="too_long")
    return found


def format_file(asset_id: AssetId) -> str:
    """`file_` + UUID (files/overview)."""
    return f"file_{asset_id}"


def parse_file(text: str) -> AssetId:
    """Raises `AssetNotFound`, for what cannot be a file's id as well."""
    found = _FILE.match(text)
    if found is None:
        raise AssetNotFound(text)
    return AssetId(found[1])


def format_execution(run_id: RunId) -> str:
    """`exec_` + UUID."""
    return f"exec_{run_id}"


def parse_execution(text: str) -> RunId:
    """Raises `RunNotFound`, for what cannot be an execution's id as well."""
    found = _EXECUTION.match(text)
    if found is None:
        raise RunNotFound(text)
    return RunId(found[1])


def reference_parser(base_url: str) -> Callable[[str], Reference | None]:
    """Parses file ids, and the addresses of files under `base_url`, which only their owner may use."""
    address = re.compile(re.escape(f"{base_url}/v1/files/") + r"(file_[^/]+)/(?:download|url)\Z")

    def parse(text: str) -> Reference | None:
        found = address.match(text)
        name = found[1] if found is not None else text
        return AssetReference(asset_id=parse_file(name)) if name.startswith("file_") else None

    return parse


def timestamp(time: datetime) -> str:
    """ISO 8601, UTC, whole seconds, `Z`."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def amount(value: Decimal) -> str:
    """USD with at least three decimal places, as in the examples, and as many as it takes."""
    plain = value.normalize()
    return f"{plain.quantize(_CENT_PLACES) if plain == plain.quantize(_CENT_PLACES) else plain:f}"


def _status(run: Run) -> str:
    """A run that did not end by its deadline has expired (inferred); one whose attempt took too long has failed."""
    ended_late = run.finished_at is not None and run.deadline_at is not None and run.finished_at >= run.deadline_at
    return "EXPIRED" if run.fault is RunFault.TIMEOUT and ended_late else _STATUS[run.state]


def _failure(run: Run) -> FailureOut | None:
    if run.state is not RunState.FAILED:
        return None
    return FailureOut(code=_FAILURES[run.fault], message=run.error or "the execution failed")


def _file(asset: Asset) -> FileOut:
    return FileOut(
        file_id=format_file(asset.id),
        content_type=asset.content_type,
        width=asset.facts.width if asset.facts else None,
        height=asset.facts.height if asset.facts else None,
    )


def _output(output: object, assets: Mapping[AssetId, Asset]) -> object:
    """Files by their kind (`images`; the other kinds are inferred), then what else the model said, under its names."""
    if not isinstance(output, Mapping):
        return with_assets(output, lambda found: _entry(assets.get(found)))
    made: dict[str, list[object]] = {}
    for found in map(AssetId, output_assets(output)):
        if found in assets:
            made.setdefault(f"{assets[found].kind.value}s", []).append(_entry(assets[found]))
    rest = {name: value for name, value in output.items() if name != ASSET_MARK and not output_assets(value)}
    return {**rest, **made}


def _entry(asset: Asset | None) -> dict[str, object] | None:
    if asset is None:
        return None
    file = _file(asset)
    kind = essence(asset.content_type).partition("/")[2]
    return {"file_id": file.file_id, "format": kind, "width": file.width, "height": file.height}
