"""Two keys of two accounts on a house with one video model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.runway.client import Runway
from tests.support.house import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.house import House

_IMAGE = {"name": "promptImage", "type": "file", "required": True, "accepts": ["image"]}
CATALOG: list[dict[str, Any]] = [
    {"slug": "gen4.5", "price": "0.60", "input": [_IMAGE], "extra_inputs": "ignore"},
]


@pytest.fixture
def house(tmp_path: Path, sqlite_url: str) -> Iterator[House]:
    with open_house(tmp_path / "house", sqlite_url, CATALOG) as opened:
        yield opened


@pytest.fixture
def acme(house: House) -> Runway:
    return Runway(base=f"{house.url}/runway", key=house.create_key("acme"))


@pytest.fixture
def rival(house: House) -> Runway:
    return Runway(base=f"{house.url}/runway", key=house.create_key("rival"))
