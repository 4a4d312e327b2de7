"""Native shapes: snake_case, prefixed ids, sizes in bytes, times in ISO 8601 UTC, money as decimal strings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from penstock.domain.ids import AssetId, MediaKey, UploadId, format_prefixed, parse_media_key, parse_prefixed
from penstock.domain.references import AssetReference, MediaReference, UploadReference
from penstock.domain.runs import with_assets

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from penstock.domain.accounts import Account
    from penstock.domain.assets import Asset
    from penstock.domain.catalog import Model
    from penstock.domain.events import Event
    from penstock.domain.ledger import LedgerEntry
    from penstock.domain.references import Reference
    from penstock.domain.runs import Run
    from penstock.domain.uploads import Upload
    from penstock.services.accounts import Principal

_MAX_FILENAME = 500
_MAX_LIFETIME_SECONDS = 10 * 365 * 24 * 3600


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class CreateUpload(_Request):
    """What to upload."""

    filename: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_FILENAME)] = Field(
        description="The file's name: a label, never a path."
    )
    content_type: Annotated[str, StringConstraints(min_length=1, max_length=255)] = Field(
        description="Media type; the PUT must repeat it. `application/octet-stream` lets the bytes decide."
    )
    size_bytes: int | None = Field(
        default=None, ge=0, description="Size in bytes. When given, a PUT of any other length is refused."
    )
    expires_in: int | None = Field(
        default=None,
        ge=60,
        le=_MAX_LIFETIME_SECONDS,
        description="Seconds that the asset shall live after completion; absent: until deleted.",
    )
    method: Literal["put"] = Field(default="put", description="How the bytes travel.")


class CreateRun(_Request):
    """What to run."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="A model's slug or alias, see `GET /models`."
    )
    input: dict[str, Any] = Field(
        description="The model's inputs. A file field takes an asset id, an upload id, a media URL or a data URI."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="Up to 16 strings of your own, given back with the run."
    )


class UploadOut(BaseModel):
    """An upload."""

    id: str
    object: Literal["upload"] = "upload"
    state: str = Field(description="pending, stored, ready, failed, expired or aborted.")
    method: str
    upload_url: str | None = Field(
        default=None, description="Where to PUT the bytes; while pending only, and not in listings."
    )
    headers: dict[str, str] | None = Field(default=None, description="Headers that the PUT must carry exactly.")
    filename: str
    content_type: str = Field(description="As declared.")
    size_bytes: int | None = Field(description="As declared.")
    created_at: str
    expires_at: str = Field(description="When `upload_url` stops working.")
    asset_id: str | None = Field(description="The asset, once the bytes were accepted.")
    failure: str | None = Field(description="Why it failed or expired.")


class AssetOut(BaseModel):
    """An asset: bytes that were accepted."""

    id: str
    object: Literal["asset"] = "asset"
    filename: str
    content_type: str = Field(description="The type that the bytes show.")
    kind: str = Field(description="image, video, audio, model or other.")
    size_bytes: int
    sha256: str | None = Field(description="Hex; null until measured.")
    url: str = Field(description="Stable public URL of the bytes; whoever has it can read them.")
    created_at: str
    expires_at: str | None = Field(description="Null: kept until deleted.")
    upload_id: str | None = Field(description="The upload that brought it.")
    run_id: str | None = Field(description="The run that made it.")


class RunErrorOut(BaseModel):
    """Why a run failed."""

    message: str


class RunOut(BaseModel):
    """A run."""

    id: str
    object: Literal["run"] = "run"
    model: str = Field(description="The name that was asked for.")
    state: str = Field(description="queued, running, succeeded, failed or cancelled.")
    input: dict[str, Any] = Field(description="As given; a data URI is cut short.")
    output: Any = Field(description="The model's output; a file is an object with `asset_id` and `url`.")
    error: RunErrorOut | None
    metadata: dict[str, str]
    held_usd: str = Field(description="What was set aside for the run.")
    cost_usd: str | None = Field(description="What the run cost; null until it has succeeded.")
    created_at: str
    started_at: str | None = Field(description="When the first attempt began.")
    finished_at: str | None


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


class KeyOut(BaseModel):
    """The key that was used."""

    id: str
    scopes: list[str]


class AccountOut(BaseModel):
    """The account behind the key."""

    id: str
    object: Literal["account"] = "account"
    name: str
    balance_usd: str
    key: KeyOut


class LedgerEntryOut(BaseModel):
    """A change of the balance."""

    number: int = Field(description="Counts from 1 within the account.")
    kind: str = Field(description="credit, hold, settle or refund.")
    amount_usd: str = Field(description="What was added; negative for a hold.")
    balance_usd: str = Field(description="The balance after it.")
    run_id: str | None = Field(description="The run that it belongs to.")
    created_at: str


class UploadPage(BaseModel):
    """Uploads, newest first."""

    data: list[UploadOut]
    next_cursor: str | None


class AssetPage(BaseModel):
    """Assets, newest first."""

    data: list[AssetOut]
    next_cursor: str | None


class RunPage(BaseModel):
    """Runs, newest first."""

    data: list[RunOut]
    next_cursor: str | None


