"""A registered model is run by its AIR through every dialect, by whoever may see it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from penstock.ports.runners import OutputFile, WeightsInput
from tests.conformance.dialect_lifecycle import RefusedError, drawn
from tests.conformance.test_dialect_lifecycle import SPEAKERS, speak
from tests.support.house import open_house
from tests.support.records import make_card, make_model, make_model_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from penstock.domain.ids import AccountId
    from penstock.ports.runners import JsonLike, RunContext
    from tests.conformance.dialect_lifecycle import Speaker
    from tests.support.house import House

PAINTER = {"architectures": ["sdxl"], "runner_model": "painter", "price": "1", "extra_inputs": "ignore"}
OWN, PUBLIC, IDLE, NOBODYS = "acme:1@1", "acme:2@1", "acme:3@1", "acme:4@1"


def paint(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    """A picture that says whose weights were handed over."""
    weights = inputs["weights"]
    assert isinstance(weights, WeightsInput)
    path = context.workdir / "painted.png"
    path.write_bytes(drawn({"air": weights.air, "url": context.url(weights)}))
    return OutputFile(path=path, name="painted.png", content_type="image/png")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("registered")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    url = f"sqlite:///{directory / 'penstock.db'}"
    with open_house(directory / "house", url, (), bindings=[PAINTER]) as opened:
        opened.models["painter"] = paint
        owner = opened.accounts.authenticate(opened.create_key("acme")).account_id
        register(opened, owner, 1, OWN)
        register(opened, owner, 2, PUBLIC, private=False)
        register(opened, owner, 3, IDLE, architecture="sd3")
        opened.create_key("zenith")
        yield opened


def register(house: House, owner: AccountId, number: int, air: str, **card: object) -> None:
    with house.database.write() as tx:
        tx.model_files.add(make_model_file(number, owner))
        tx.models.put(make_model(number, owner, air=air, card=make_card(**card)))


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: str(speaker.dialect.name))
def test_a_registered_model_is_run_by_its_owner_and_a_public_one_by_everybody(speaker: Speaker, house: House) -> None:
    owner, other = (speak(speaker, house, house.accounts.create_key(name, ())[1]) for name in ("acme", "zenith"))

    runs = [(owner, owner.submit(OWN, {})), (owner, owner.submit(PUBLIC, {})), (other, other.submit(PUBLIC, {}))]
    house.work()
    refused = {}
    for asked, air in ((other, OWN), (other, NOBODYS), (owner, IDLE)):
        with pytest.raises(RefusedError) as refusal:
            asked.submit(air, {})
        refused[air] = refusal.value

    for driver, run in runs:
        ended = driver.look(run)
        assert ended is not None
        assert ended.output is not None
    assert refused[OWN].status == refused[NOBODYS].status
    assert refused[IDLE].status in range(400, 500)
    assert b"sd3" in refused[IDLE].answer.body
