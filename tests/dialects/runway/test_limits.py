"""A model that few tasks of one account may use at a time, and in a day (RW-47)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.dialects.runway.client import Runway
    from tests.support.house import House

SCARCE = "gen3a_turbo"


def statuses(runway: Runway, *tasks: str) -> list[str]:
    return [runway.call("GET", task).must(200)["status"] for task in tasks]


@pytest.mark.statement("RW-42", "RW-47")
def test_a_task_over_the_concurrency_is_throttled_and_runs_later(acme: Runway, rival: Runway, house: House) -> None:
    usual = house.models[SCARCE]
    seen: list[object] = []

    def look(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        house.models[SCARCE] = usual
        house.work()
        seen.append(statuses(acme, first, second) + statuses(rival, other))
        seen.append(acme.call("GET", second).must(200))
        return usual(inputs, context)

    house.models[SCARCE] = look
    picture = acme.upload()
    first, second = acme.task(picture, model=SCARCE), acme.task(picture, model=SCARCE)
    other = rival.task(rival.upload(), model=SCARCE)
    assert statuses(acme, first, second) == ["PENDING", "PENDING"]

    house.work()

    assert seen[0] == ["RUNNING", "THROTTLED", "SUCCEEDED"]
    assert isinstance(seen[1], dict)
    assert set(seen[1]) == {"id", "createdAt", "status", "estimatedCost"}
    assert statuses(acme, first, second) == ["SUCCEEDED", "SUCCEEDED"]


@pytest.mark.statement("RW-47")
def test_over_the_daily_limit_a_task_is_refused_until_the_day_is_over(acme: Runway, house: House) -> None:
    picture = acme.upload()
    for _ in range(3):
        acme.task(picture, model=SCARCE)

    refused = acme.generate(picture, model=SCARCE)

    assert set(refused.must(429)) == {"error"}
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    said = acme.call("GET", "/v1/organization").must(200)
    assert said["tier"]["models"][SCARCE] == {"maxConcurrentGenerations": 1, "maxDailyGenerations": 3}
    assert said["tier"]["models"]["gen4.5"] == {"maxConcurrentGenerations": None, "maxDailyGenerations": None}
    assert said["usage"]["models"][SCARCE] == {"dailyGenerations": 3}
    house.work()
    house.clock.advance(timedelta(days=1))
    acme.task(acme.upload(), model=SCARCE)
