"""Requests: the queue envelope is snake_case, the result camelCase."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from penstock.dialects.modelrunner.wire.common import (
    media_url,
    timestamp,
)
from penstock.domain.errors import InvalidField, RunNotFound
from penstock.domain.ids import AssetId, RunId, format_short, parse_short
from penstock.domain.runs import Run, RunFault, RunState, flat_metadata, with_assets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.assets import Asset
    from penstock.domain.events import Event

STORE_IO_HEADER = "X-Modelrunner-Store-IO"

_NOT_STORED = timedelta(minutes=15)  # "roughly", so that the result can be handed over (guides/data-retention)
_STORE_IO = {
    **dict.fromkeys(("0", "false", "FALSE"), _NOT_STORED),
    **dict.fromkeys(("1", "true", "TRUE"), None),
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{21}\Z")  # openapi: exactly 21 characters


class Submission(BaseModel):
    """`POST /{owner}/{model}`: the model's input itself, with reserved members beside it (guides/request-lifecycle)."""

    model_config = ConfigDict(strict=True, extra="allow")

    metadata: dict[str, Any] = Field(default_factory=dict)
    webhook: object = None
    webhook_events_filter: object = None

    def model_input(self) -> dict[str, object]:
        """What is left for the model."""
        return dict(self.model_extra or {})


class LogLine(BaseModel):
    """A line of a request's log. openapi says that `logs` is a string; both SDKs read a list of these."""

    message: str
    level: str
    source: str
    timestamp: str


class Metrics(BaseModel):
    """Milliseconds, as in results (the unit is inferred); null until the request has finished."""

    inference_time: int | None


class StatusOut(BaseModel):
    """The queue envelope. The Python SDK fails without `queue_position` in the queue and without `logs` after it."""

    status: str
    request_id: str
    response_url: str
    status_url: str
    cancel_url: str
    queue_position: int
    logs: list[LogLine]
    metrics: Metrics | None = None
    error: str | None = None
    message: str | None = None
    status_code: int | None = Field(default=None, serialization_alias="statusCode")
    webhook: object = None
    webhook_events_filter: object = None


class ResultOut(BaseModel):
    """A finished request: `GET …/requests/{id}`. Times of work in milliseconds."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)

    id: str
    model_endpoint: str
    status: str
    output: Any
    input: dict[str, Any]
    created_at: str
    updated_at: str
    inference_time: int | None
    delay_time: int | None
    logs: str
    error: str | None
    metadata: dict[str, str]
    billing_status: str
    payloads_purged_at: str | None


class FailedResultOut(ResultOut):
    """A result without output carries the error envelope as well (api-reference/errors, 422)."""

    message: str
    status_code: int
    request_id: str = Field(alias="request_id")
    details: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """How a run's state is told: the status word, the HTTP status of the status and of the result, what was billed."""

    word: str
    status: int = 200
    result: int = 200
    billing: str = "pending"


# A model's own failure is told as COMPLETED without output; FAILED is the platform's own (guides/request-lifecycle),
# and HTTP 400. That CANCELLED is 400, too, and what both are as results, is inferred: the SDKs poll a 200 for ever.
_TOLD: Mapping[tuple[RunState, RunFault | None], _Told] = {
    (RunState.QUEUED, None): _Told(word="IN_QUEUE"),
    (RunState.RUNNING, None): _Told(word="IN_PROGRESS"),
    (RunState.SUCCEEDED, None): _Told(word="COMPLETED", billing="charged"),
    (RunState.FAILED, RunFault.MODEL): _Told(word="COMPLETED", result=422, billing="failed"),
    **{
        (RunState.FAILED, fault): _Told(word="FAILED", status=400, result=400, billing="failed")
        for fault in (RunFault.SERVER, RunFault.UNAVAILABLE, RunFault.TIMEOUT, RunFault.INPUT)
    },
    (RunState.FAILED, None): _Told(word="FAILED", status=400, result=400, billing="failed"),
    (RunState.CANCELLED, None): _Told(word="CANCELLED", status=400, result=400, billing="failed"),
}
_INVALID_OUTPUT = {"code": "INVALID_OUTPUT", "validationErrors": []}
_OK = 200
_LEVELS = {"warning": "WARN"}


def standing(word: str) -> frozenset[tuple[RunState, RunFault | None]] | None:
    """How runs stand whose status is told by that word; None for no word of the product's."""
    return frozenset(way for way, told in _TOLD.items() if told.word == word) or None


def status_of(run: Run) -> int:
    """The HTTP status of `GET …/status`."""
    return _TOLD[run.state, run.fault].status


def result_of(run: Run) -> int:
    """The HTTP status of a finished request's result."""
    return _TOLD[run.state, run.fault].result


