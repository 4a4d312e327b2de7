"""Registered models as asked for and as answered: sources, models, uploads, examinations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from penstock.dialects.native.wire.common import Request, timestamp
from penstock.domain.air import MAX_AIR, format_urn, parse_air
from penstock.domain.egress import MAX_URL
from penstock.domain.ids import AccountId, format_prefixed
from penstock.domain.model_reuse import Overlap
from penstock.domain.model_uploads import ModelUpload
from penstock.domain.models import ModelFile, ModelSource, RegisteredModel
from penstock.services.examinations import Examined
from penstock.services.models import ShownModel

CategoryName = Literal["checkpoint", "lora", "lycoris", "controlnet", "vae", "embeddings"]
AirText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_AIR)]
_NOT_OF_THE_CARD = {"air", "url", "asset_id"}


class CreateSource(Request):
    """The first part of AIRs to be."""

    name: str = Field(description="2 to 32 letters, digits or `-`; kept in lower case. Nobody else can have it then.")


class SourceOut(BaseModel):
    """A source."""

    name: str
    object: Literal["model_source"] = "model_source"
    created_at: str


class SourcePage(BaseModel):
    """All of the account's sources, by name."""

    data: list[SourceOut]


class ChangeModel(Request):
    """What is to be said of a model from now on; what is absent stays, null takes back what need not be there.

    Fields that a category does not have are left aside.
    """

    category: str | None = Field(
        default=None, description="checkpoint, lora, lycoris, controlnet, vae or embeddings; never changes."
    )
    type: str | None = Field(
        default=None,
        description="Of a checkpoint base, inpainting or refiner, of embeddings positive or negative; never changes.",
    )
    architecture: str | None = Field(default=None, description="What it is built like: `sdxl`, `flux1d`, `sd1x` …")
    conditioning: str | None = Field(default=None, description="What a controlnet is guided by: `canny`, `depth` …")
    name: str | None = Field(default=None, description="1 to 1000 characters.")
    version_label: str | None = Field(default=None, description="Shown, not ordered; 1 to 400 characters.")
    private: bool | None = Field(default=None, description="Whether the account alone sees and runs it; true at first.")
    default_steps: int | None = Field(default=None, description="Of a checkpoint: 1 to 100; 20 at first.")
    default_scheduler: str | None = Field(default=None, description="Of a checkpoint; null: the model's own.")
    default_cfg: float | None = Field(default=None, description="Of a checkpoint: 0 to 30; 7 at first.")
    default_strength: float | None = Field(default=None, description="Of a checkpoint: 0 to 1; 0.8 at first.")
    default_weight: float | None = Field(default=None, description="Of a lora: -4 to 4; 1 at first.")
    hero_image_url: str | None = Field(default=None, description="An http or https URL; it is shown, never fetched.")
    tags: list[str] | None = Field(default=None, description="Up to 100, of up to 400 characters.")
    positive_trigger_words: list[str] | None = None
    negative_trigger_words: list[str] | None = None
    short_description: str | None = Field(default=None, description="2 to 40000 characters.")
    comment: str | None = Field(default=None, description="For the account alone; 2 to 1000 characters.")

    def said(self) -> dict[str, Any]:
        """What was said of the model."""
        return self.model_dump(exclude=_NOT_OF_THE_CARD, exclude_unset=True)


class RegisterModel(ChangeModel):
    """A model to be, or what is to change of one, its file included.

    A new one needs `category`, `architecture`, `name`, `version_label`, where the category has types `type`, and a
    file: a `url` or an `asset_id`.
    """

    air: AirText = Field(description="`source:number@version`; the source must be the account's.")
    url: Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)] | None = Field(
        default=None, description="Where the safetensors file is fetched from. Its query is shown to nobody."
    )
    asset_id: str | None = Field(default=None, description="An uploaded file. The asset stays yours and apart.")
    unique_identifier: str | None = Field(
        default=None,
        description="Stands for the file's content. Unchanged: the file that is there is used again. Absent: the "
        "SHA-256 of the asset; a URL needs it.",
    )


