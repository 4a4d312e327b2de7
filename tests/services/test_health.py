"""Readiness: both the database and the object store answer, or the one that does not is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import DatabaseUnavailable, ObjectStoreUnavailable
from penstock.services.health import Health

if TYPE_CHECKING:
    from tests.support.core import Core


def test_all_is_well_without_a_trace(core: Core) -> None:
    Health(core.database, core.objects).check()

    assert core.keys() == []


def test_a_store_that_is_away_is_told(core: Core) -> None:
    def fail() -> None:
        raise ObjectStoreUnavailable("the store does not answer")

    core.objects.before["list"] = fail

    with pytest.raises(ObjectStoreUnavailable):
        Health(core.database, core.objects).check()


def test_a_database_that_cannot_be_written_is_told(core: Core, tmp_path: object) -> None:
    from penstock.adapters.db.database import SqlDatabase  # noqa: PLC0415 - not for tests without a database

    empty = SqlDatabase(f"sqlite:///{tmp_path}/never-migrated.db")
    try:
        with pytest.raises(DatabaseUnavailable):
            Health(empty, core.objects).check()
    finally:
        empty.close()
