"""Two keys of two accounts on a house of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dialects.modelroute.client import ModelRoute

if TYPE_CHECKING:
    from tests.support.house import House


@pytest.fixture
def acme(house: House) -> ModelRoute:
    return ModelRoute(base=f"{house.url}/modelroute", key=house.create_key("acme"))


@pytest.fixture
def rival(house: House) -> ModelRoute:
    return ModelRoute(base=f"{house.url}/modelroute", key=house.create_key("rival"))
