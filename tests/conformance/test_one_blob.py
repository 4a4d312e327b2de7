"""A file that came through any dialect is an input of runs in every other, by each of its names.

One house for all; each cell of the matrix brings a file of its own.
"""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.conformance.dialect_lifecycle import File, RefusedError, bring
from tests.conformance.test_dialect_lifecycle import (
    CATALOG,
    FILE_MODEL,
    MODEL,
    PICTURE,
    SPEAKERS,
    digest,
    digest_in_a_file,
    read_of,
    speak,
)
from tests.support.house import open_house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.dialect_lifecycle import Driver, Speaker
    from tests.support.exchange import Answer
    from tests.support.house import House

NUMBERS = count()
MINUTE = 60
LONGEST_URL = timedelta(days=7)
IDS = re.compile(rb"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("matrix")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", CATALOG) as opened:
        opened.models |= {MODEL: digest, FILE_MODEL: digest_in_a_file}
        yield opened


@pytest.fixture(params=SPEAKERS, ids=lambda speaker: f"of {speaker.dialect.name}")
def owner(request: pytest.FixtureRequest) -> Speaker:
    found: Speaker = request.param
    return found


@pytest.fixture(params=SPEAKERS, ids=lambda speaker: f"in {speaker.dialect.name}")
def listener(request: pytest.FixtureRequest) -> Speaker:
    found: Speaker = request.param
    return found


@pytest.fixture
def account(house: House) -> str:
    """The name of an account that nobody else uses."""
    name = f"account-{next(NUMBERS)}"
    house.create_key(name)
    return name


def driver(speaker: Speaker, house: House, account: str) -> Driver:
    return speak(speaker, house, house.accounts.create_key(account, ())[1])


def new_picture() -> bytes:
    return PICTURE + str(next(NUMBERS)).encode().rjust(8)


def names_of(file: File) -> list[str]:
    return [name for name in (file.reference, file.url, *file.others) if name]


def may_be_said(name: str, listener: Speaker) -> bool:
    """Whether the product whose run it is takes such a name at all; some forbid URLs altogether."""
    return listener.dialect.capabilities.takes_urls or not name.startswith("http")


def refusal(driver: Driver, name: str) -> Answer:
    with pytest.raises(RefusedError) as refused:
        driver.submit(MODEL, {"image": name})
    return refused.value.answer


def test_a_file_of_one_dialect_is_read_to_the_byte_by_a_run_of_another(
    house: House, account: str, owner: Speaker, listener: Speaker
) -> None:
    content = new_picture()
    file = bring(driver(owner, house, account), content)
    other = driver(listener, house, account)
    said = [name for name in names_of(file) if may_be_said(name, listener)]

    runs = [other.submit(MODEL, {"image": name}) for name in said]
    house.work()

    assert [other.look(run) for run in runs] == [read_of(content)] * len(said)
    assert said or owner.dialect.capabilities.takes_urls


def test_a_product_that_forbids_urls_forbids_our_own_too(house: House, account: str, owner: Speaker) -> None:
    urls = [name for name in names_of(bring(driver(owner, house, account), PICTURE)) if name.startswith("http")]
    strict = [speaker for speaker in SPEAKERS if not speaker.dialect.capabilities.takes_urls]

    statuses = [refusal(driver(speaker, house, account), url).status for speaker in strict for url in urls]

    assert strict
    assert statuses == [400] * len(strict) * len(urls)


def test_what_only_its_owner_may_name_is_unknown_to_everybody_else(
    house: House, account: str, owner: Speaker, listener: Speaker
) -> None:
    file = bring(driver(owner, house, account), new_picture())
    house.create_key(f"{account}-stranger")
    stranger = driver(listener, house, f"{account}-stranger")
    private = [
        name
        for name in (file.reference, *file.others)
        if may_be_said(name, listener) and not (name == file.url and owner.dialect.capabilities.lasting_urls)
    ]

    for name in private:
        foreign, unknown = refusal(stranger, name), refusal(stranger, another(name))
        assert foreign.status == unknown.status
        assert foreign.status in {400, 404, 422}
        assert anonymous(foreign, name) == anonymous(unknown, another(name))


