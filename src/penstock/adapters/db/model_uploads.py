"""Model uploads as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, delete, func, select, update

from penstock.adapters.db.columns import Instant
from penstock.adapters.db.paging import Listing
from penstock.adapters.db.rows import Rows, insert_missing, to_change
from penstock.adapters.db.tables import model_uploads
from penstock.domain.errors import ModelUploadNotFound
from penstock.domain.model_uploads import ModelUpload, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from penstock.domain.ids import AccountId, ModelUploadId
    from penstock.ports.positions import Position

_ROWS = Rows(ModelUpload, model_uploads)
_FIXED = ("id", "account_id", "dialect", "client_ref", "air", "given", "fingerprint", "created_at")
"""What never changes, so that replacing a row leaves the indexes on it alone."""
_OF_ACCOUNT = model_uploads.c.account_id == bindparam("account_id")

_ADD = insert_missing(model_uploads)
_GET = _ROWS.select().where(model_uploads.c.id == bindparam("id"), _OF_ACCOUNT)
_GET_TO_CHANGE = to_change(_GET)
_BY_REF = (
    _ROWS.select()
    .where(
        _OF_ACCOUNT,
        model_uploads.c.dialect == bindparam("dialect"),
        model_uploads.c.client_ref == bindparam("client_ref"),
    )
    .order_by(model_uploads.c.created_at.desc(), model_uploads.c.id.desc())
    .limit(1)
)
_REPLACE = update(model_uploads).where(
    model_uploads.c.id == bindparam("its_id"),
    model_uploads.c.account_id == bindparam("its_account"),
    model_uploads.c.phase == bindparam("was", type_=model_uploads.c.phase.type),
)
_PROGRESS = update(model_uploads).where(
    model_uploads.c.id == bindparam("its_id"), model_uploads.c.finished_at.is_(None)
)
_LISTING = Listing(_ROWS.select(), model_uploads)
_GOING_ON = (
    _ROWS.select()
    .where(_OF_ACCOUNT, model_uploads.c.air == bindparam("air"), model_uploads.c.finished_at.is_(None))
    .order_by(model_uploads.c.created_at, model_uploads.c.id)
    .limit(bindparam("limit", type_=Integer))
)
# From `stored` on the quota counts the file; one that is shared it counts already.
_COMING = select(func.coalesce(func.sum(model_uploads.c.size), 0)).where(
    _OF_ACCOUNT,
    model_uploads.c.finished_at.is_(None),
    model_uploads.c.phase != Phase.STORED,
    model_uploads.c.file_id == model_uploads.c.id,
    model_uploads.c.id != bindparam("beside"),
)
_OLD = (
    select(model_uploads.c.id)
    .where(model_uploads.c.finished_at < bindparam("before", type_=Instant))
    .order_by(model_uploads.c.finished_at)
    .limit(bindparam("limit", type_=Integer))
)
_PURGE = delete(model_uploads).where(model_uploads.c.id.in_(_OLD))


class SqlModelUploads:
    """Implements `ModelUploadRepository`."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._get = _GET_TO_CHANGE if writes else _GET

    def add(self, upload: ModelUpload) -> bool:
        """Keep a new one, unless its caller's name for it is taken by one that has not failed."""
        return self._connection.execute(_ADD, _ROWS.values(upload)).first() is not None

    def get(self, account_id: AccountId, upload_id: ModelUploadId) -> ModelUpload:
        """Raises `ModelUploadNotFound`."""
        upload = _ROWS.one(self._connection, self._get, {"id": upload_id, "account_id": account_id})
        if upload is None:
            raise ModelUploadNotFound(upload_id)
        return upload

    def by_ref(self, account_id: AccountId, *, dialect: str, client_ref: str) -> ModelUpload | None:
        """The newest of that name: at most one of them has not failed, and it is the newest."""
        parameters = {"account_id": account_id, "dialect": dialect, "client_ref": client_ref}
        return _ROWS.one(self._connection, _BY_REF, parameters)

    def replace(self, upload: ModelUpload, *, was: Phase) -> bool:
        """Compare and set on the phase."""
        values = _ROWS.values(upload)
        for name in _FIXED:
            del values[name]
        values.update(its_id=upload.id, its_account=upload.account_id, was=was)
        return self._connection.execute(_REPLACE, values).rowcount == 1

    def note_progress(self, upload_id: ModelUploadId, *, received: int, size: int | None) -> None:
        """Write how far its download is, while it goes on."""
        self._connection.execute(_PROGRESS.values(received=received, size=size), {"its_id": upload_id})

    def page(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[ModelUpload]:
        """Newest first."""
        return _ROWS.all(self._connection, *_LISTING.page(account_id, below=below, limit=limit))

    def going_on(self, account_id: AccountId, air: str, *, limit: int) -> Sequence[ModelUpload]:
        """Those that have not ended, oldest first."""
        return _ROWS.all(self._connection, _GOING_ON, {"account_id": account_id, "air": air, "limit": limit})

    def coming(self, account_id: AccountId, *, beside: ModelUploadId) -> int:
        """A sum over rows: PostgreSQL gives it as a numeric."""
        parameters = {"account_id": account_id, "beside": beside}
        return int(self._connection.execute(_COMING, parameters).scalar_one())

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget old ones, the longest over first."""
        return self._connection.execute(_PURGE, {"before": before, "limit": limit}).rowcount
