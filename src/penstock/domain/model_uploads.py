"""Model uploads: from accepted parameters to a model that can be used, in five phases that are told as they end.

validated ──▶ downloaded ──▶ optimized ──▶ stored ──▶ ready        (any of the first four ──▶ failed)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.lifecycles import advance

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.ids import AccountId, AssetId, ModelFileId, ModelUploadId


class Phase(StrEnum):
    """The last phase that has ended, or that it came to nothing."""

    VALIDATED = "validated"
    DOWNLOADED = "downloaded"
    OPTIMIZED = "optimized"
    STORED = "stored"
    READY = "ready"
    FAILED = "failed"


class PhaseEvent(StrEnum):
    """What can happen to a model upload."""

    DOWNLOAD = "download"
    OPTIMIZE = "optimize"
    STORE = "store"
    DEPLOY = "deploy"
    FAIL = "fail"


PHASE_TABLE: Mapping[tuple[Phase, PhaseEvent], Phase] = {
    (Phase.VALIDATED, PhaseEvent.DOWNLOAD): Phase.DOWNLOADED,
    (Phase.VALIDATED, PhaseEvent.FAIL): Phase.FAILED,
    (Phase.DOWNLOADED, PhaseEvent.OPTIMIZE): Phase.OPTIMIZED,
    (Phase.DOWNLOADED, PhaseEvent.FAIL): Phase.FAILED,
    (Phase.OPTIMIZED, PhaseEvent.STORE): Phase.STORED,
    (Phase.OPTIMIZED, PhaseEvent.FAIL): Phase.FAILED,
    (Phase.STORED, PhaseEvent.DEPLOY): Phase.READY,
    (Phase.STORED, PhaseEvent.FAIL): Phase.FAILED,
}
ENDED = frozenset({Phase.READY, Phase.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUpload:
    """One task.

    `given` holds what its caller said of the model, by the field names of `models.ModelCard`, as JSON; what an update
    leaves out keeps its value. The bytes come from `source_url` (whose query may be a secret) or from an asset; from
    neither when the file that is there is used again. `file_id` is the file that is used, or that will be: it is
    written down before the first of its objects is, so that no sweep takes them for nobody's. `client_ref` is what its
    caller calls it, `fingerprint` stands for all that it asked. `received` of `size` bytes are here (None: not known).
    A failure has the `code` of an error, its text and the field that it is about (a `ModelCard` field, `air`,
    `source_url` …). `callback_url` is told of the end.
    """

    id: ModelUploadId
    account_id: AccountId
    dialect: str
    client_ref: str | None
    air: str
    given: Mapping[str, object]
    fingerprint: str
    source_url: str | None = field(repr=False)
    asset_id: AssetId | None
    phase: Phase
    file_id: ModelFileId | None = None
    received: int = 0
    size: int | None = None
    warnings: tuple[str, ...] = ()
    error_code: str | None = None
    error: str | None = None
    error_field: str | None = None
    callback_url: str | None = field(default=None, repr=False)
    created_at: datetime
    finished_at: datetime | None = None


def advanced(upload: ModelUpload, event: PhaseEvent) -> ModelUpload:
    """The upload after one more phase. Raises `IllegalTransition`."""
    return replace(upload, phase=advance(PHASE_TABLE, upload.phase, event, subject="model upload"))


def deployed(upload: ModelUpload, *, now: datetime) -> ModelUpload:
    """The upload whose model can be used. Raises `IllegalTransition`."""
    return replace(advanced(upload, PhaseEvent.DEPLOY), finished_at=now)


def failed(upload: ModelUpload, *, code: str, error: str, field: str | None, now: datetime) -> ModelUpload:
    """The upload that came to nothing. Raises `IllegalTransition`."""
    return replace(advanced(upload, PhaseEvent.FAIL), error_code=code, error=error, error_field=field, finished_at=now)


def is_over(upload: ModelUpload) -> bool:
    """Whether it has ended."""
    return upload.phase in ENDED
