"""Whether this process can do its work now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.ports.database import Database
    from penstock.ports.objects import ObjectStore


class Health:
    """Readiness: the database takes a write, the object store answers for our bucket."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects

    def check(self) -> None:
        """Raises `DatabaseUnavailable`, `StorageFull` or `ObjectStoreUnavailable`."""
        self._database.ping()
        next(self._objects.list("health/"), None)
