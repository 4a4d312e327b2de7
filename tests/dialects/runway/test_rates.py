"""The rate of slots, which Runway has and does not number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.domain.rates import RateLimits
from tests.dialects.runway.client import Runway
from tests.support.house import open_house

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.statement("RW-11")
def test_a_slot_above_the_rate_is_refused_with_the_wait_that_every_client_obeys(
    tmp_path: Path, sqlite_url: str
) -> None:
    rates = RateLimits(uploads=1)
    with open_house(tmp_path / "house", sqlite_url, (), rates=rates) as house:
        api = Runway(base=f"{house.url}/runway", key=house.create_key())
        api.slot()

        refused = api.call("POST", "/v1/uploads", {"filename": "image.png", "type": "ephemeral"})
        organization = api.call("GET", "/v1/organization")

    assert refused.status == 429
    assert set(refused.json()) == {"error"}
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert organization.status == 200
