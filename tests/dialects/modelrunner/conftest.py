"""Two keys of two accounts on a house of the test's own, and one real server for all that drive it from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dialects.modelrunner.client import ModelRunner
from tests.support.server import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.house import House
    from tests.support.server import Server


@pytest.fixture
def acme(house: House) -> ModelRunner:
    return ModelRunner(base=f"{house.url}/modelrunner", key=house.create_key("acme"))


@pytest.fixture
def rival(house: House) -> ModelRunner:
    return ModelRunner(base=f"{house.url}/modelrunner", key=house.create_key("rival"))


@pytest.fixture(scope="session")
def key(server: Server) -> str:
    """A key of an account on the real server."""
    return server.create_key()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("served") / "data", "--dev") as running:
        yield running
