"""Runs and models as asked for and as answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from penstock.dialects.native.wire.common import Request, media_url, money, timestamp
from penstock.dialects.native.wire.lifetimes import LEAST_SECONDS, MOST_SECONDS
from penstock.domain.assets import Asset
from penstock.domain.catalog import Model
from penstock.domain.egress import MAX_URL
from penstock.domain.ids import AssetId, format_prefixed
from penstock.domain.runs import Run, RunFault, flat_metadata, progress_of, with_assets


class CreateRun(Request):
    """What to run."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="A model's slug or alias, see `GET /models`."
    )
    input: dict[str, Any] = Field(
        description="The model's inputs. A file field takes an asset id, an upload id, a media URL, a data URI or a "
        "URL of another server."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="Up to 16 strings of your own, given back with the run."
    )
    output_expires_in: int | None = Field(
        default=None,
        ge=LEAST_SECONDS,
        le=MOST_SECONDS,
        description="Seconds that the run's files shall live after its end; null: until deleted; absent: as the "
        "server's operator has set.",
    )
    callback_url: Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)] | None = Field(
        default=None,
        description="An https URL that is told of the run's end by POST, signed with the account's webhook secret.",
    )


class RunErrorOut(BaseModel):
    """Why a run failed."""

    code: str = Field(
        description="model: by its model; input: a file of another server could not be had; timeout; unavailable: its "
        "model has no runner; server: by any other fault of the server's."
    )
    message: str


class RunOut(BaseModel):
    """A run."""

    id: str
    object: Literal["run"] = "run"
    model: str = Field(description="The name that was asked for.")
    state: str = Field(description="queued, running, succeeded, failed or cancelled.")
    throttled: bool = Field(
        description="Queued, and as many runs as its model or its account may have are going on; it begins by itself."
    )
    progress: float | None = Field(
        description="How far its attempt is, 0 to 1; null until its model says so, 1 when it has succeeded."
    )
    input: dict[str, Any] = Field(description="As given; a data URI is cut short.")
    output: Any = Field(description="The model's output; a file is an object with `asset_id` and `url`.")
    error: RunErrorOut | None
    metadata: dict[str, str]
    held_usd: str = Field(description="What was set aside for the run.")
    cost_usd: str | None = Field(description="What the run cost; null until it has succeeded.")
    created_at: str
    started_at: str | None = Field(description="When the first attempt began.")
    finished_at: str | None
    deadline_at: str | None = Field(description="When it fails if it has not ended; null for runs of older servers.")


class ModelOut(BaseModel):
    """A runnable model."""

    slug: str
    object: Literal["model"] = "model"
    aliases: list[str]
    title: str
    description: str
    price_usd: str = Field(description="Per run.")
    inputs: list[dict[str, Any]] = Field(
        description="`name`, `type`, `required`, and what else is said of it: `default`, `description`, `synonyms`,"
        " `min_length`, `max_length`, `min`, `max`, `choices`; for files `accepts`, the kinds of asset."
    )
    outputs: list[dict[str, Any]] = Field(description="`name`, `type`, `description`; for files `kind`.")


class RunPage(BaseModel):
    """Runs, newest first."""

    data: list[RunOut]
    next_cursor: str | None


class ModelPage(BaseModel):
    """All models."""

    data: list[ModelOut]


def run_out(run: Run, *, assets: Mapping[AssetId, Asset], base_url: str, throttled: bool) -> RunOut:
    """A run as answered; `assets` are those that its output names and that can still be read."""
    # A failure of before faults were noted is the server's.
    fault = (run.fault or RunFault.SERVER).value
    return RunOut(
        id=format_prefixed("run", run.id),
        model=run.model,
        state=run.state.value,
        input=dict(run.inputs),
        output=with_assets(run.output, lambda asset_id: _file(asset_id, assets.get(asset_id), base_url)),
        throttled=throttled,
        progress=progress_of(run),
        error=RunErrorOut(code=fault, message=run.error) if run.error is not None else None,
        metadata=flat_metadata(run),
        held_usd=money(run.held),
        cost_usd=money(run.cost) if run.cost is not None else None,
        created_at=timestamp(run.created_at),
        started_at=timestamp(run.started_at) if run.started_at else None,
        finished_at=timestamp(run.finished_at) if run.finished_at else None,
        deadline_at=timestamp(run.deadline_at) if run.deadline_at else None,
    )


def model_out(model: Model) -> ModelOut:
    """A model as answered; input and output fields without what they do not say."""

    def said(field: object, names: tuple[str, ...]) -> dict[str, Any]:
        values = {name: getattr(field, name) for name in names}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items() if v not in (None, (), "")}

    inputs = (
        "name",
        "type",
        "required",
        "default",
        "description",
        "synonyms",
        "min_length",
        "max_length",
        "min",
        "max",
        "choices",
        "accepts",
    )
    return ModelOut(
        slug=model.slug,
        aliases=list(model.aliases),
        title=model.title,
        description=model.description,
        price_usd=money(model.price),
        inputs=[said(field, inputs) for field in model.inputs],
        outputs=[said(field, ("name", "type", "kind", "description")) for field in model.outputs],
    )


def _file(asset_id: AssetId, asset: Asset | None, base_url: str) -> dict[str, object]:
    """A file in an output; a deleted one keeps its id and loses the rest."""
    if asset is None:
        return {"asset_id": format_prefixed("asset", asset_id), "url": None}
    return {
        "asset_id": format_prefixed("asset", asset.id),
        "url": media_url(asset.media_key, base_url=base_url),
        "filename": asset.name,
        "content_type": asset.content_type,
        "size_bytes": asset.size,
    }
