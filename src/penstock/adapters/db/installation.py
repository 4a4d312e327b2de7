"""The installation's mark as a row, and the keys to which no row leads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, or_, select, update

from penstock.adapters.db.rows import insert_missing
from penstock.adapters.db.tables import assets, installation, model_files, model_uploads, uploads
from penstock.domain.installation import Mark
from penstock.domain.uploads import UploadState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import BindParameter, Connection

_NAME = "penstock"
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_OPEN = (UploadState.PENDING, UploadState.STORED)

_MARK = select(installation.c.id, installation.c.generation)
_MAKE = insert_missing(installation)
_ADVANCE = update(installation).values(generation=bindparam("higher"))
_KEYS: BindParameter[object] = bindparam("keys", expanding=True)
_HAS_BYTES = or_(assets.c.purged_at.is_(None), assets.c.over_at <= assets.c.purged_at)
_OBJECTS = select(assets.c.object_key).where(assets.c.object_key.in_(_KEYS), _HAS_BYTES)
_THUMBNAILS = select(assets.c.thumbnail_key).where(assets.c.thumbnail_key.in_(_KEYS), _HAS_BYTES)
_UPLOADS = select(uploads.c.id).where(
    uploads.c.id.in_(bindparam("ids", expanding=True)), or_(~uploads.c.swept, uploads.c.state.in_(_OPEN))
)
_MODEL_KEYS = (model_files.c.original_key, model_files.c.optimized_key, model_files.c.manifest_key)
_MODEL_FILES = select(*_MODEL_KEYS).where(model_files.c.id.in_(bindparam("ids", expanding=True)))
_MODEL_UPLOADS = select(model_uploads.c.file_id).where(
    model_uploads.c.file_id.in_(bindparam("ids", expanding=True)), model_uploads.c.finished_at.is_(None)
)


class SqlInstallation:
    """Implements `InstallationRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def mark(self) -> Mark | None:
        """This database's mark."""
        row = self._connection.execute(_MARK).first()
        return None if row is None else Mark(id=row.id, generation=row.generation)

    def make_mark(self, new_id: str) -> Mark:
        """The mark that is there, or a new one; of two that make one at once, one is right for both."""
        self._connection.execute(_MAKE, {"name": _NAME, "id": new_id, "generation": 0})
        return self._there()

    def advance(self, *, above: int) -> Mark:
        """Raise the generation."""
        self._connection.execute(_ADVANCE, {"higher": max(above, self._there().generation) + 1})
        return self._there()

    def strangers(self, keys: Iterable[str]) -> frozenset[str]:
        """The keys to which no row leads."""
        asked = frozenset(keys)
        if not asked:
            return asked
        parameters = {"keys": sorted(asked)}
        known = set(self._connection.execute(_OBJECTS, parameters).scalars())
        known.update(self._connection.execute(_THUMBNAILS, parameters).scalars())
        names = {key: found[0] for key in asked - known if (found := _UUID.search(key))}
        if names:
            wanted = {"ids": sorted(set(names.values()))}
            open_uploads = set(self._connection.execute(_UPLOADS, wanted).scalars())
            open_uploads |= self.being_made(wanted["ids"])
            known.update(key for key, name in names.items() if name in open_uploads)
            for row in self._connection.execute(_MODEL_FILES, wanted):
                known.update(row)
        return asked - known

    def being_made(self, ids: Iterable[str]) -> frozenset[str]:
        """Model files on which an upload works."""
        return frozenset(self._connection.execute(_MODEL_UPLOADS, {"ids": sorted(ids)}).scalars())

    def _there(self) -> Mark:
        mark = self.mark()
        if mark is None:
            msg = "the database has no mark yet"
            raise AssertionError(msg)
        return mark
