"""One house for each module, and keys of new accounts for each test; what a test queues is over after it."""

from __future__ import annotations

import shutil
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.dialects.runware.client import Runware
from tests.support.house import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.house import House

_NUMBERS = count()


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("home")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", ()) as opened:
        yield opened


@pytest.fixture
def house(_home: House) -> Iterator[House]:
    yield _home
    _home.work()


@pytest.fixture
def acme(house: House) -> Runware:
    return Runware(base=f"{house.url}/runware/v1", key=house.create_key(f"acme-{next(_NUMBERS)}"))


@pytest.fixture
def rival(house: House) -> Runware:
    return Runware(base=f"{house.url}/runware/v1", key=house.create_key(f"rival-{next(_NUMBERS)}"))