class StoredOut(BaseModel):
    """One object."""

    size_bytes: int
    sha256: str


class ModelFileOut(BaseModel):
    """A model's weights at rest."""

    original: StoredOut = Field(description="As it came.")
    optimized: StoredOut = Field(description="As it is served; where nothing was to be changed, the same.")
    summary: dict[str, Any] = Field(description="What the manifest says, in short.")
    shared_with: list[str] = Field(description="The owner's other AIRs that have the same file.")


class RegisteredModelOut(BaseModel):
    """A registered model, as lists show it."""

    air: str
    object: Literal["registered_model"] = "registered_model"
    urn: str = Field(description="The same name as a URN.")
    source: str
    owned: bool = Field(description="Whether it is the caller's.")
    category: str
    type: str | None
    architecture: str
    conditioning: str | None
    name: str
    version_label: str
    unique_identifier: str | None = Field(description="Told to its owner alone, as is `comment`.")
    private: bool
    default_steps: int | None
    default_scheduler: str | None
    default_cfg: float | None
    default_strength: float | None
    default_weight: float | None
    hero_image_url: str | None
    tags: list[str]
    positive_trigger_words: list[str]
    negative_trigger_words: list[str]
    short_description: str | None
    comment: str | None
    created_at: str
    updated_at: str


class FullModelOut(RegisteredModelOut):
    """A registered model with its file."""

    file: ModelFileOut


class RegisteredModelPage(BaseModel):
    """Registered models, newest first."""

    data: list[RegisteredModelOut]
    total: int = Field(description="How many fit in all.")
    next_cursor: str | None


class ReuseOut(BaseModel):
    """How much of one model stands in another, as both are served."""

    object: Literal["model_reuse"] = "model_reuse"
    tensors: int
    bytes: int
    shared_tensors: int = Field(description="Those of the same type, shape and bytes, under whatever name.")
    shared_bytes: int


class ModelUploadErrorOut(BaseModel):
    """Why an upload came to nothing."""

    code: str
    message: str
    field: str | None = Field(description="What it is about.")


class ModelUploadOut(BaseModel):
    """What becomes of a registration."""

    id: str
    object: Literal["model_upload"] = "model_upload"
    air: str
    phase: str = Field(
        description="The last that has ended: validated, downloaded, optimized, stored or ready; or failed."
    )
    unique_identifier: str | None = Field(
        description="What was said to stand for its file's content; null where it brings none."
    )
    received_bytes: int
    size_bytes: int | None = Field(description="null while it is not known.")
    warnings: list[str] = Field(description="What is doubtful about the file, though it was taken.")
    error: ModelUploadErrorOut | None
    created_at: str
    finished_at: str | None


class ModelUploadPage(BaseModel):
    """Model uploads, newest first."""

    data: list[ModelUploadOut]
    next_cursor: str | None


class ExaminationOut(BaseModel):
    """What the header of a file says."""

    object: Literal["examination"] = "examination"
    verdict: str | None = Field(
        description="How it fits what was declared: match, match_unverified, mismatch, incomplete, unsupported or "
        "unknown; null where nothing was."
    )
    check: str = Field(
        description="What becomes of a file that is not what is declared (mismatch, incomplete, unsupported or "
        "unknown): `enforce` refuses it, `warn` takes it with a warning, `off` does not compare."
    )
    message: str
    warnings: list[str]
    category: str | None
    family: str | None = Field(description="The structure that was found.")
    architectures: list[str] = Field(description="What it may be declared as, likeliest first.")
    type: str | None
    conditioning: str | None
    algorithm: str | None = Field(description="Of a lora or lycoris.")
    evidence: list[dict[str, Any]] = Field(description="Tensors that decided: `key`, `shape`.")
    size_bytes: int = Field(description="What the whole file must have.")
    header_bytes: int
    tensors: int
    dtypes: list[dict[str, Any]] = Field(description="`dtype`, `tensors`, `bytes`.")
    proposal: dict[str, Any] = Field(description="Fields of a registration that follow from it.")


def source_out(source: ModelSource) -> SourceOut:
    """A source as answered."""
    return SourceOut(name=source.name, created_at=timestamp(source.created_at))


