"""Every dialect counts: requests of a key and of an address, uploads, and keys that are none (S27)."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.dialects.base.rates import X_RATE_LIMIT
from penstock.dialects.registry import DIALECTS
from penstock.domain.rates import RateLimits
from penstock.services import accounts
from tests.conformance.dialect_lifecycle import RefusedError
from tests.conformance.test_dialect_lifecycle import SPEAKERS, speak
from tests.support.exchange import exchange
from tests.support.house import open_house

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.dialects.base import Dialect
    from tests.conformance.dialect_lifecycle import Driver, Speaker
    from tests.support.exchange import Answer
    from tests.support.house import House

PER_KEY, PER_ADDRESS, UPLOADS, FAILURES = 5, 40, 2, 3
MINUTE = timedelta(minutes=1)
TOO_MANY = 429


@pytest.fixture(scope="module")
def strict_house(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("rates")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    rates = RateLimits(per_key=PER_KEY, per_address=PER_ADDRESS, uploads=UPLOADS, failures=FAILURES)
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", (), rates=rates) as opened:
        yield opened


@pytest.fixture
def house(strict_house: House) -> House:
    """A house at which nobody has asked for a minute."""
    strict_house.clock.advance(MINUTE)
    return strict_house


@pytest.fixture(params=SPEAKERS, ids=lambda speaker: speaker.dialect.name)
def speaker(request: pytest.FixtureRequest) -> Speaker:
    found: Speaker = request.param
    return found


def statuses(act: Callable[[], object], times: int) -> list[int]:
    """How an act that is repeated is answered; 0 for no error."""
    found = []
    for _ in range(times):
        try:
            act()
        except RefusedError as refused:
            found.append(refused.status)
        else:
            found.append(0)
    return found


def refusal(act: Callable[[], object]) -> Answer:
    with pytest.raises(RefusedError) as refused:
        act()
    return refused.value.answer


def asking(driver: Driver) -> Callable[[], object]:
    """A request that is answered by an error without any effect: a run of a model that is not there."""
    return lambda: driver.submit("acme/none", {})


def test_a_key_is_told_to_wait_after_its_requests_of_a_minute(house: House, speaker: Speaker) -> None:
    key, other = house.create_key(speaker.dialect.name), house.create_key(f"{speaker.dialect.name}-2")
    ask = asking(speak(speaker, house, key))

    before = statuses(ask, PER_KEY)
    refused = refusal(ask)
    neighbour = statuses(asking(speak(speaker, house, other)), 1)
    wait = int(refused.headers["Retry-After"])
    house.clock.advance(timedelta(seconds=wait))

    assert TOO_MANY not in [*before, *neighbour]
    assert refused.status == TOO_MANY
    assert wait == 60 // PER_KEY
    assert refused.headers["content-type"].endswith("json")
    assert refused.headers[speaker.dialect.request_id_header]
    assert TOO_MANY not in statuses(ask, 1)


def test_a_key_that_begins_many_uploads_is_told_to_wait_and_may_do_other_things(house: House, speaker: Speaker) -> None:
    driver = speak(speaker, house, house.create_key(f"{speaker.dialect.name}-uploads"))

    begun = statuses(lambda: driver.begin(b"\x89PNG\r\n\x1a\n" + bytes(700)), UPLOADS + 1)

    assert begun == [0] * UPLOADS + [TOO_MANY]
    assert TOO_MANY not in statuses(asking(driver), 1)


def test_an_address_that_tries_keys_is_refused_and_its_neighbours_are_not(
    house: House, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_RECALL_SECONDS", 0.0)  # so that every key is looked up
    known = asking(speak(speaker, house, house.create_key(f"{speaker.dialect.name}-known")))
    usual = statuses(known, 1)
    new = asking(speak(speaker, house, house.create_key(f"{speaker.dialect.name}-new")))
    wrong = asking(speak(speaker, house, "sk_wrong"))

    tried = statuses(wrong, FAILURES + 1)

    assert tried == [401] * FAILURES + [TOO_MANY]
    assert statuses(known, 1) == usual
    assert statuses(new, 1) == [TOO_MANY]
    house.clock.advance(MINUTE)
    assert statuses(new, 1) == usual
    assert statuses(wrong, 1) == [401]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_an_address_is_told_to_wait_whatever_it_asks_for(house: House, dialect: Dialect) -> None:
    url = f"{house.url}{dialect.mount}/no/such/place"

    before = [exchange("DELETE", url).status for _ in range(PER_ADDRESS)]
    refused = exchange("DELETE", url)

    assert TOO_MANY not in before
    assert refused.status == TOO_MANY
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()


def test_the_headers_tell_what_is_left_and_when_all_is_back(house: House) -> None:
    key = house.create_key("told")
    names = (X_RATE_LIMIT.limit, X_RATE_LIMIT.remaining)

    answers = [
        exchange("GET", f"{house.url}/v1/account", headers={"Authorization": f"Bearer {key}"})
        for _ in range(PER_KEY + 1)
    ]

    assert [[int(answer.headers[name]) for name in names] for answer in answers] == [
        *([PER_KEY, PER_KEY - number] for number in range(1, PER_KEY + 1)),
        [PER_KEY, 0],
    ]
    now = house.clock.now().timestamp()
    assert now < int(answers[0].headers[X_RATE_LIMIT.reset]) <= int(answers[-1].headers[X_RATE_LIMIT.reset]) <= now + 61
