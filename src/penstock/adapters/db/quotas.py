"""Quotas as rows, and the book in which a transaction notes what it changes of accounts' usage.

The book is settled when the transaction ends: one UPDATE per account, in the order of their ids, as the last lock that
is taken. So the hot row of an account is held shortest, no two transactions wait for each other in a circle, and the
check sees everything that was committed before: the account's row is locked when it is made.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Integer, bindparam, case, func, insert, select, true, update

from penstock.adapters.db.tables import account_quotas, assets, model_files, model_uploads, uploads
from penstock.domain.errors import AccountNotFound
from penstock.domain.ids import AccountId
from penstock.domain.models import stored_bytes
from penstock.domain.quotas import Change, Limits, Quota, Usage, require_room
from penstock.domain.uploads import UploadState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Row

    from penstock.domain.assets import Asset
    from penstock.domain.ids import AssetId
    from penstock.domain.models import ModelFile
    from penstock.domain.uploads import Upload

_MANY = 500
"""Ids in one statement; both databases take more."""

_OF = account_quotas.c.account_id == bindparam("its_account")
_COUNTED = ("bytes", "files", "reserved", "open_uploads")
_COLUMNS = [account_quotas.c[name] for name in (*_COUNTED, "max_bytes", "max_files", "max_open_uploads")]
_OPEN = insert(account_quotas)
_GET = select(*_COLUMNS).where(_OF)
_LOCK = select(true()).select_from(account_quotas).where(_OF).with_for_update()
_CHANGE = (
    update(account_quotas)
    .where(_OF)
    .values({name: account_quotas.c[name] + bindparam(f"more_{name}", type_=BigInteger) for name in _COUNTED})
    .returning(*_COLUMNS)
)
_SET = update(account_quotas).where(_OF)
_SHARED = (
    select(true())
    .select_from(assets)
    .where(assets.c.object_key == bindparam("object_key"), assets.c.purged_at.is_(None))
    .limit(1)
)
_LIVE = select(assets.c.account_id, assets.c.object_key, assets.c.size).where(
    assets.c.id.in_(bindparam("ids", expanding=True)), assets.c.purged_at.is_(None)
)
_HELD = (
    select(assets.c.object_key, func.max(assets.c.size).label("size"), func.count().label("files"))
    .where(assets.c.account_id == bindparam("its_account"), assets.c.purged_at.is_(None))
    .group_by(assets.c.object_key)
    .subquery()
)
_COUNT_HELD = select(func.coalesce(func.sum(_HELD.c.size), 0), func.coalesce(func.sum(_HELD.c.files), 0))
_COUNT_OPEN = select(func.coalesce(func.sum(uploads.c.reserved), 0), func.count()).where(
    uploads.c.account_id == bindparam("its_account"), uploads.c.state == UploadState.PENDING
)
_COUNT_WEIGHTS = select(
    func.coalesce(
        func.sum(
            model_files.c.size
            + case((model_files.c.optimized_key == model_files.c.original_key, 0), else_=model_files.c.optimized_size)
        ),
        0,
    )
).where(model_files.c.account_id == bindparam("its_account"))
_OPEN_MODEL_UPLOADS = select(func.count()).select_from(
    select(true())
    .select_from(model_uploads)
    .where(model_uploads.c.account_id == bindparam("its_account"), model_uploads.c.finished_at.is_(None))
    .limit(bindparam("most", type_=Integer))
    .subquery()
)


class QuotaBook:
    """What one transaction changes of accounts' usage. `defaults` are the operator's limits."""

    __slots__ = ("_changes", "_connection", "_defaults", "_gone")

    def __init__(self, connection: Connection, defaults: Limits) -> None:
        self._connection = connection
        self._defaults = defaults
        self._changes: dict[AccountId, Change] = {}
        self._gone: dict[AccountId, list[tuple[str, int]]] = defaultdict(list)

    def opened(self, upload: Upload) -> None:
        """A new upload takes its place, unless its asset is there already."""
        if upload.state is UploadState.PENDING:
            self._note(upload.account_id, Change(reserved=upload.reserved, open_uploads=1, bound=True))

    def resized(self, upload: Upload, *, size: int) -> None:
        """An open upload turns out to need more, or less, than was set aside for it."""
        self._note(upload.account_id, Change(reserved=size - upload.reserved, bound=True))

    def ended(self, upload: Upload, *, reserved: int) -> None:
        """An open upload gives back what was set aside for it."""
        self._note(upload.account_id, Change(reserved=-reserved, open_uploads=-1))

    def added(self, asset: Asset) -> None:
        """A new asset (whose row is not there yet): bytes that another one has already count once.

        What a run has made is counted and never refused: it is paid for.
        """
        if asset.purged_at is not None:
            return
        shared = self._connection.execute(_SHARED, {"object_key": asset.object_key}).first() is not None
        change = Change(bytes=0 if shared else asset.size, files=1, bound=asset.run_id is None)
        self._note(asset.account_id, change)

    def leaving(self, asset_ids: Iterable[AssetId]) -> None:
        """Those of these assets that still count are about to lose their bytes or their rows."""
        ids = list(asset_ids)
        for start in range(0, len(ids), _MANY):
            for account_id, key, size in self._connection.execute(_LIVE, {"ids": ids[start : start + _MANY]}):
                self._gone[AccountId(account_id)].append((key, size))

    def gone(self, purged: Iterable[Asset]) -> None:
        """These assets counted until this transaction marked them as purged."""
        for asset in purged:
            self._gone[asset.account_id].append((asset.object_key, asset.size))

    def keeps(self, file: ModelFile) -> None:
        """A new model file: its bytes, those of both objects where there are two."""
        self._note(file.account_id, Change(bytes=stored_bytes(file), bound=True))

    def drops(self, file: ModelFile) -> None:
        """A model file whose row goes."""
        self._note(file.account_id, Change(bytes=-stored_bytes(file)))

    def settle(self) -> None:
        """Write the changes. Raises `QuotaExceeded`, and then the transaction must come to nothing."""
        for account_id in sorted({*self._changes, *self._gone}):
            change = self._changes.get(account_id, Change())
            if gone := self._gone.get(account_id):
                change += self._given_back(account_id, gone)
            if not change.is_nothing():
                self._apply(account_id, change)

    def _note(self, account_id: AccountId, change: Change) -> None:
        known = self._changes.get(account_id)
        self._changes[account_id] = change if known is None else known + change

    def _given_back(self, account_id: AccountId, gone: list[tuple[str, int]]) -> Change:
        """Bytes are given back with the last asset that names them. Under the lock, for two may be leaving at once."""
        self._connection.execute(_LOCK, {"its_account": account_id})
        freed = sum(
            size
            for key, size in dict(gone).items()
            if self._connection.execute(_SHARED, {"object_key": key}).first() is None
        )
        return Change(bytes=-freed, files=-len(gone))

    def _apply(self, account_id: AccountId, change: Change) -> None:
        row = self._connection.execute(
            _CHANGE,
            {
                "its_account": account_id,
                "more_bytes": change.bytes,
                "more_files": change.files,
                "more_reserved": change.reserved,
                "more_open_uploads": change.open_uploads,
            },
        ).first()
        if row is None:
            raise AccountNotFound(account_id)
        quota = _quota(row, self._defaults)
        require_room(change, after=quota.usage, limits=quota.limits)


class SqlQuotas:
    """Implements `QuotaRepository`."""

    def __init__(self, connection: Connection, defaults: Limits) -> None:
        self._connection = connection
        self._defaults = defaults

    def get(self, account_id: AccountId) -> Quota:
        """Raises `AccountNotFound`."""
        row = self._connection.execute(_GET, {"its_account": account_id}).first()
        if row is None:
            raise AccountNotFound(account_id)
        return _quota(row, self._defaults)

    def set_limits(self, account_id: AccountId, own: Limits) -> None:
        """Replace the account's own limits."""
        self._connection.execute(
            _SET.values(max_bytes=own.bytes, max_files=own.files, max_open_uploads=own.open_uploads),
            {"its_account": account_id},
        )

    def open_model_uploads(self, account_id: AccountId, *, most: int) -> int:
        """Counted under the lock of the account's row, as the book is settled."""
        self._connection.execute(_LOCK, {"its_account": account_id})
        parameters = {"its_account": account_id, "most": most}
        return int(self._connection.execute(_OPEN_MODEL_UPLOADS, parameters).scalar_one())

    def recount(self, account_id: AccountId) -> tuple[Usage, Usage]:
        """Nobody's change is lost: all of them wait for the account's row, which is locked before anything is read."""
        self._connection.execute(_LOCK, {"its_account": account_id})
        before = self.get(account_id).usage
        size, files = self._connection.execute(_COUNT_HELD, {"its_account": account_id}).one()
        weights = self._connection.execute(_COUNT_WEIGHTS, {"its_account": account_id}).scalar_one()
        reserved, open_uploads = self._connection.execute(_COUNT_OPEN, {"its_account": account_id}).one()
        usage = Usage(
            bytes=int(size) + int(weights), files=int(files), reserved=int(reserved), open_uploads=int(open_uploads)
        )
        self._connection.execute(
            _SET.values({name: getattr(usage, name) for name in _COUNTED}), {"its_account": account_id}
        )
        return before, usage


def open_quota(connection: Connection, account_id: AccountId) -> None:
    """The row of a new account."""
    connection.execute(_OPEN, {"account_id": account_id, **dict.fromkeys(_COUNTED, 0)})


def _quota(row: Row[Any], defaults: Limits) -> Quota:
    own = Limits(bytes=row.max_bytes, files=row.max_files, open_uploads=row.max_open_uploads)
    usage = Usage(bytes=row.bytes, files=row.files, reserved=row.reserved, open_uploads=row.open_uploads)
    return Quota(usage=usage, own=own, limits=own.over(defaults))
