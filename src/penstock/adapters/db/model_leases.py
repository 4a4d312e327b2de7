"""Which model files unfinished runs read, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select

from penstock.adapters.db.rows import Rows, insert_missing
from penstock.adapters.db.tables import model_files, model_leases
from penstock.domain.models import ModelFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from penstock.domain.ids import ModelFileId, RunId

_FILES = Rows(ModelFile, model_files)

# KEY SHARE: whoever takes the file away waits for us and then sees our lease, or we wait and see that it is gone.
_THERE = (
    select(model_files.c.id)
    .where(model_files.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(model_files.c.id)
    .with_for_update(key_share=True, read=True)
)
_ADD = insert_missing(model_leases)
_RELEASE = delete(model_leases).where(model_leases.c.run_id == bindparam("its_run"))
_LEASED = (
    _FILES.select()
    .select_from(model_files.join(model_leases, model_leases.c.file_id == model_files.c.id))
    .where(model_leases.c.run_id == bindparam("its_run"))
)


class SqlModelLeases:
    """Implements `ModelLeaseRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, run_id: RunId, file_ids: Iterable[ModelFileId]) -> frozenset[ModelFileId]:
        """Those of the files that are there."""
        there = list(self._connection.execute(_THERE, {"ids": sorted(file_ids)}).scalars())
        for file_id in there:
            self._connection.execute(_ADD, {"file_id": file_id, "run_id": run_id})
        return frozenset(there)

    def release(self, run_id: RunId) -> None:
        """End a run's leases."""
        self._connection.execute(_RELEASE, {"its_run": run_id})

    def leased_by(self, run_id: RunId) -> Sequence[ModelFile]:
        """The files that a run holds leases on."""
        return _FILES.all(self._connection, _LEASED, {"its_run": run_id})