class ModelPage(BaseModel):
    """All models."""

    data: list[ModelOut]


class LedgerPage(BaseModel):
    """Ledger entries, newest first."""

    data: list[LedgerEntryOut]
    next_cursor: str | None


class FieldProblem(BaseModel):
    """One field that is wrong."""

    pointer: str = Field(description="Where it stands in the body (RFC 6901, as a fragment).")
    detail: str
    code: str = Field(description="`missing`, `unknown`, `conflict` and the like.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="The code as a URN.")
    title: str
    status: int
    detail: str = Field(description="What is wrong, for people.")
    code: str = Field(description="What is wrong, for programs; stable.")
    request_id: str = Field(description="As in the header `X-Request-Id`, and in the server's log.")
    errors: list[FieldProblem] | None = Field(default=None, description="The fields that are wrong, where some are.")


def upload_out(upload: Upload, *, url: str | None = None, headers: dict[str, str] | None = None) -> UploadOut:
    """An upload as answered; `url` and `headers` while it can still be sent."""
    return UploadOut(
        id=format_prefixed("upload", upload.id),
        state=upload.state.value,
        method=upload.method.value,
        upload_url=url,
        headers=headers,
        filename=upload.name,
        content_type=upload.declared_type,
        size_bytes=upload.declared_size,
        created_at=timestamp(upload.created_at),
        expires_at=timestamp(upload.expires_at),
        asset_id=format_prefixed("asset", upload.asset_id) if upload.asset_id else None,
        failure=upload.failure,
    )


def asset_out(asset: Asset, *, base_url: str) -> AssetOut:
    """An asset as answered."""
    return AssetOut(
        id=format_prefixed("asset", asset.id),
        filename=asset.name,
        content_type=asset.content_type,
        kind=asset.kind.value,
        size_bytes=asset.size,
        sha256=asset.sha256,
        url=media_url(asset.media_key, base_url=base_url),
        created_at=timestamp(asset.created_at),
        expires_at=timestamp(asset.expires_at) if asset.expires_at else None,
        upload_id=format_prefixed("upload", asset.upload_id) if asset.upload_id else None,
        run_id=format_prefixed("run", asset.run_id) if asset.run_id else None,
    )


def run_out(run: Run, *, assets: Mapping[AssetId, Asset], base_url: str) -> RunOut:
    """A run as answered; `assets` are those that its output names and that can still be read."""
    return RunOut(
        id=format_prefixed("run", run.id),
        model=run.model,
        state=run.state.value,
        input=dict(run.inputs),
        output=with_assets(run.output, lambda asset_id: _file(asset_id, assets.get(asset_id), base_url)),
        error=RunErrorOut(message=run.error) if run.error is not None else None,
        metadata=dict(run.metadata),
        held_usd=money(run.held),
        cost_usd=money(run.cost) if run.cost is not None else None,
        created_at=timestamp(run.created_at),
        started_at=timestamp(run.started_at) if run.started_at else None,
        finished_at=timestamp(run.finished_at) if run.finished_at else None,
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


def account_out(account: Account, balance: Decimal, who: Principal) -> AccountOut:
    """The caller's account as answered."""
    return AccountOut(
        id=format_prefixed("acct", account.id),
        name=account.name,
        balance_usd=money(balance),
        key=KeyOut(id=format_prefixed("key", who.key.id), scopes=sorted(who.key.scopes)),
    )


def ledger_entry_out(entry: LedgerEntry) -> LedgerEntryOut:
    """A ledger entry as answered."""
    return LedgerEntryOut(
        number=entry.number,
        kind=entry.kind.value,
        amount_usd=money(entry.amount),
        balance_usd=money(entry.balance),
        run_id=format_prefixed("run", entry.run_id) if entry.run_id else None,
        created_at=timestamp(entry.created_at),
    )


def event_out(event: Event) -> dict[str, object]:
    """An event as streamed; ids inside are prefixed like everywhere."""
    data = dict(event.data)
    if "asset_id" in data:
        data["asset_id"] = format_prefixed("asset", str(data["asset_id"]))
    return {"number": event.number, "kind": event.kind.value, "data": data, "created_at": timestamp(event.created_at)}


def timestamp(time: datetime) -> str:
    """ISO 8601, UTC, milliseconds, `Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money(amount: Decimal) -> str:
    """USD as a plain decimal string without needless zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def media_url(key: MediaKey, *, base_url: str) -> str:
    """The stable public URL of a media key."""
    return f"{base_url}/media/{key}"


def reference_parser(base_url: str) -> Callable[[str], Reference | None]:
    """Parses `asset_…`, `upload_…` and media URLs under `base_url`; parse ∘ format = identity."""
    prefix = f"{base_url}/media/"

    def parse(text: str) -> Reference | None:
        asset_id = parse_prefixed("asset", text)
        if asset_id is not None:
            return AssetReference(asset_id=AssetId(asset_id))
        upload_id = parse_prefixed("upload", text)
        if upload_id is not None:
            return UploadReference(upload_id=UploadId(upload_id))
        key = parse_media_key(text.removeprefix(prefix)) if text.startswith(prefix) else None
        return MediaReference(media_key=key) if key is not None else None

    return parse


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
