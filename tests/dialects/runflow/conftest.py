"""One house for each module, and keys of new accounts for each test; what a test queues is over after it."""

from __future__ import annotations

import shutil
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.runflow.client import Runflow
from tests.support.house import open_house
from tests.support.server import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.house import House
    from tests.support.server import Server

IMAGE = {"name": "image", "type": "file", "synonyms": ["image_url", "asset_id"], "accepts": ["image"]}
CATALOG: list[dict[str, Any]] = [
    {
        "slug": "acme/model",
        "aliases": ["acme/model/2.0/fast/still"],
        "price": "0.01",
        "input": [IMAGE, {"name": "prompt", "type": "string"}],
        "extra_inputs": "ignore",
    },
]
_NUMBERS = count()


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("home")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", CATALOG) as opened:
        yield opened


@pytest.fixture
def house(_home: House) -> Iterator[House]:
    """The module's house. Its clock has moved; a model does nothing until the test says what."""
    _home.models["acme/model"] = _nothing
    yield _home
    _home.models["acme/model"] = _nothing
    _home.work()


@pytest.fixture
def acme(house: House) -> Runflow:
    return Runflow(base=f"{house.url}/runflow", key=house.create_key(f"acme-{next(_NUMBERS)}"))


@pytest.fixture
def rival(house: House) -> Runflow:
    return Runflow(base=f"{house.url}/runflow", key=house.create_key(f"rival-{next(_NUMBERS)}"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("served") / "data", "--dev") as running:
        yield running


@pytest.fixture(scope="session")
def key(server: Server) -> str:
    """A key of an account on the real server."""
    return server.create_key()


def _nothing(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    return {}
