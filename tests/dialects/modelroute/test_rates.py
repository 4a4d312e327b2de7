"""Rates as ModelRoute tells them: in every answer, and in a 429 that says when to come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.domain.rates import RateLimits
from tests.dialects.modelroute.client import DECLARED, ModelRoute
from tests.support.house import open_house

if TYPE_CHECKING:
    from pathlib import Path

TOLD = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.mark.statement("MO-27")
def test_every_answer_tells_the_rate_and_one_above_it_when_to_come_back(tmp_path: Path, sqlite_url: str) -> None:
    rates = RateLimits(per_key=4, per_address=100)
    with open_house(tmp_path / "house", sqlite_url, (), rates=rates) as house:
        api = ModelRoute(base=f"{house.url}/modelroute", key=house.create_key())
        stranger = ModelRoute(base=api.base, key="sk_none")

        answers = [
            api.call("POST", "/v1/files/upload", DECLARED),
            api.call("POST", "/v1/files/upload", b"{"),
            api.call("GET", "/v1/executions/exec_0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11"),
            api.call("GET", "/v1/files/file_none/url"),
            api.call("POST", "/v1/files/upload", DECLARED),
        ]
        unknown = stranger.call("GET", "/v1/nowhere")

    assert [answer.status for answer in answers] == [200, 400, 404, 404, 429]
    assert [tuple(int(answer.headers[name]) for name in TOLD[:2]) for answer in answers] == [
        *((4, left) for left in (3, 2, 1, 0)),
        (4, 0),
    ]
    assert all(int(answer.headers[TOLD[2]]) > house.clock.now().timestamp() for answer in answers)
    assert int(answers[-1].headers["Retry-After"]) == 15
    said = answers[-1].json()["error"]
    assert (said["code"], said["retryable"]) == ("RATE_LIMITED", True)
    assert said["request_id"]
    assert all(name in unknown.headers for name in TOLD)