def status_out(run: Run, *, base_url: str, place: int, lines: Sequence[Event]) -> StatusOut:
    """The queue envelope of a run; its URLs are absolute, because the Python SDK follows them (MR-25)."""
    told = _TOLD[run.state, run.fault]
    refused = told.status != _OK
    error = _error(run)
    url = f"{base_url}/{endpoint_of(run.model)}/requests/{format_short(run.id)}"
    return StatusOut(
        status=told.word,
        request_id=format_short(run.id),
        response_url=url,
        status_url=f"{url}/status",
        cancel_url=f"{url}/cancel",
        queue_position=place,
        logs=[_log_line(line) for line in lines],
        metrics=Metrics(inference_time=_milliseconds(run.started_at, run.finished_at)) if run.finished_at else None,
        error=error,
        message=error if refused else None,
        status_code=told.status if refused else None,
    )


def result_out(run: Run, *, assets: Mapping[AssetId, Asset], base_url: str, lines: Sequence[Event]) -> ResultOut:
    """A finished run as its result; `assets` are those that its output names and that can still be read."""
    told = _TOLD[run.state, run.fault]
    result = item_out(run, assets=assets, base_url=base_url, lines=lines)
    if told.result == _OK:
        return result
    return FailedResultOut(
        **result.model_dump(by_alias=False),
        message=result.error or told.word,
        status_code=told.result,
        request_id=result.id,
        details=_INVALID_OUTPUT if run.fault is RunFault.MODEL else {"code": told.word},
    )


def item_out(run: Run, *, assets: Mapping[AssetId, Asset], base_url: str, lines: Sequence[Event] = ()) -> ResultOut:
    """A run in whatever state, as results and the history show it."""
    told = _TOLD[run.state, run.fault]
    return ResultOut(
        id=format_short(run.id),
        model_endpoint=run.model,
        status=told.word,
        # A request without output shows an empty object (guides/data-retention).
        output=with_assets({} if run.output is None else run.output, lambda key: _file(assets.get(key), base_url)),
        input=dict(run.inputs),
        created_at=timestamp(run.created_at),
        updated_at=timestamp(run.finished_at or run.started_at or run.created_at),
        inference_time=_milliseconds(run.started_at, run.finished_at),
        delay_time=_milliseconds(run.created_at, run.started_at),
        logs="\n".join(str(line.data.get("message", "")) for line in lines),
        error=_error(run),
        metadata=flat_metadata(run),
        billing_status=told.billing,
        payloads_purged_at=timestamp(run.payloads_deleted_at) if run.payloads_deleted_at else None,
    )


def parse_request_id(text: str) -> RunId:
    """The run of a request id. Raises `InvalidField` for a malformed one (400, api-reference/errors), `RunNotFound`."""
    if not _REQUEST_ID.match(text):
        raise InvalidField(("request_id",), "must be 21 letters, digits, '-' or '_'")
    found = parse_short(text)
    if found is None:
        raise RunNotFound(text)
    return RunId(found)


def endpoint_of(model: str) -> str:
    """The path under which a model's requests are found: namespace, owner and alias, nothing deeper (both SDKs)."""
    parts = model.split("/")
    return "/".join(parts[: 3 if parts[0] in {"workflows", "comfy"} else 2])


def require_endpoint(run: Run, endpoint: str) -> Run:
    """The run, when it is one of this endpoint's or of a deeper path's. Raises `RunNotFound` (inferred)."""
    if run.model != endpoint and not run.model.startswith(f"{endpoint}/"):
        raise RunNotFound(format_short(run.id))
    return run


def parse_store_io(header: str | None) -> timedelta | None:
    """How long payloads are kept after the request's end; None: until they are removed. Raises `InvalidField`."""
    if header is None:
        return None
    if header not in _STORE_IO:
        raise InvalidField((STORE_IO_HEADER,), "must be 0, 1, true or false")
    return _STORE_IO[header]


def _error(run: Run) -> str | None:
    if run.state is RunState.CANCELLED:
        return "the request was cancelled"
    if run.state is RunState.FAILED and run.payloads_deleted_at is not None:
        return "the request failed; why was removed with its payloads"
    return run.error


def _log_line(event: Event) -> LogLine:
    level = str(event.data.get("level", "info"))
    return LogLine(
        message=str(event.data.get("message", "")),
        level=_LEVELS.get(level, level.upper()),
        source="USER",  # the only source that the JS client's types know
        timestamp=timestamp(event.created_at),
    )


def _file(asset: Asset | None, base_url: str) -> dict[str, object]:
    """A file in an output; a deleted one has no address any more."""
    if asset is None:
        return {"url": None}
    return {
        "url": media_url(asset.media_key, base_url=base_url),
        "content_type": asset.content_type,
        "file_name": asset.name,
        "file_size": asset.size,
    }


def _milliseconds(begin: datetime | None, end: datetime | None) -> int | None:
    return None if begin is None or end is None else (end - begin) // timedelta(milliseconds=1)
