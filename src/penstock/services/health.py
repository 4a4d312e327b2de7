"""Whether this process can do its work now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.ports.objects import ObjectNotFoundError

if TYPE_CHECKING:
    from penstock.ports.database import Database
    from penstock.ports.objects import ObjectStore


class Health:
    """Readiness: the database and the object store answer."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects

    def check(self) -> None:
        """Raises `DatabaseUnavailable` or `ObjectStoreUnavailable`."""
        self._database.ping()
        try:
            self._objects.head("health/probe")
        except ObjectNotFoundError:
            return