def registered_out(model: RegisteredModel, *, viewer: AccountId) -> RegisteredModelOut:
    """A model as a list shows it."""
    return RegisteredModelOut(**_model(model, viewer))


def full_out(shown: ShownModel, *, viewer: AccountId) -> FullModelOut:
    """A model with its file."""
    return FullModelOut(**_model(shown.model, viewer), file=_file(shown.file, shown.shared_with))


def upload_out(upload: ModelUpload) -> ModelUploadOut:
    """A model upload as answered."""
    error = None
    if upload.error_code is not None:
        error = ModelUploadErrorOut(
            code=upload.error_code, message=upload.error or "", field=_field(upload.error_field)
        )
    return ModelUploadOut(
        id=format_prefixed("modelupload", upload.id),
        air=upload.air,
        phase=upload.phase.value,
        unique_identifier=_text(upload.given.get("unique_identifier")),
        received_bytes=upload.received,
        size_bytes=upload.size,
        warnings=list(upload.warnings),
        error=error,
        created_at=timestamp(upload.created_at),
        finished_at=timestamp(upload.finished_at) if upload.finished_at is not None else None,
    )


def reuse_out(found: Overlap) -> ReuseOut:
    """A comparison as answered."""
    return ReuseOut(
        tensors=found.tensors,
        bytes=found.bytes,
        shared_tensors=found.shared_tensors,
        shared_bytes=found.shared_bytes,
    )


def examination_out(examined: Examined) -> ExaminationOut:
    """An examination as answered."""
    found = examined.found
    return ExaminationOut(
        verdict=found.verdict.value if found.verdict is not None else None,
        check=examined.check.value,
        message=found.message,
        warnings=list(found.warnings),
        category=found.category.value if found.category is not None else None,
        family=found.family,
        architectures=list(found.architectures),
        type=found.type,
        conditioning=found.conditioning,
        algorithm=found.algorithm,
        evidence=[{"key": one.key, "shape": list(one.shape)} for one in found.evidence],
        size_bytes=found.size,
        header_bytes=found.header_size,
        tensors=found.tensors,
        dtypes=[{"dtype": one.dtype, "tensors": one.tensors, "bytes": one.bytes} for one in found.dtypes],
        proposal=dict(examined.proposal),
    )


FIELDS = {"source_url": "url", "search": "q"}
"""Fields that this API calls otherwise."""


def _field(name: str | None) -> str | None:
    return FIELDS.get(name, name) if name is not None else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _model(model: RegisteredModel, viewer: AccountId) -> dict[str, Any]:
    card, owned = model.card, model.account_id == viewer
    air = parse_air(model.air)
    return {
        "air": model.air,
        "urn": format_urn(air, architecture=card.architecture, category=card.category),
        "source": model.source,
        "owned": owned,
        "category": card.category.value,
        "type": card.type,
        "architecture": card.architecture,
        "conditioning": card.conditioning,
        "name": card.name,
        "version_label": card.version_label,
        "unique_identifier": card.unique_identifier if owned else None,
        "private": card.private,
        "default_steps": card.default_steps,
        "default_scheduler": card.default_scheduler,
        "default_cfg": card.default_cfg,
        "default_strength": card.default_strength,
        "default_weight": card.default_weight,
        "hero_image_url": card.hero_image_url,
        "tags": list(card.tags),
        "positive_trigger_words": list(card.positive_trigger_words),
        "negative_trigger_words": list(card.negative_trigger_words),
        "short_description": card.short_description,
        "comment": card.comment if owned else None,
        "created_at": timestamp(model.created_at),
        "updated_at": timestamp(model.updated_at),
    }


def _file(file: ModelFile, shared_with: tuple[str, ...]) -> ModelFileOut:
    return ModelFileOut(
        original=StoredOut(size_bytes=file.size, sha256=file.sha256),
        optimized=StoredOut(size_bytes=file.optimized_size, sha256=file.optimized_sha256),
        summary=dict(file.summary),
        shared_with=list(shared_with),
    )
