"""Every dialect, told the same story on one server: begin, send bytes, complete, reference in a run, expire, refuse."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.dialects.registry import DIALECTS
from penstock.domain.uploads import SizePolicy
from penstock.ports.runners import FileInput, OutputFile
from tests.conformance.dialect_lifecycle import Ended, RefusedError, Speaker, bring, drawn
from tests.conformance.drivers.modelroute import ModelRouteDriver
from tests.conformance.drivers.modelrunner import ModelRunnerDriver
from tests.conformance.drivers.native import NativeDriver
from tests.conformance.drivers.runflow import RunflowDriver
from tests.conformance.drivers.runware import RunwareDriver
from tests.conformance.drivers.runway import RunwayDriver
from tests.support.exchange import exchange, fetch
from tests.support.house import open_house

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.conformance.dialect_lifecycle import Driver
    from tests.support.house import House

MAKERS: dict[str, Callable[[str, str], Driver]] = {
    "native": NativeDriver,
    "modelrunner": ModelRunnerDriver,
    "modelroute": ModelRouteDriver,
    "runflow": RunflowDriver,
    "runware": RunwareDriver,
    "runway": RunwayDriver,
}
SPEAKERS = [Speaker(dialect=dialect, make=MAKERS[dialect.name]) for dialect in DIALECTS]
MODEL = "acme/digest"
# Some products' runs come to pictures and to nothing else; they ask for the model that draws its digest.
FILE_MODEL = f"{MODEL}-file"
_IMAGE = {
    "name": "image",
    "synonyms": ["promptImage", "seedImage"],
    "type": "file",
    "required": True,
    "accepts": ["image"],
}
CATALOG: list[dict[str, Any]] = [
    {"slug": slug, "price": "1", "extra_inputs": "ignore", "input": [_IMAGE]} for slug in (MODEL, FILE_MODEL)
]
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300
MINUTE = 60
_NUMBERS = count()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    """One for all tests, each of which has accounts of its own; its clock goes on from test to test."""
    directory = tmp_path_factory.mktemp("lifecycle")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", CATALOG) as opened:
        opened.models |= {MODEL: digest, FILE_MODEL: digest_in_a_file}
        yield opened


@pytest.fixture
def frail_house(tmp_path: Path, sqlite_url: str) -> Iterator[House]:
    """One to be broken."""
    with open_house(tmp_path / "house", sqlite_url, CATALOG) as opened:
        yield opened


@pytest.fixture(params=SPEAKERS, ids=lambda speaker: speaker.dialect.name)
def speaker(request: pytest.FixtureRequest) -> Speaker:
    found: Speaker = request.param
    return found


@pytest.fixture
def driver(house: House, speaker: Speaker) -> Driver:
    return speak(speaker, house, new_key(house))


def new_key(house: House, *, credits_usd: str = "100") -> str:
    """The key of a new account."""
    return house.create_key(f"account-{next(_NUMBERS)}", credits_usd=credits_usd)


def speak(speaker: Speaker, house: House, key: str) -> Driver:
    return speaker.make(house.url + speaker.dialect.mount, key)


def digest(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    """What the model read."""
    file = inputs["image"]
    assert isinstance(file, FileInput)
    return {"sha256": hashlib.sha256(context.fetch(file).read_bytes()).hexdigest()}


def digest_in_a_file(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    """The same, as a file."""
    path = context.workdir / "digest.png"
    path.write_bytes(drawn(digest(inputs, context)))
    return OutputFile(path=path, name="digest.png", content_type="image/png")


def read_of(content: bytes) -> Ended:
    return Ended(output={"sha256": hashlib.sha256(content).hexdigest()})


def test_a_file_goes_in_and_a_model_reads_its_exact_bytes(driver: Driver, house: House) -> None:
    file = bring(driver, PICTURE)

    run = driver.submit(MODEL, {"image": file.reference})
    assert driver.look(run) is None
    house.work()

    assert driver.look(run) == read_of(PICTURE)


def test_a_files_url_serves_it_to_anybody(driver: Driver, speaker: Speaker) -> None:
    needs_file_urls(speaker)
    file = bring(driver, PICTURE)

    served = fetch(file.url)

    assert (served.status, served.headers["content-type"], served.body) == (200, "image/png", PICTURE)


def needs_file_urls(speaker: Speaker) -> None:
    if not speaker.dialect.capabilities.file_urls:
        pytest.skip("uploaded files of this dialect have no URL")


def needs_lifetimes(speaker: Speaker) -> None:
    if not speaker.dialect.capabilities.upload_lifetimes:
        pytest.skip("nobody chooses how long files of this dialect live")


def gone_status(speaker: Speaker) -> int:
    return 410 if speaker.dialect.capabilities.tells_gone_files else 404


def test_an_expired_file_can_neither_be_read_nor_named(driver: Driver, house: House, speaker: Speaker) -> None:
    needs_lifetimes(speaker)
    gone = gone_status(speaker)
    file = bring(driver, PICTURE, lifetime_seconds=MINUTE)
    house.clock.advance(timedelta(seconds=MINUTE - 1))
    assert fetch(file.url).status == 200

    house.clock.advance(timedelta(seconds=6))

    assert exchange("GET", file.url).status == gone
    with pytest.raises(RefusedError) as refused:
        driver.submit(MODEL, {"image": file.reference})
    assert refused.value.status == 404
    house.sweep()
    assert exchange("GET", file.url).status == gone


def test_a_run_that_accepted_a_file_reads_it_after_its_expiry(driver: Driver, house: House) -> None:
    run = driver.submit(MODEL, {"image": bring(driver, PICTURE, lifetime_seconds=MINUTE).reference})
    house.clock.advance(timedelta(days=1))
    house.sweep()

    house.work()

    assert driver.look(run) == read_of(PICTURE)


def test_use_as_an_input_keeps_a_file_where_the_dialect_says_so(driver: Driver, house: House, speaker: Speaker) -> None:
    needs_lifetimes(speaker)
    file = bring(driver, PICTURE, lifetime_seconds=MINUTE)
    driver.submit(MODEL, {"image": file.reference})
    house.work()

    house.clock.advance(timedelta(days=1))
    house.sweep()

    kept = speaker.dialect.capabilities.run_input_keeps_file
    assert fetch(file.url).status == (200 if kept else gone_status(speaker))


def test_a_file_without_bytes_cannot_be_completed_or_named(driver: Driver, house: House, speaker: Speaker) -> None:
    if not speaker.dialect.capabilities.uploads_in_steps:
        pytest.skip("the bytes come with the request")
    begun = driver.begin(PICTURE)

    with pytest.raises(RefusedError) as refused:
        driver.submit(MODEL, {"image": driver.complete(begun).reference})

    assert refused.value.status in {400, 404, 409}
    begun.send(PICTURE)
    run = driver.submit(MODEL, {"image": driver.complete(begun).reference})
    house.work()
    assert driver.look(run) == read_of(PICTURE)


def test_bytes_of_another_length_are_refused_and_the_right_ones_are_taken_after(
    driver: Driver, speaker: Speaker
) -> None:
    if speaker.dialect.upload_policy.size_policy is not SizePolicy.EXACT:
        pytest.skip("a declared size does not bind in this dialect")
    begun = driver.begin(PICTURE)

    assert begun.send(PICTURE + b"more").status == 403
    assert begun.send(PICTURE[:-1]).status == 403

    assert begun.send(PICTURE).status == 200
    assert fetch(driver.complete(begun).url).body == PICTURE


def test_words_are_no_picture_for_a_model_that_wants_one(driver: Driver, house: House) -> None:
    words = b"only words, whatever they were declared " * 20

    with pytest.raises(RefusedError) as refused:
        driver.submit(MODEL, {"image": bring(driver, words).reference})

    assert 400 <= refused.value.status < 500
    run = driver.submit(MODEL, {"image": bring(driver, PICTURE).reference})
    house.work()
    assert driver.look(run) == read_of(PICTURE)


def test_a_file_larger_than_the_policy_allows_is_refused_at_the_door(driver: Driver, speaker: Speaker) -> None:
    if not speaker.dialect.capabilities.declares_sizes:
        pytest.skip("nobody says in this dialect how large a file will be")

    class Huge(bytes):
        """As long as it says, and empty."""

        __slots__ = ()

        def __len__(self) -> int:
            return speaker.dialect.upload_policy.max_bytes + 1

    with pytest.raises(RefusedError) as refused:
        driver.begin(Huge())

    assert 400 <= refused.value.status < 500


def test_an_unknown_model_and_a_missing_input_are_refused(driver: Driver) -> None:
    file = bring(driver, PICTURE)

    statuses = []
    for model, inputs in ((f"{MODEL}-2", {"image": file.reference}), (MODEL, {}), (MODEL, {"image": "nothing"})):
        with pytest.raises(RefusedError) as refused:
            driver.submit(model, inputs)
        statuses.append(refused.value.status)

    assert all(400 <= status < 500 for status in statuses)


def test_an_unknown_key_opens_nothing(house: House, speaker: Speaker) -> None:
    stranger = speak(speaker, house, "sk_" + "0" * 64 + "_00000000")

    with pytest.raises(RefusedError) as refused:
        stranger.begin(PICTURE)

    assert refused.value.status == 401


def test_another_accounts_run_is_not_found(driver: Driver, house: House, speaker: Speaker) -> None:
    run = driver.submit(MODEL, {"image": bring(driver, PICTURE).reference})
    rival = speak(speaker, house, new_key(house))

    with pytest.raises(RefusedError) as refused:
        rival.look(run)

    assert refused.value.status == 404


def test_a_run_that_cannot_be_paid_is_refused_and_takes_nothing(house: House, speaker: Speaker) -> None:
    poor = speak(speaker, house, new_key(house, credits_usd="1"))
    file = bring(poor, PICTURE)
    first = poor.submit(MODEL, {"image": file.reference})

    with pytest.raises(RefusedError) as refused:
        poor.submit(MODEL, {"image": file.reference})

    assert refused.value.status in {400, 402}
    house.work()
    assert poor.look(first) == read_of(PICTURE)


def test_a_queued_run_that_is_cancelled_ends_without_output_and_costs_nothing(house: House, speaker: Speaker) -> None:
    if not speaker.dialect.capabilities.cancels_runs:
        pytest.skip("this dialect does not cancel")
    poor = speak(speaker, house, new_key(house, credits_usd="1"))
    file = bring(poor, PICTURE)
    run = poor.submit(MODEL, {"image": file.reference})

    poor.cancel(run)

    assert poor.look(run) == Ended(output=None)
    again = poor.submit(MODEL, {"image": file.reference})
    house.work()
    assert poor.look(again) == read_of(PICTURE)


def test_completing_again_gives_the_same_file(driver: Driver) -> None:
    begun = driver.begin(PICTURE)
    begun.send(PICTURE)

    assert driver.complete(begun) == driver.complete(begun)


def test_an_outage_of_the_database_or_the_store_is_told_by_every_dialect_in_its_own_words(
    frail_house: House, tmp_path: Path
) -> None:
    drivers = {speaker.dialect.name: speak(speaker, frail_house, new_key(frail_house)) for speaker in SPEAKERS}
    begun = {name: driver.begin(PICTURE) for name, driver in drivers.items()}
    for upload in begun.values():
        upload.send(PICTURE)

    def told(act: Callable[[str, Driver], object]) -> dict[str, tuple[int, bool, bool]]:
        """What each says, all asked at once: the status, whether it says when to ask again, whether in JSON."""

        def one(name: str) -> tuple[int, bool, bool]:
            with pytest.raises(RefusedError) as refused:
                act(name, drivers[name])
            answer = refused.value.answer
            return answer.status, "retry-after" in answer.headers, bool(answer.json())

        with ThreadPoolExecutor(len(drivers)) as pool:
            return dict(zip(drivers, pool.map(one, drivers), strict=True))

    with closing(sqlite3.connect(tmp_path / "penstock.db", isolation_level=None)) as rival:
        rival.execute("BEGIN IMMEDIATE")
        assert told(lambda _, driver: driver.begin(PICTURE)) == dict.fromkeys(drivers, (503, True, True))
        rival.execute("ROLLBACK")
    frail_house.stop_store()
    for speaker in SPEAKERS:
        if not speaker.dialect.capabilities.uploads_in_steps:
            del drivers[speaker.dialect.name]  # its file has been looked at already
    assert told(lambda name, driver: driver.submit(MODEL, {"image": driver.complete(begun[name]).reference})) == (
        dict.fromkeys(drivers, (503, True, True))
    )


def test_every_dialect_has_a_driver_and_none_is_long() -> None:
    drivers = sorted((Path(__file__).parent / "drivers").glob("*.py"))

    assert {path.stem for path in drivers} == {dialect.name for dialect in DIALECTS}
    assert [path.name for path in drivers if len(path.read_text().splitlines()) > 80] == []
