"""What model files are said to be, and what was found: the words between whoever uploads and whoever examines."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.errors import ModelFileMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping


class Category(StrEnum):
    """What a model file is for."""

    CHECKPOINT = "checkpoint"
    LORA = "lora"
    LYCORIS = "lycoris"
    CONTROLNET = "controlnet"
    VAE = "vae"
    EMBEDDINGS = "embeddings"


class ModelCheck(StrEnum):
    """What to do about a file that is not what it was declared to be.

    `OFF` still refuses what is no safetensors file at all: nothing could read it.
    """

    ENFORCE = "enforce"
    WARN = "warn"
    OFF = "off"


class VerdictKind(StrEnum):
    """How the file's structure fits its declaration.

    It fits; it fits, but the variant cannot be proved; it does not; parts are missing; it is recognised and not among
    what can be declared; nobody knows what it is.
    """

    MATCH = "match"
    MATCH_UNVERIFIED = "match_unverified"
    MISMATCH = "mismatch"
    INCOMPLETE = "incomplete"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown"


FITTING = frozenset({VerdictKind.MATCH, VerdictKind.MATCH_UNVERIFIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What somebody says that a file is, in words that were checked; None where nothing was said."""

    category: Category
    architecture: str | None = None
    type: str | None = None
    conditioning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A tensor that decided, and its shape."""

    key: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeShare:
    """How many tensors are of one type of number (safetensors' word), and their bytes."""

    dtype: str
    tensors: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What the header says.

    `family` is the structure that was found (`sdxl`, `flux1` …), `architectures` what it may be declared as, likeliest
    first, `algorithm` that of an adapter. `verdict` is None when nothing was declared. `message` says what was found
    and what to do, fit for whoever uploads. `suggestions` are words from the file's metadata for fields that were left
    out. `size` is the bytes that the whole file must have, `header_size` those before the data.
    """

    verdict: VerdictKind | None
    category: Category | None
    family: str | None
    architectures: tuple[str, ...] = ()
    type: str | None = None
    conditioning: str | None = None
    algorithm: str | None = None
    evidence: tuple[Evidence, ...] = ()
    warnings: tuple[str, ...] = ()
    message: str = ""
    suggestions: Mapping[str, str] = field(default_factory=dict)
    size: int
    header_size: int
    tensors: int
    dtypes: tuple[DtypeShare, ...] = ()
    misaligned: int = 0


def require_fit(found: Examination, check: ModelCheck) -> tuple[str, ...]:
    """The warnings that a file is taken with. Raises `ModelFileMismatch` for one that is not what was declared."""
    if check is ModelCheck.OFF or found.verdict is None:
        return ()
    if found.verdict in FITTING:
        return found.warnings
    if check is ModelCheck.ENFORCE:
        raise ModelFileMismatch(found.message)
    return (found.message, *found.warnings)
