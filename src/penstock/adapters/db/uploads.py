"""Uploads as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, insert, or_, select, true, tuple_, update

from penstock.adapters.db.paging import Listing
from penstock.adapters.db.rows import Rows, to_change
from penstock.adapters.db.tables import uploads
from penstock.domain.errors import UploadNotFound
from penstock.domain.uploads import Upload, UploadState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

    from penstock.adapters.db.quotas import QuotaBook
    from penstock.domain.ids import AccountId, MediaKey, UploadId
    from penstock.ports.positions import Position

_ROWS = Rows(Upload, uploads)
_FIXED = ("id", "account_id", "media_key", "created_at", "reserved")
"""What never changes, so that replacing a row leaves the indexes on it alone, and gives back what was set aside."""

_ADD = insert(uploads)
_GET = _ROWS.select().where(uploads.c.id == bindparam("id"), uploads.c.account_id == bindparam("account_id"))
_GET_TO_CHANGE = to_change(_GET)
_BY_MEDIA_KEY = _ROWS.select().where(uploads.c.media_key == bindparam("media_key"))
_REPLACE = (
    update(uploads)
    .where(
        uploads.c.id == bindparam("its_id"),
        uploads.c.account_id == bindparam("its_account"),
        uploads.c.state == bindparam("was"),
    )
    .returning(uploads.c.reserved)
)
_RESERVE = update(uploads).where(uploads.c.id == bindparam("its_id")).values(reserved=bindparam("size"))
_LISTING = Listing(_ROWS.select(), uploads)
_OVER = (
    _ROWS.select()
    .where(~uploads.c.swept, uploads.c.expires_at <= bindparam("now"))
    .order_by(uploads.c.expires_at, uploads.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_ABOVE = tuple_(uploads.c.expires_at, uploads.c.id) > tuple_(
    bindparam("above_at", type_=uploads.c.expires_at.type), bindparam("above_id", type_=uploads.c.id.type)
)
_OVERDUE = _OVER.where(
    uploads.c.state == UploadState.PENDING,
    or_(uploads.c.confirm_by.is_(None), uploads.c.confirm_by <= bindparam("now")),
)
_OVERDUE_ABOVE = _OVERDUE.where(_ABOVE)
_UNSWEPT = _OVER.where(uploads.c.state != UploadState.PENDING)
_UNSWEPT_ABOVE = _UNSWEPT.where(_ABOVE)
_BEGUN = select(uploads.c.store_upload_id).where(
    uploads.c.id.in_(bindparam("ids", expanding=True)),
    uploads.c.state == UploadState.PENDING,
    uploads.c.store_upload_id.is_not(None),
)
_MARK_SWEPT = update(uploads).where(uploads.c.id == bindparam("its_id")).values(swept=true())


class SqlUploads:
    """Implements `UploadRepository`."""

    def __init__(self, connection: Connection, book: QuotaBook, *, writes: bool) -> None:
        self._connection = connection
        self._book = book
        self._get = _GET_TO_CHANGE if writes else _GET

    def add(self, upload: Upload) -> None:
        """Keep a new upload, and what it needs of the account's quota."""
        self._connection.execute(_ADD, _ROWS.values(upload))
        self._book.opened(upload)

    def get(self, account_id: AccountId, upload_id: UploadId) -> Upload:
        """Raises `UploadNotFound`."""
        upload = _ROWS.one(self._connection, self._get, {"id": upload_id, "account_id": account_id})
        if upload is None:
            raise UploadNotFound(upload_id)
        return upload

    def reserve(self, upload: Upload, size: int) -> None:
        """What is set aside is the row's, whatever the upload at hand says."""
        current = self.get(upload.account_id, upload.id)
        if current.state is UploadState.PENDING and current.reserved != size:
            self._connection.execute(_RESERVE, {"its_id": upload.id, "size": size})
            self._book.resized(current, size=size)

    def by_media_key(self, media_key: MediaKey) -> Upload:
        """Raises `UploadNotFound`."""
        upload = _ROWS.one(self._connection, _BY_MEDIA_KEY, {"media_key": media_key})
        if upload is None:
            raise UploadNotFound(media_key)
        return upload

    def replace(self, upload: Upload, *, was: UploadState) -> bool:
        """Compare and set on the state. An upload that is no longer pending gives back what was set aside for it."""
        values = _ROWS.values(upload)
        for name in _FIXED:
            del values[name]
        values.update(its_id=upload.id, its_account=upload.account_id, was=was)
        row = self._connection.execute(_REPLACE, values).first()
        if row is None:
            return False
        if was is UploadState.PENDING and upload.state is not UploadState.PENDING:
            self._book.ended(upload, reserved=row[0])
        return True

    def page(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[Upload]:
        """Newest first."""
        return _ROWS.all(self._connection, *_LISTING.page(account_id, below=below, limit=limit))

    def overdue(self, *, now: datetime, after: Position | None = None, limit: int) -> Sequence[Upload]:
        """Pending uploads whose URL has expired, and that nobody may confirm any more, oldest first."""
        return self._over(_OVERDUE, _OVERDUE_ABOVE, now=now, after=after, limit=limit)

    def unswept(self, *, now: datetime, after: Position | None = None, limit: int) -> Sequence[Upload]:
        """Uploads that are over, whose URL has expired and whose staging object was not yet removed."""
        return self._over(_UNSWEPT, _UNSWEPT_ABOVE, now=now, after=after, limit=limit)

    def begun(self, upload_ids: Iterable[UploadId]) -> frozenset[str]:
        """The store's ids of those that are pending."""
        return frozenset(self._connection.execute(_BEGUN, {"ids": sorted(upload_ids)}).scalars())

    def mark_swept(self, upload_ids: Iterable[UploadId]) -> None:
        """Record that the staging objects are gone."""
        if rows := [{"its_id": upload_id} for upload_id in upload_ids]:
            self._connection.execute(_MARK_SWEPT, rows)

    def _over(
        self, first: Select[Any], above: Select[Any], *, now: datetime, after: Position | None, limit: int
    ) -> Sequence[Upload]:
        parameters: dict[str, object] = {"now": now, "limit": limit}
        if after is None:
            return _ROWS.all(self._connection, first, parameters)
        return _ROWS.all(self._connection, above, {**parameters, "above_at": after[0], "above_id": after[1]})
