"""Rates hold for both transports: each task counts for its key, each frame for its address (S27)."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from penstock.domain.rates import RateLimits
from tests.dialects.runware.client import PONG, Runware, task
from tests.support.house import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.house import House

PER_KEY, PER_ADDRESS, UPLOADS, FAILURES = 6, 30, 2, 3
PING = {"taskType": "ping", "ping": True}
TOO_MANY = "rateLimitExceeded"


@pytest.fixture(scope="module")
def strict_house(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("rates")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    rates = RateLimits(per_key=PER_KEY, per_address=PER_ADDRESS, uploads=UPLOADS, failures=FAILURES)
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", (), rates=rates) as opened:
        yield opened


@pytest.fixture
def api(strict_house: House, request: pytest.FixtureRequest) -> Runware:
    strict_house.clock.advance(timedelta(minutes=1))
    return Runware(base=f"{strict_house.url}/runware/v1", key=strict_house.create_key(f"acme-{len(request.node.name)}"))


def code(said: Any) -> str:  # noqa: ANN401 - JSON
    return str(said["errors"][0]["code"]) if "errors" in said else "none"


def test_each_task_counts_for_its_key_and_a_ping_does_not(api: Runware) -> None:
    with api.socket() as wire:
        asked = [task("noSuchTask") for _ in range(PER_KEY + 1)]
        told = [wire.ask(one) for one in asked]
        pong = wire.ask(PING)

    assert [code(said) for said in told] == ["unsupportedTaskType"] * PER_KEY + [TOO_MANY]
    assert told[-1]["errors"][0]["taskUUID"] == asked[-1]["taskUUID"]
    assert pong == PONG
    refused = api.post(task("noSuchTask"))
    assert (refused.status, code(refused.json()), refused.headers["Retry-After"]) == (429, TOO_MANY, "10")


def test_uploads_have_a_rate_of_their_own(api: Runware) -> None:
    told = [code(api.post(task("modelUpload")).json()) for _ in range(UPLOADS + 1)]

    assert told == ["missingCategory"] * UPLOADS + [TOO_MANY]
    assert code(api.post(task("noSuchTask")).json()) == "unsupportedTaskType"


def test_an_address_that_tries_keys_is_refused_on_a_connection_too(api: Runware) -> None:
    with api.stranger() as wire:
        told = [wire.ask({"taskType": "authentication", "apiKey": f"sk_{n}"}) for n in range(FAILURES + 1)]

    assert [code(said) for said in told] == ["invalidApiKey"] * FAILURES + [TOO_MANY]
    assert {said["errors"][0]["taskType"] for said in told} == {"authentication"}


def test_an_address_has_so_many_frames_and_handshakes(api: Runware) -> None:
    with api.socket() as wire:
        told = [wire.ask(PING) for _ in range(PER_ADDRESS)]
        with pytest.raises(InvalidStatus) as refused, api.stranger():
            pass

    assert told[0] == PONG
    assert code(told[-1]) == TOO_MANY
    assert told[-1]["errors"][0]["taskType"] == "ping"
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["Retry-After"]) >= 1
