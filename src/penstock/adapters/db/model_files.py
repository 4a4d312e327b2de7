"""Model files as rows. One that a model needs cannot be removed: the model's row refers to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, delete, exists, insert, or_, select, true

from penstock.adapters.db.rows import Rows, to_change
from penstock.adapters.db.tables import model_files, model_leases, model_uploads, models
from penstock.domain.errors import ModelNotFound
from penstock.domain.models import ModelFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from penstock.adapters.db.quotas import QuotaBook
    from penstock.domain.ids import AccountId, ModelFileId

_ROWS = Rows(ModelFile, model_files)
_IN_USE = or_(
    exists().where(models.c.file_id == model_files.c.id),
    exists().where(model_uploads.c.file_id == model_files.c.id, model_uploads.c.finished_at.is_(None)),
    exists().where(model_leases.c.file_id == model_files.c.id),
)

_ADD = insert(model_files)
_GET = _ROWS.select().where(model_files.c.id == bindparam("id"), model_files.c.account_id == bindparam("account_id"))
_OF = _ROWS.select().where(model_files.c.id.in_(bindparam("ids", expanding=True)))
_HOLDING = (
    _ROWS.select()
    .where(model_files.c.account_id == bindparam("account_id"), model_files.c.sha256 == bindparam("sha256"))
    .order_by(model_files.c.created_at, model_files.c.id)
    .limit(1)
)
_HOLDING_TO_KEEP = to_change(_HOLDING)
_USERS = select(models.c.air).where(models.c.file_id == bindparam("id")).order_by(models.c.air)
_UNUSED = (
    _ROWS.select()
    .where(model_files.c.loose_at.is_not(None), model_files.c.id > bindparam("after"), ~_IN_USE)
    .order_by(model_files.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_LOCK = select(true()).where(model_files.c.id == bindparam("id")).with_for_update()
_REMOVE = delete(model_files).where(model_files.c.id == bindparam("its_id"), ~_IN_USE)


class SqlModelFiles:
    """Implements `ModelFileRepository`."""

    def __init__(self, connection: Connection, book: QuotaBook, *, writes: bool) -> None:
        self._connection = connection
        self._book = book
        self._holding = _HOLDING_TO_KEEP if writes else _HOLDING

    def add(self, file: ModelFile) -> None:
        """Keep a file, and count it. No model has it yet."""
        self._connection.execute(_ADD, {**_ROWS.values(file), "loose_at": file.created_at})
        self._book.keeps(file)

    def get(self, account_id: AccountId, file_id: ModelFileId) -> ModelFile:
        """Raises `ModelNotFound`."""
        file = _ROWS.one(self._connection, _GET, {"id": file_id, "account_id": account_id})
        if file is None:
            raise ModelNotFound(file_id)
        return file

    def of(self, file_ids: Iterable[ModelFileId]) -> Sequence[ModelFile]:
        """Those that are there."""
        asked = sorted(set(file_ids))
        return _ROWS.all(self._connection, _OF, {"ids": asked}) if asked else ()

    def holding(self, account_id: AccountId, sha256: str) -> ModelFile | None:
        """One that is removed at the same moment is waited for, and then not found."""
        return _ROWS.one(self._connection, self._holding, {"account_id": account_id, "sha256": sha256})

    def users(self, file_id: ModelFileId) -> Sequence[str]:
        """The AIRs that need it."""
        return self._connection.execute(_USERS, {"id": file_id}).scalars().all()

    def unused(self, *, after: ModelFileId | None = None, limit: int) -> Sequence[ModelFile]:
        """Files that nobody needs, by id."""
        return _ROWS.all(self._connection, _UNUSED, {"after": after or "", "limit": limit})

    def remove(self, file: ModelFile) -> bool:
        """Lock, then look: the second statement sees whoever came to need it before the lock."""
        self._connection.execute(_LOCK, {"id": file.id})
        if self._connection.execute(_REMOVE, {"its_id": file.id}).rowcount == 0:
            return False
        self._book.drops(file)
        return True
