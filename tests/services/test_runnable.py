"""Registered models as models of runs: who may use which, with what beside them, and that their files stay."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import pytest

from penstock.domain.catalog_parsing import parse_catalog
from penstock.domain.errors import AssetNotFound, InvalidField, ModelNotFound, NoRunner, RateLimited
from penstock.domain.models import ModelQuery, ModelSort
from penstock.domain.runs import RunState
from penstock.domain.weights import Category
from penstock.ports.runners import FileInput, WeightsInput
from penstock.services.runnable import Runnables
from tests.support.records import make_card, make_model, make_model_file, uuid_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.domain.ids import AccountId
    from penstock.domain.models import RegisteredModel
    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.core import Core


def register(core: Core, account_id: AccountId, number: int = 1, *, air: str = "acme:1@1", **card: object) -> None:
    with core.database.write() as tx:
        tx.model_files.add(make_model_file(number, account_id))
        tx.models.put(make_model(number, account_id, air=air, card=make_card(**card)))


def registered(core: Core, account_id: AccountId, air: str = "acme:1@1") -> RegisteredModel:
    with core.database.read() as tx:
        return tx.models.get(account_id, air)


def unused(core: Core) -> list[str]:
    with core.database.read() as tx:
        return [file.id for file in tx.model_files.unused(limit=10)]


class Painter:
    """The runner's model: it keeps what it got, and the URLs of the weights."""

    def __init__(self, core: Core) -> None:
        self.got: list[Mapping[str, JsonLike]] = []
        self.urls: list[str] = []
        self.files: list[str] = []
        core.models.behaviours["painter"] = self.paint

    def paint(self, inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        self.got.append(inputs)
        weights = inputs["weights"]
        assert isinstance(weights, WeightsInput)
        self.urls.append(context.url(weights))
        self.files.append(weights.file_id)
        return {"text": "painted"}


@pytest.mark.statement("RU-70", part="the weights reach the runner")
def test_a_run_of_an_air_gets_the_model_s_weights_by_a_url_and_costs_what_its_binding_says(core: Core) -> None:
    acme = core.open_account()
    register(core, acme)
    painter = Painter(core)

    urn = "urn:air:sdxl:checkpoint:ACME:1@1"

    run = core.submit(acme, urn, positivePrompt="a river")
    core.worker.drain()

    done = core.runs.get(acme, run.id)
    assert (done.state, done.cost, done.model) == (RunState.SUCCEEDED, Decimal("0.1"), urn)
    (got,) = painter.got
    file = make_model_file(1, acme)
    assert got == {
        "prompt": "a river",
        "steps": 20,
        "cfg": 7.5,
        "scheduler": "Default",
        "strength": 0.8,
        "weights": WeightsInput(
            air="acme:1@1",
            name="Größe XL",
            category="checkpoint",
            architecture="sdxl",
            file_id=file.id,
            size=file.optimized_size,
            sha256=file.optimized_sha256,
        ),
    }
    assert urlsplit(painter.urls[0]).path == f"/penstock/{file.optimized_key}"
    assert "X-Amz-Signature" in painter.urls[0]


@pytest.mark.statement("RU-63", part="runs")
def test_who_may_not_see_a_model_cannot_run_it_and_hears_what_is_said_of_unknown_ones(core: Core) -> None:
    acme, zenith = core.open_account(), core.open_account("zenith")
    register(core, acme)
    register(core, acme, 2, air="acme:2@1", private=False)
    register(core, acme, 3, air="acme:3@1", category=Category.LORA)

    for air in ("acme:1@1", "acme:9@1"):
        with pytest.raises(ModelNotFound) as refused:
            core.submit(zenith, air)
        assert refused.value.message == ModelNotFound(air).message
    for air in ("acme:3@1", "acme:9@1"):
        with pytest.raises(ModelNotFound) as refused:
            core.submit(zenith, "acme:2@1", lora=[air])
        assert refused.value.message == ModelNotFound(air).message
        assert refused.value.at == ("input", "lora", 0, "model")
    assert core.submit(zenith, "acme:2@1").state is RunState.QUEUED


def test_a_model_without_a_runner_says_which_architecture_needs_one(core: Core) -> None:
    acme = core.open_account()
    register(core, acme, architecture="sd3")

    with pytest.raises(NoRunner, match="sd3") as refused:
        core.submit(acme, "acme:1@1")

    assert refused.value.architecture == "sd3"
    assert len(core.ledger(acme)) == 1


@pytest.mark.statement("RU-72", part="the service")
def test_loras_and_other_models_are_handed_over_with_their_weights(core: Core) -> None:
    acme = core.open_account()
    register(core, acme)
    register(core, acme, 2, air="acme:2@1", category=Category.LORA, architecture="pony", default_weight=0.7)
    register(core, acme, 3, air="acme:3@1", category=Category.VAE)
    painter = Painter(core)

    core.submit(acme, "acme:1@1", lora=[{"model": "acme:2@1"}, {"model": "acme:2@1", "weight": 1.5}], vae="acme:3@1")
    core.worker.drain()

    (got,) = painter.got
    loras, vae = got["loras"], got["vae"]
    assert isinstance(loras, list)
    assert [(lora["model"].air, lora["weight"]) for lora in loras] == [("acme:2@1", 0.7), ("acme:2@1", 1.5)]
    assert isinstance(vae, WeightsInput)
    assert vae.air == "acme:3@1"


def test_a_picture_beside_a_model_is_leased_and_handed_over_in_its_place(core: Core) -> None:
    acme = core.open_account()
    register(core, acme)
    register(core, acme, 2, air="acme:2@1", category=Category.CONTROLNET)
    image = core.upload(acme)
    painter = Painter(core)
    guided = {"model": "acme:2@1", "guideImage": f"asset_{image.id.replace('-', '')}", "weight": 0.5}

    run = core.submit(acme, "acme:1@1", controlNet=[{"model": "acme:2@1"}, guided])
    core.worker.drain()
    with pytest.raises(AssetNotFound):
        core.submit(acme, "acme:1@1", controlNet=[{**guided, "guideImage": f"asset_{uuid_text(99).replace('-', '')}"}])

    (got,) = painter.got
    plain, with_image = cast("list[dict[str, object]]", got["controlnets"])
    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert set(plain) == {"model", "weight"}
    assert with_image["weight"] == 0.5
    assert isinstance(with_image["guideImage"], FileInput)
    assert with_image["guideImage"].asset_id == image.id


@pytest.mark.statement("RU-72", part="the service")
def test_a_companion_that_does_not_fit_is_refused_at_its_place_and_nothing_is_held(core: Core) -> None:
    acme = core.open_account()
    register(core, acme)
    register(core, acme, 2, air="acme:2@1", category=Category.LORA, architecture="sd1x")

    with pytest.raises(InvalidField, match="sd1x") as refused:
        core.submit(acme, "acme:1@1", lora=["acme:2@1"])

    assert refused.value.path == ("input", "lora", 0, "model")
    assert len(core.ledger(acme)) == 1


def test_a_run_keeps_its_files_though_their_model_is_updated_and_removed_meanwhile(
    core_on_each_database: Core,
) -> None:
    core = core_on_each_database
    acme = core.open_account()
    register(core, acme)
    painter = Painter(core)
    first = core.submit(acme, "acme:1@1")

    with core.database.write() as tx:
        tx.model_files.add(make_model_file(2, acme))
        tx.models.put(make_model(1, acme, file_id=make_model_file(2, acme).id))
    second = core.submit(acme, "acme:1@1")
    with core.database.write() as tx:
        tx.models.remove(registered(core, acme))
    held = unused(core)
    with core.database.write() as tx:
        removed = [tx.model_files.remove(make_model_file(number, acme)) for number in (1, 2)]
    core.worker.drain()

    assert (held, removed) == ([], [False, False])
    assert [core.runs.get(acme, run.id).state for run in (first, second)] == [RunState.SUCCEEDED] * 2
    assert painter.files == [make_model_file(number, acme).id for number in (1, 2)]
    assert sorted(unused(core)) == sorted(make_model_file(number, acme).id for number in (1, 2))


def test_a_cancelled_run_gives_its_files_back(core: Core) -> None:
    acme = core.open_account()
    register(core, acme)
    run = core.submit(acme, "acme:1@1")
    with core.database.write() as tx:
        tx.models.remove(registered(core, acme))

    core.runs.cancel(acme, run.id)

    assert unused(core) == [make_model_file(1, acme).id]


def test_the_limits_of_a_binding_hold_for_all_its_models_together(core: Core) -> None:
    acme = core.open_account()
    register(core, acme)
    register(core, acme, 2, air="acme:2@1")
    for air in ("acme:1@1", "acme:2@1", "acme:1@1"):
        core.submit(acme, air)

    with pytest.raises(RateLimited):
        core.submit(acme, "acme:2@1")


def test_a_run_counts_as_a_use_of_its_models(core: Core) -> None:
    acme = core.open_account()
    register(core, acme)
    register(core, acme, 2, air="acme:2@1")
    core.clock.advance(timedelta(days=1))

    core.submit(acme, "acme:2@1")

    with core.database.read() as tx:
        _, found = tx.models.search(acme, ModelQuery(sort=ModelSort.USED, limit=1))
    assert [model.air for model in found] == ["acme:2@1"]


def test_a_name_that_is_no_air_of_a_registered_model_is_the_catalog_s(core: Core) -> None:
    acme = core.open_account()
    register(core, acme)

    assert core.submit(acme, "acme/free").runner_model == "model"
    with pytest.raises(ModelNotFound):
        core.submit(acme, "acme:1")


def test_nobody_s_public_model_takes_a_name_of_the_catalog_s(core: Core) -> None:
    """Sources are whoever's comes first: else anybody could have everybody's runs of a model of the operator's."""
    acme, zenith = core.open_account(), core.open_account("zenith")
    table = {"slug": "house/painter", "aliases": ["official:100@1"], "runner": "test", "runner_model": "painter"}
    runnables = Runnables(core.database, parse_catalog({"model": [table]}))
    register(core, acme, air="official:100@1", private=False)

    for name in ("official:100@1", "Official:100@1", "urn:air:sdxl:checkpoint:official:100@1"):
        for account_id in (acme, zenith):
            found = runnables.find(account_id, name)
            assert (found.model.slug, found.base) == ("house/painter", None)