def another(name: str) -> str:
    """A name of the same form that names nothing."""
    body, mark = name.removesuffix("/download"), "/download" if name.endswith("/download") else ""
    return f"{body[:-6]}{'3' if body[-6] == '2' else '2'}{body[-5:]}{mark}"


def anonymous(answer: Answer, name: str) -> bytes:
    """What an answer says, without the name that was asked for and without ids."""
    return IDS.sub(b"#", answer.body.replace(name.encode(), b"?"))


def test_who_has_the_lasting_url_of_a_file_may_use_it(house: House, account: str, owner: Speaker) -> None:
    if not owner.dialect.capabilities.lasting_urls:
        pytest.skip("files of this dialect have no URL that lasts")
    content = new_picture()
    file = bring(driver(owner, house, account), content)
    house.create_key(f"{account}-stranger")
    strangers = [
        driver(speaker, house, f"{account}-stranger") for speaker in SPEAKERS if may_be_said(file.url, speaker)
    ]

    runs = [stranger.submit(MODEL, {"image": file.url}) for stranger in strangers]
    house.work()

    assert [stranger.look(run) for stranger, run in zip(strangers, runs, strict=True)] == [read_of(content)] * len(runs)


def test_what_was_used_once_is_not_changed_by_who_sends_again(house: House, account: str, owner: Speaker) -> None:
    content, own = new_picture(), driver(owner, house, account)
    begun = own.begin(content)
    begun.send(content)
    file = own.complete(begun)
    first = own.submit(MODEL, {"image": file.reference})

    begun.send(new_picture())
    others = [driver(speaker, house, account) for speaker in SPEAKERS if may_be_said(file.reference, speaker)]
    runs = [other.submit(MODEL, {"image": file.reference}) for other in others]
    house.work()

    assert own.look(first) == read_of(content)
    assert [other.look(run) for other, run in zip(others, runs, strict=True)] == [read_of(content)] * len(runs)


def test_an_expired_file_is_nowhere_an_input(house: House, account: str, owner: Speaker) -> None:
    if not owner.dialect.capabilities.upload_lifetimes:
        pytest.skip("nobody chooses how long files of this dialect live")
    file = bring(driver(owner, house, account), new_picture(), lifetime_seconds=MINUTE)
    house.clock.advance(timedelta(seconds=MINUTE + 6))

    refused = {
        (speaker.dialect.name, name): refusal(driver(speaker, house, account), name).status
        for speaker in SPEAKERS
        for name in names_of(file)
    }

    assert set(refused.values()) <= {400, 404, 422}, refused


def test_a_signed_url_past_its_end_is_refused_and_not_fetched_as_another_servers(
    house: House, account: str, owner: Speaker
) -> None:
    file = bring(driver(owner, house, account), new_picture())
    if not file.url or owner.dialect.capabilities.lasting_urls:
        pytest.skip("files of this dialect have no signed URL")
    house.clock.advance(LONGEST_URL)

    refused = {speaker.dialect.name: refusal(driver(speaker, house, account), file.url).status for speaker in SPEAKERS}

    assert set(refused.values()) <= {400, 404, 422}, refused


def test_an_address_of_ours_that_names_nothing_is_refused_and_not_fetched(
    house: House, account: str, listener: Speaker
) -> None:
    lasting = next(speaker for speaker in SPEAKERS if speaker.dialect.capabilities.lasting_urls)
    file = bring(driver(lasting, house, account), new_picture())
    place, _, key = file.url.rpartition("/")

    refused = refusal(driver(listener, house, account), f"{place}/{'0' * 32}{key[32:]}")

    assert refused.status in {400, 404, 422}
