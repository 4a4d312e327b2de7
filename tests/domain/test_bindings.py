"""What a binding makes of a registered model, and which models work together."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from penstock.domain import bindings
from penstock.domain.catalog import Binding, CatalogError, FieldType, InputField, check_input
from penstock.domain.catalog_parsing import parse_catalog
from penstock.domain.errors import InvalidField, InvalidFields
from penstock.domain.ids import AccountId
from penstock.domain.weights import Category
from tests.support.records import make_card, make_model

if TYPE_CHECKING:
    from penstock.domain.models import RegisteredModel

ACME = AccountId("acme")
LORAS: dict[str, object] = {"name": "loras", "type": "models", "synonyms": ["lora"], "categories": ["lora", "lycoris"]}
STEPS: dict[str, object] = {
    "name": "steps",
    "type": "integer",
    "min": 1,
    "max": 50,
    "default": 30,
    "card_default": "steps",
}


def binding_of(*inputs: dict[str, object], **changes: object) -> Binding:
    table = {"architectures": ["sdxl"], "runner": "cog", "runner_model": "http://one", "input": list(inputs), **changes}
    return parse_catalog({"binding": [table]}).bindings[0]


def model(number: int = 1, **card: object) -> RegisteredModel:
    return make_model(number, ACME, card=make_card(**card))


# --- parsing


def test_a_minimal_binding_takes_checkpoints_and_hands_over_weights() -> None:
    binding = binding_of()

    assert (binding.architectures, binding.categories, binding.weights) == (
        ("sdxl",),
        (Category.CHECKPOINT,),
        "weights",
    )
    assert (binding.model.runner, binding.model.runner_model, binding.model.aliases) == ("cog", "http://one", ())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"architectures": []}, "binding 1: architectures"),
        ({"categories": ["movie"]}, "binding 1: categories: known are checkpoint"),
        ({"slug": "mine"}, "binding 1: slug: not a key"),
        ({"aliases": ["mine"]}, "binding 1: aliases: not a key"),
        ({"runner": ""}, "binding 1: runner"),
        ({"weights": "lora", "input": [LORAS]}, "binding 1: weights: lora is an input already"),
        ({"input": [LORAS | {"default": "a:1@1"}]}, "loras: default: one of the type models has none"),
        ({"input": [STEPS | {"card_default": "sharpness"}]}, "steps: card_default: must be one of steps"),
        ({"architectures": ["sdxl", "sdxl"]}, "two bindings take models of sdxl and checkpoint"),
    ],
)
def test_a_mistake_in_a_binding_is_told_with_its_place(changes: dict[str, object], told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        binding_of(**changes)


def test_a_binding_is_found_by_architecture_and_category_and_its_terms_by_its_runner() -> None:
    catalog = parse_catalog(
        {
            "model": [{"slug": "m/one", "runner": "cog", "runner_model": "http://one"}],
            "binding": [
                {"architectures": ["sdxl"], "runner": "cog", "runner_model": "http://two", "max_running": 1},
                {"architectures": ["sdxl"], "categories": ["lora"], "runner": "cog", "runner_model": "http://three"},
            ],
        }
    )

    found = catalog.binding("sdxl", Category.LORA)

    assert found is catalog.bindings[1]
    assert catalog.binding("sd3", Category.CHECKPOINT) is None
    assert catalog.terms_of("acme:1@1", runner="cog", runner_model="http://two") is catalog.bindings[0].model
    assert catalog.terms_of("m/one", runner="cog", runner_model="http://two") is catalog.models[0]
    assert catalog.terms_of("acme:1@1", runner="cog", runner_model="http://gone") is None


# --- defaults


@pytest.mark.statement("RU-97", part="defaults of checkpoints")
def test_a_registered_model_s_defaults_count_where_the_run_says_nothing_and_the_run_s_values_win() -> None:
    binding = binding_of(
        STEPS,
        {"name": "cfg", "type": "number", "card_default": "cfg"},
        {"name": "scheduler", "type": "string", "card_default": "scheduler"},
        {"name": "strength", "type": "number", "card_default": "strength"},
    )
    bound = bindings.bound(binding, model(default_steps=12, default_cfg=3.5, default_strength=0.25))

    assert (bound.slug, bound.title) == ("acme:1@1", "Größe XL")
    assert check_input(bound, {}).values == {"steps": 12, "cfg": 3.5, "scheduler": "Default", "strength": 0.25}
    assert check_input(bound, {"steps": 40, "cfg": 0, "strength": 1}).values["steps"] == 40


@pytest.mark.parametrize("default", [None, 51, 0])
def test_a_default_that_is_missing_or_that_the_runner_does_not_take_leaves_the_binding_s(default: int | None) -> None:
    bound = bindings.bound(binding_of(STEPS), model(default_steps=default))

    assert check_input(bound, {}).values == {"steps": 30}


@pytest.mark.statement("RU-97", part="the weight of a LoRA")
def test_a_lora_s_own_weight_counts_where_the_run_says_none() -> None:
    lora = model(category=Category.LORA, default_weight=0.7)

    assert bindings.entry(lora, {})["weight"] == 0.7
    assert bindings.entry(lora, {"weight": None})["weight"] == 0.7
    assert bindings.entry(lora, {"weight": 1.5})["weight"] == 1.5
    assert "weight" not in bindings.entry(model(default_weight=None), {})


# --- models inside inputs


def test_models_are_named_by_their_airs_or_by_objects_with_more_to_say() -> None:
    bound = bindings.bound(binding_of(LORAS, {"name": "vae", "type": "model"}), model())

    checked = check_input(bound, {"lora": ["a:1@1", {"model": "b:2@3", "weight": 0.5}], "vae": "c:1@1"})

    found = {
        name: [(each.air, each.path, each.options) for each in named] for name, (_, named) in checked.models.items()
    }
    assert found == {
        "loras": [("a:1@1", ("lora", 0, "model"), {}), ("b:2@3", ("lora", 1, "model"), {"weight": 0.5})],
        "vae": [("c:1@1", ("vae",), {})],
    }
    assert checked.values == {}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"lora": "a:1@1"}, ("lora",)),
        ({"lora": [5]}, ("lora", 0, "model")),
        ({"lora": [{"weight": 1}]}, ("lora", 0, "model")),
        ({"lora": ["a:1@1", {"model": "a:1@1", "weight": [1]}]}, ("lora", 1, "weight")),
        ({"lora": [{"model": "a:1@1", "more": {"$model": {"file_id": "x"}}}]}, ("lora", 0, "more")),
        ({"lora": [{"model": "a:1@1", "more": "x" * 2049}]}, ("lora", 0, "more")),
        ({"lora": ["a:1@1"] * 21}, ("lora",)),
        ({"vae": 5}, ("vae",)),
        ({"vae": ""}, ("vae",)),
    ],
)
def test_what_names_no_model_is_refused_at_its_place(given: dict[str, object], path: tuple[str | int, ...]) -> None:
    bound = bindings.bound(binding_of(LORAS, {"name": "vae", "type": "model"}), model())

    with pytest.raises(InvalidField) as refused:
        check_input(bound, given)

    assert refused.value.path == path


def test_several_mistakes_are_told_together() -> None:
    bound = bindings.bound(binding_of(LORAS, STEPS), model())

    with pytest.raises(InvalidFields) as refused:
        check_input(bound, {"lora": 1, "steps": "many"})

    assert [field.path for field in refused.value.fields] == [("lora",), ("steps",)]


@pytest.mark.statement("RU-72", part="category and family")
@pytest.mark.parametrize(
    ("architecture", "beside", "fits"),
    [
        ("sdxl", "pony", True),
        ("illustrious", "sdxllightning", True),
        ("sd1x", "sd1xlcm", True),
        ("flux1d", "fluxkontextdev", True),
        ("sd3", "sd3", True),
        ("operator-s-own", "operator-s-own", True),
        ("sd1x", "sdxl", False),
        ("flux1d", "sd3", False),
        ("qwen_image", "hidreamdev", False),
    ],
)
def test_a_companion_fits_a_model_of_the_same_structure(architecture: str, beside: str, fits: bool) -> None:
    field = InputField(name="loras", type=FieldType.MODELS, categories=(Category.LORA,))
    lora = model(category=Category.LORA, architecture=architecture)

    refusal = nullcontext() if fits else pytest.raises(InvalidField, match=f"{architecture} .* {beside}$")

    with refusal:
        bindings.check_companion(field, lora, beside=model(2, architecture=beside), path=("lora", 0, "model"))


@pytest.mark.statement("RU-72", part="category and family")
def test_a_field_takes_models_of_its_categories_alone() -> None:
    field = InputField(name="loras", type=FieldType.MODELS, categories=(Category.LORA, Category.LYCORIS))

    with pytest.raises(InvalidField, match=r"of the category vae; lora or lycoris is needed") as refused:
        bindings.check_companion(field, model(category=Category.VAE), beside=model(2), path=("lora", 0, "model"))

    assert refused.value.path == ("lora", 0, "model")


def test_marks_come_back_as_the_models_they_stand_for() -> None:
    used = bindings.used(model())
    value = {"weights": bindings.marked(used), "loras": [bindings.entry(model(2), {"weight": 1})], "text": "a"}

    shown = bindings.with_models(value, lambda each: each.air)

    assert shown == {"weights": "acme:1@1", "loras": [{"model": "acme:2@1", "weight": 1}], "text": "a"}
