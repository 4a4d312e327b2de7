"""One house for each module, and keys of new accounts for each test; what a test queues is over after it."""

from __future__ import annotations

import shutil
import tomllib
from importlib.resources import files
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.dialects.runware.client import Runware
from tests.dialects.runware.shelf import Shelf
from tests.support.house import open_house
from tests.support.remote import remote_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.house import House
    from tests.support.model_files import ModelFiles
    from tests.support.remote import Remote

_NUMBERS = count()


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("home")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    url = f"sqlite:///{directory / 'penstock.db'}"
    demo = tomllib.loads(files("penstock").joinpath("demo_catalog.toml").read_text("utf-8"))
    with open_house(directory / "house", url, (), storage_price="0.05", bindings=demo["binding"]) as opened:
        yield opened


@pytest.fixture
def house(_home: House) -> Iterator[House]:
    yield _home
    _home.work()


@pytest.fixture
def acme(house: House) -> Runware:
    return _open(house, f"acme-{next(_NUMBERS)}")


@pytest.fixture
def rival(house: House) -> Runware:
    return _open(house, f"rival-{next(_NUMBERS)}")


@pytest.fixture(scope="module")
def _remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@pytest.fixture
def shelf(_remote: Remote, model_files: ModelFiles) -> Shelf:
    """Model files on somebody's server."""
    return Shelf(remote=_remote, files=model_files)


@pytest.fixture
def poor(house: House) -> Runware:
    """Whose account has less than a day of one GB costs (0.0017 USD)."""
    return _open(house, f"poor-{next(_NUMBERS)}", credits_usd="0.001")


@pytest.fixture
def broke(house: House) -> Runware:
    return _open(house, f"broke-{next(_NUMBERS)}", credits_usd="0")


def _open(house: House, name: str, credits_usd: str = "100") -> Runware:
    """A new account, with a source of its own name."""
    key = house.create_key(name, credits_usd=credits_usd)
    return Runware(base=f"{house.url}/runware/v1", key=key, source=house.create_source(key, name))
