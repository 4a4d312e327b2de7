"""Runs as asked for and as answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from penstock.dialects.base.texts import texts_in
from penstock.dialects.runflow.wire.common import ASSET_SCHEME, parse_asset, timestamp
from penstock.domain.air import parse_reference
from penstock.domain.errors import AssetNotFound, InvalidField, MethodRefused
from penstock.domain.runs import RunFault, RunState, output_assets, with_assets

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from penstock.domain.events import Event
    from penstock.domain.ids import AssetId
    from penstock.domain.runs import Run

URL_LIFE = timedelta(days=3)
"""Of the addresses in a run's answer ("about 3 days", a published skill)."""
MAX_METADATA = 16 * 2**10
"""Bytes of JSON (inferred)."""

_MAX_NAMED = 100
_MAX_URL = 2048
_MAX_REF = 255
_LEVELS = {"warning": "warn"}


class CreateRun(BaseModel):
    """`POST /v1/models/{owner}/{slug}/runs`. Members that are not listed are ignored (inferred)."""

    model_config = ConfigDict(strict=True)

    input: dict[str, Any]
    metadata: dict[str, Any] | None = None
    callback_url: Annotated[str, StringConstraints(max_length=_MAX_URL)] | None = None
    client_ref: Annotated[str, StringConstraints(max_length=_MAX_REF)] | None = None


class Failure(BaseModel):
    """Why a run failed, where the JS client looks for it (inferred)."""

    code: str
    message: str


class RunOut(BaseModel):
    """A run. Amounts are decimal strings of USD; a duration counts milliseconds from acceptance to the end."""

    id: str
    model_id: str
    target_type: str
    org_id: str
    status_code: str
    input: dict[str, Any]
    output: dict[str, Any] | None
    duration_ms: int | None
    cost: str | None
    batch_id: str | None
    client_ref: str | None
    request_id: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    callback_url: str | None
    metadata: dict[str, Any] | None
    has_logs: bool
    has_node_runs: bool
    links: dict[str, str]
    failure_code: str | None
    failure_message: str | None
    failure_stage_code: str | None
    error: Failure | None


class LogLine(BaseModel):
    """A line of a run's log (the shape is inferred)."""

    message: str
    level: str
    created_at: str


# `dispatching` is not produced, for runs go from the queue to their models; nor is `partial_succeeded`, of batches.
STATUSES: Mapping[RunState, str] = {
    RunState.QUEUED: "queued",
    RunState.RUNNING: "running",
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
}
FAILURES: Mapping[RunFault | None, str] = {  # inferred, all of them
    RunFault.MODEL: "MODEL_FAILED",
    RunFault.SERVER: "INTERNAL_ERROR",
    RunFault.UNAVAILABLE: "MODEL_UNAVAILABLE",
    RunFault.TIMEOUT: "TIMEOUT",
    RunFault.INPUT: "INPUT_UNAVAILABLE",
    None: "INTERNAL_ERROR",
}


def model_of(path: str) -> str:
    """A model's name from the path, at any depth. Raises `MethodRefused` for a bare segment (guides/javascript-sdk).

    The AIR of a registered model is one segment; the product has none.
    """
    reference = parse_reference(path)
    if "/" not in path and (reference is None or reference.air is None):
        raise MethodRefused(allowed=())
    return path


def named_assets(model_input: Mapping[str, object]) -> tuple[str, ...]:
    """Every reference in an input that must name an asset: `runflow://` URIs at whatever depth, and `asset_id`.

    Raises `InvalidField` for too many.
    """
    found = [text for text in texts_in(model_input) if text.startswith(ASSET_SCHEME)]
    named = model_input.get("asset_id")
    names = tuple(dict.fromkeys([*found, *([named] if isinstance(named, str) else [])]))
    if len(names) > _MAX_NAMED:
        raise InvalidField(("input",), f"must not name more than {_MAX_NAMED} assets", rule="too_long")
    return names


def assets_of(run: Run) -> tuple[AssetId, ...]:
    """The assets whose addresses a run's answer holds: those it made, and those its input names by URI."""
    made = [parse_asset(asset_id) for asset_id in output_assets(run.output)]
    given = [named for text in texts_in(run.inputs) if (named := _named(text)) is not None]
    return tuple(dict.fromkeys([*made, *given]))


def run_out(run: Run, *, base_url: str, urls: Mapping[AssetId, tuple[str, str]]) -> RunOut:
    """A run as answered; `urls` has the address and the sort of each of its `assets_of` that can be read."""
    url = f"{base_url}/v1/runs/{run.id}"
    failure = failure_of(run)
    return RunOut(
        id=run.id,
        model_id=run.model,
        target_type="model",
        org_id=run.account_id,
        status_code=STATUSES[run.state],
        input={name: _signed(value, urls) for name, value in run.inputs.items()},
        output=output_of(run.output, urls) if run.state is RunState.SUCCEEDED else None,
        duration_ms=(run.finished_at - run.created_at) // timedelta(milliseconds=1) if run.finished_at else None,
        cost=_amount(run.cost) if run.cost is not None else None,
        batch_id=None,
        client_ref=run.client_ref,
        request_id=None,
        created_at=timestamp(run.created_at),
        started_at=timestamp(run.started_at) if run.started_at else None,
        completed_at=timestamp(run.finished_at) if run.finished_at else None,
        callback_url=run.callback_url,
        metadata=dict(run.metadata) or None,
        has_logs=run.started_at is not None,
        has_node_runs=False,
        links={"self": url, "logs": f"{url}/logs", "callback": f"{url}/callback"},
        failure_code=failure.code if failure else None,
        failure_message=failure.message if failure else None,
        failure_stage_code=None,
        error=failure,
    )


def log_line(event: Event) -> LogLine:
    """A line of a run's log."""
    level = str(event.data.get("level", "info"))
    message = str(event.data.get("message", ""))
    return LogLine(message=message, level=_LEVELS.get(level, level), created_at=timestamp(event.created_at))


def failure_of(run: Run) -> Failure | None:
    """Why a run failed; None for one that did not."""
    if run.state is not RunState.FAILED:
        return None
    return Failure(code=FAILURES[run.fault], message=run.error or "the run failed")


def output_of(output: object, urls: Mapping[AssetId, tuple[str, str]]) -> dict[str, Any]:
    """Every file in `outputs`, and the model's own members beside it, in which a file looks the same."""

    def file(asset_id: AssetId) -> dict[str, str | None]:
        """A deleted one has no address any more."""
        url, kind = urls.get(asset_id, (None, None))
        return {"url": url, "type": kind}

    made = [file(parse_asset(asset_id)) for asset_id in output_assets(output)]
    own = with_assets(output, file)
    return {**(own if isinstance(own, dict) else {"result": own}), "outputs": made}


def _signed(value: object, urls: Mapping[AssetId, tuple[str, str]]) -> object:
    """A value of an input with an address in place of each URI: reads re-sign it (backend-contract)."""

    def signed(text: str) -> str:
        named = _named(text)
        return urls[named][0] if named is not None and named in urls else text

    return _replaced(value, signed)


def _replaced(value: object, shown: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, Mapping):
        return {name: _replaced(item, shown) for name, item in value.items()}
    return [_replaced(item, shown) for item in value] if isinstance(value, list) else value


def _named(text: str) -> AssetId | None:
    if not text.startswith(ASSET_SCHEME):
        return None
    try:
        return parse_asset(text.removeprefix(ASSET_SCHEME))
    except AssetNotFound:
        return None


def _amount(value: Decimal) -> str:
    return f"{value.normalize():f}"
