"""What the server answers, as frozen values. Sizes are bytes, money is Decimal USD, times are aware UTC.

Fields that a newer server adds are ignored; words such as states are plain strings, so that a new one breaks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads annotations at run time
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - likewise
from decimal import Decimal  # noqa: TC003 - likewise
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
FINISHED_STATES = frozenset({"succeeded", "failed", "cancelled"})
_FINAL_EVENTS = frozenset({f"run.{state}" for state in FINISHED_STATES})


class _Json:
    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """Itself in types that `json` can write: times in ISO 8601, money as strings."""
        plain: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json")  # type: ignore[arg-type] # a class
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset(_Json):
    """Bytes that the server keeps. `url` is public: whoever has it can read them. `sha256` is None until measured.

    `content_type` is what they are served as, `found_type` what they show. `intake` is `pending` until `facts` (what a
    decoder saw), `thumbnail_url` and `problem` (why it saw nothing) are there.
    """

    id: str
    filename: str
    content_type: str
    found_type: str | None = None
    kind: str
    size_bytes: int
    sha256: str | None = None
    url: str
    intake: str = "done"
    facts: Mapping[str, Any] | None = None
    problem: str | None = None
    thumbnail_url: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    upload_id: str | None = None
    run_id: str | None = None
    folder_id: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder(_Json):
    """A folder; `parent_id` None is the top."""

    id: str
    name: str
    parent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form(_Json):
    """A form to POST as `multipart/form-data`: the fields in their order, then the bytes as the file `file`."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(_Json):
    """An upload. What its bytes are sent with is there while they can be; `expires_at` is the URL's.

    By `method`: `put` has `upload_url` and `headers`, `form` has `form`, `multipart` has `part_size` (bytes of every
    part but the last) and, when the size was declared, `part_count`.
    """

    id: str
    state: str
    method: str
    upload_url: str | None = None
    headers: Mapping[str, str] | None = None
    form: Form | None = None
    part_size: int | None = None
    part_count: int | None = None
    filename: str
    content_type: str
    size_bytes: int | None = None
    created_at: datetime
    expires_at: datetime
    asset_id: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPart(_Json):
    """Where to PUT one part."""

    part_number: int
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedParts(_Json):
    """Where to PUT parts, up to `expires_at`."""

    data: tuple[SignedPart, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedPart(_Json):
    """A part that has arrived."""

    part_number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedParts(_Json):
    """Some of the parts that have arrived, by number; `next_after` is None on the last page."""

    data: tuple[ReceivedPart, ...]
    next_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile(_Json):
    """A file in a run's output. Without a `url` it has been deleted since."""

    asset_id: str
    url: str | None
    filename: str = ""
    content_type: str = ""
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError(_Json):
    """Why a run failed: `code` is model, input, timeout, unavailable or server."""

    message: str
    code: str = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(_Json):
    """A run. `output` is the model's own JSON; `files` are the files in it.

    `throttled`: it waits because as many runs as its model or its account may have are going on. `progress`: 0 to 1.
    """

    id: str
    model: str
    state: str
    throttled: bool = False
    progress: float | None = None
    input: Mapping[str, Any]
    output: Any = None
    error: RunError | None = None
    metadata: Mapping[str, str]
    held_usd: Decimal
    cost_usd: Decimal | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in FINISHED_STATES

    @property
    def succeeded(self) -> bool:
        """Whether it has ended with a result."""
        return self.state == "succeeded"

    @property
    def files(self) -> tuple[OutputFile, ...]:
        """Every file in the output, in document order."""
        return tuple(_files_in(self.output))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(_Json):
    """Something that happened to a run; `number` counts from 1."""

    number: int
    kind: str
    data: Mapping[str, Any]
    created_at: datetime

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self.kind in _FINAL_EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput(_Json):
    """One input of a model. `accepts` lists asset kinds, for files."""

    name: str
    type: str
    required: bool = False
    default: Any = None
    description: str = ""
    synonyms: tuple[str, ...] = ()
    choices: tuple[Any, ...] = ()
    accepts: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput(_Json):
    """One output of a model. `kind` is the asset kind, for files."""

    name: str
    type: str
    kind: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(_Json):
    """A model that can be run. `price_usd` is per run."""

    slug: str
    aliases: tuple[str, ...] = ()
    title: str
    description: str
    price_usd: Decimal
    inputs: tuple[ModelInput, ...]
    outputs: tuple[ModelOutput, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource(_Json):
    """The first part of AIRs; the account's own."""

    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights(_Json):
    """One object of a model; `sha256` in hexadecimal."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile(_Json):
    """A model's weights, as they came and as they are served. `summary` is what their manifest says in short."""

    original: StoredWeights
    optimized: StoredWeights
    summary: Mapping[str, Any]
    shared_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel(_Json):
    """A registered model. Listings leave `file` out; `comment` and `unique_identifier` are for its owner alone."""

    air: str
    urn: str
    owned: bool
    category: str
    type: str | None = None
    architecture: str
    conditioning: str | None = None
    name: str
    version_label: str
    unique_identifier: str | None = None
    private: bool
    default_steps: int | None = None
    default_scheduler: str | None = None
    default_cfg: float | None = None
    default_strength: float | None = None
    default_weight: float | None = None
    hero_image_url: str | None = None
    tags: tuple[str, ...] = ()
    positive_trigger_words: tuple[str, ...] = ()
    negative_trigger_words: tuple[str, ...] = ()
    short_description: str | None = None
    comment: str | None = None
    created_at: datetime
    updated_at: datetime
    file: ModelFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUploadError(_Json):
    """Why a model upload came to nothing; `field` is what it is about."""

    code: str
    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUpload(_Json):
    """What becomes of a registration. `phase`: validated, downloaded, optimized, stored, ready; or failed.

    `unique_identifier` is what stands for the content of the file that it brings.
    """

    id: str
    air: str
    phase: str
    unique_identifier: str | None = None
    received_bytes: int = 0
    size_bytes: int | None = None
    warnings: tuple[str, ...] = ()
    error: ModelUploadError | None = None
    created_at: datetime
    finished_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReuse(_Json):
    """How much of one model stands in another; sizes in bytes."""

    tensors: int
    bytes: int
    shared_tensors: int
    shared_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination(_Json):
    """What the header of a model file says. `verdict` is None where nothing was declared.

    `check` is what the server does with a file that is not what is declared: enforce, warn or off.
    `architectures`: what it may be declared as, likeliest first; `proposal`: fields of a registration that follow.
    """

    verdict: str | None = None
    check: str = "enforce"
    message: str = ""
    warnings: tuple[str, ...] = ()
    category: str | None = None
    family: str | None = None
    architectures: tuple[str, ...] = ()
    type: str | None = None
    conditioning: str | None = None
    algorithm: str | None = None
    size_bytes: int
    header_bytes: int
    tensors: int
    proposal: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountKey(_Json):
    """The key in use."""

    id: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(_Json):
    """The account behind the key."""

    id: str
    name: str
    balance_usd: Decimal
    key: AccountKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A piece of a listing; `next_cursor` is None on the last."""

    data: tuple[T, ...]
    next_cursor: str | None = None


def read_json(result: type[T], text: str | bytes) -> T:
    """A result from its JSON. Raises pydantic's `ValidationError`, a `ValueError`."""
    found: T = _adapter(result).validate_json(text)  # type: ignore[arg-type]  # a class can be hashed, whatever mypy says
    return found


@cache
def _adapter(of: type[object]) -> TypeAdapter[Any]:
    return TypeAdapter(of)


def _files_in(output: object) -> Iterator[OutputFile]:
    if isinstance(output, dict):
        if isinstance(output.get("asset_id"), str) and "url" in output:
            yield _adapter(OutputFile).validate_python(output)
            return
        output = list(output.values())
    if isinstance(output, list):
        for item in output:
            yield from _files_in(item)
