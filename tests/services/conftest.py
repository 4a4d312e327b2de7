"""Services over SQLite, and where two transactions race also over PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.core import Core


@pytest.fixture
def core(sqlite_url: str, tmp_path: Path) -> Iterator[Core]:
    from tests.support.core import open_core  # noqa: PLC0415 - not for tests without a database

    with open_core(sqlite_url, tmp_path / "scratch") as opened:
        yield opened


@pytest.fixture
def core_on_each_database(database_url: str, tmp_path: Path) -> Iterator[Core]:
    from tests.support.core import open_core  # noqa: PLC0415 - not for tests without a database

    with open_core(database_url, tmp_path / "scratch") as opened:
        yield opened
