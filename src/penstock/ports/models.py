"""Registered models, their files and their uploads as rows. Names of sources are in lower case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from penstock.domain.ids import AccountId, ModelFileId, ModelUploadId, RunId
    from penstock.domain.model_uploads import ModelUpload, Phase
    from penstock.domain.models import ModelFile, ModelQuery, ModelSource, RegisteredModel
    from penstock.ports.positions import Position


class ModelRepository(Protocol):
    """Models and the sources of their names. Who may not see a model does not find it (P11)."""

    def add_source(self, source: ModelSource) -> None:
        """Raises `NameTaken`, whoever has it."""
        ...

    def sources(self, account_id: AccountId) -> Sequence[ModelSource]:
        """By name."""
        ...

    def owns(self, account_id: AccountId, source: str) -> bool:
        """Whether the source is the account's own."""
        ...

    def get(self, viewer: AccountId, air: str) -> RegisteredModel:
        """The viewer's own or a public one. Raises `ModelNotFound`."""
        ...

    def own(self, account_id: AccountId, air: str) -> RegisteredModel | None:
        """The account's own, read to be changed: nobody else changes it, or adds it, until the transaction ends."""
        ...

    def put(self, model: RegisteredModel) -> None:
        """Add a model, or replace what the AIR stood for; both are the same account's."""
        ...

    def remove(self, model: RegisteredModel) -> None:
        """The AIR is free again. Its file stays until nothing needs it."""
        ...

    def search(self, viewer: AccountId, query: ModelQuery) -> tuple[int, Sequence[RegisteredModel]]:
        """How many fit in all, and those from `offset` on: the viewer's own and public ones.

        Raises `InvalidField` for a text of too many words.
        """
        ...

    def note_use(self, air: str, *, now: datetime) -> None:
        """A run used it: what `ModelSort.USED` sorts by. One word a minute is kept."""
        ...


class ModelFileRepository(Protocol):
    """Weights at rest. They count in their account's quota from `add` to `remove` (original and optimised bytes)."""

    def add(self, file: ModelFile) -> None:
        """Keep a file. The transaction raises `QuotaExceeded` when there is no room."""
        ...

    def get(self, account_id: AccountId, file_id: ModelFileId) -> ModelFile:
        """Raises `ModelNotFound`."""
        ...

    def of(self, file_ids: Iterable[ModelFileId]) -> Sequence[ModelFile]:
        """Those of them that are there, of whatever account, in no order."""
        ...

    def holding(self, account_id: AccountId, sha256: str) -> ModelFile | None:
        """A file of the account whose original has that hash; it stays until the transaction ends."""
        ...

    def users(self, file_id: ModelFileId) -> Sequence[str]:
        """The AIRs that need it."""
        ...

    def unused(self, *, after: ModelFileId | None = None, limit: int) -> Sequence[ModelFile]:
        """Files that no model and no upload that goes on needs, by id, above that one."""
        ...

    def remove(self, file: ModelFile) -> bool:
        """Forget a file that is unused still (checked under lock); False when somebody needs it again."""
        ...


class ModelLeaseRepository(Protocol):
    """Model files that unfinished runs read. A leased file is not `unused`, whatever becomes of its models (P8)."""

    def add(self, run_id: RunId, file_ids: Iterable[ModelFileId]) -> frozenset[ModelFileId]:
        """Lease those of the files that are there, and say which. They stay until `release`. Idempotent."""
        ...

    def release(self, run_id: RunId) -> None:
        """End a run's leases."""
        ...

    def leased_by(self, run_id: RunId) -> Sequence[ModelFile]:
        """The files that a run holds leases on, of whatever account."""
        ...


class ModelUploadRepository(Protocol):
    """Model uploads."""

    def add(self, upload: ModelUpload) -> bool:
        """Keep a new one; False when (account, dialect, client_ref) stands for one that has not failed."""
        ...

    def get(self, account_id: AccountId, upload_id: ModelUploadId) -> ModelUpload:
        """Raises `ModelUploadNotFound`."""
        ...

    def by_ref(self, account_id: AccountId, *, dialect: str, client_ref: str) -> ModelUpload | None:
        """The newest of its caller's name for it."""
        ...

    def replace(self, upload: ModelUpload, *, was: Phase) -> bool:
        """Write it if its row's phase is still `was`; False (and nothing written) otherwise."""
        ...

    def note_progress(self, upload_id: ModelUploadId, *, received: int, size: int | None) -> None:
        """Write how far its download is."""
        ...

    def page(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[ModelUpload]:
        """Newest first."""
        ...

    def going_on(self, account_id: AccountId, air: str, *, limit: int) -> Sequence[ModelUpload]:
        """Those for that AIR that have not ended, the oldest first, up to `limit`."""
        ...

    def coming(self, account_id: AccountId, *, beside: ModelUploadId) -> int:
        """Bytes of the files that other uploads of the account are bringing, and that no quota counts yet."""
        ...

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget those that ended before; returns how many."""
        ...
