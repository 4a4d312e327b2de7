"""The catalog: parsing says where it is wrong; a run's input fits a model or every misfit is named."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.catalog import Catalog, CatalogError, FieldType, Model, check_input
from penstock.domain.catalog_parsing import parse_catalog
from penstock.domain.errors import InvalidField, InvalidFields, ModelNotFound, PenstockError

MINIMAL = {"slug": "m/one", "runner": "builtin", "runner_model": "one"}


def catalog_of(*models: dict[str, object]) -> Catalog:
    return parse_catalog({"model": [MINIMAL | model for model in models]})


def model_of(*inputs: dict[str, object], **changes: object) -> Model:
    return catalog_of({"input": list(inputs), **changes}).find("m/one")


# --- parsing


def test_a_minimal_model_has_the_documented_defaults() -> None:
    model = catalog_of({}).find("m/one")

    assert (model.title, model.description, model.price, model.aliases) == ("m/one", "", Decimal(0), ())
    assert (model.inputs, model.outputs, model.extra_inputs.value) == ((), (), "refuse")


def test_a_models_limits_are_counts() -> None:
    model = catalog_of({"timeout_seconds": 60, "max_running": 4, "max_running_per_account": 2}).find("m/one")

    assert (model.timeout_seconds, model.max_running, model.max_running_per_account) == (60, 4, 2)
    assert model.max_daily_per_account is None
    for key in ("timeout_seconds", "max_running", "max_running_per_account", "max_daily_per_account"):
        for wrong in (0, -1, 1.5, "3", True):
            with pytest.raises(CatalogError, match=f"m/one: {key}"):
                catalog_of({key: wrong})


def test_a_model_is_found_by_its_slug_and_its_aliases_exactly() -> None:
    catalog = catalog_of({"aliases": ["first", "a/b"]}, {"slug": "m/two"})

    assert catalog.find("first") is catalog.find("a/b") is catalog.find("m/one")
    assert catalog.find("m/two").slug == "m/two"
    for unknown in ("", "M/ONE", "m/one ", "m", "one"):
        with pytest.raises(ModelNotFound):
            catalog.find(unknown)


def test_an_empty_document_is_an_empty_catalog() -> None:
    assert parse_catalog({}).models == ()


@pytest.mark.parametrize(
    ("price", "usd"), [("0.002", "0.002"), (0.25, "0.25"), (3, "3"), ("0.000000001", "1E-9"), ("0.00", "0")]
)
def test_a_price_is_exact_however_it_is_written(price: object, usd: str) -> None:
    assert catalog_of({"price": price}).find("m/one").price == Decimal(usd)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"models": []}, "models"),
        ({"model": {"slug": "x"}}, r"\[\[model\]\]"),
        ({"model": ["x"]}, "model 1"),
        ({"model": [{}]}, "model 1.*slug"),
        ({"model": [MINIMAL | {"slug": ""}]}, "model 1.*slug"),
        ({"model": [MINIMAL | {"slug": 7}]}, "model 1.*slug"),
        ({"model": [{"slug": "m/one", "runner_model": "x"}]}, "model m/one.*runner"),
        ({"model": [{"slug": "m/one", "runner": "x"}]}, "model m/one.*runner_model"),
    ],
)
def test_a_document_that_is_no_catalog_is_refused(document: dict[str, object], place: str) -> None:
    with pytest.raises(CatalogError, match=place):
        parse_catalog(document)


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ({"prize": "1"}, "m/one.*prize"),
        ({"title": 7}, "m/one.*title"),
        ({"aliases": "first"}, "m/one.*aliases"),
        ({"aliases": [1]}, "m/one.*aliases"),
        ({"aliases": ["m/one"]}, "m/one"),
        ({"extra_inputs": "maybe"}, "m/one.*extra_inputs"),
        ({"price": "cheap"}, "m/one.*price"),
        ({"price": "NaN"}, "m/one.*price"),
        ({"price": "-1"}, "m/one.*price"),
        ({"price": True}, "m/one.*price"),
        ({"price": []}, "m/one.*price"),
        ({"price": ""}, "m/one.*price"),
        ({"price": "0.0000000001"}, "m/one.*price"),
        ({"price": "1e12"}, "m/one.*price"),
        ({"input": {"name": "a"}}, "m/one.*input"),
        ({"input": ["a"]}, "m/one.*input"),
        ({"output": [1]}, "m/one.*output"),
        ({"output": [{"name": "o", "type": "picture"}]}, "m/one, output o.*type"),
        ({"output": [{"type": "file"}]}, "m/one, output 1.*name"),
        ({"output": [{"name": "o", "kind": "picture"}]}, "m/one, output o.*kind"),
        ({"output": [{"name": "o", "accepts": []}]}, "m/one, output o.*accepts"),
        ({"input": [{"type": "string"}]}, "m/one, input 1.*name"),
        ({"input": [{"name": "a"}, {"name": "a"}]}, "m/one.*a"),
        ({"input": [{"name": "a", "synonyms": ["b"]}, {"name": "c", "synonyms": ["b"]}]}, "m/one.*b"),
        ({"input": [{"name": "a", "type": "text"}]}, "m/one, input a.*type"),
        ({"input": [{"name": "a", "length": 1}]}, "m/one, input a.*length"),
        ({"input": [{"name": "a", "synonyms": "b"}]}, "m/one, input a.*synonyms"),
        ({"input": [{"name": "a", "required": "yes"}]}, "m/one, input a.*required"),
        ({"input": [{"name": "a", "min_length": "3"}]}, "m/one, input a.*min_length"),
        ({"input": [{"name": "a", "type": "number", "max": "3"}]}, "m/one, input a.*max"),
        ({"input": [{"name": "a", "type": "number", "max": True}]}, "m/one, input a.*max"),
        ({"input": [{"name": "a", "type": "enum"}]}, "m/one, input a.*choices"),
        ({"input": [{"name": "a", "type": "enum", "choices": ["x"], "default": "y"}]}, "m/one, input a.*default"),
        ({"input": [{"name": "a", "type": "integer", "default": 1.5}]}, "m/one, input a.*default"),
        ({"input": [{"name": "a", "type": "integer", "min": 2, "default": 1}]}, "m/one, input a.*default"),
        ({"input": [{"name": "a", "type": "file", "default": "x"}]}, "m/one, input a.*default"),
        ({"input": [{"name": "a", "type": "file", "accepts": ["picture"]}]}, "m/one, input a.*accepts"),
    ],
)
def test_a_mistake_is_refused_with_its_place(model: dict[str, object], place: str) -> None:
    with pytest.raises(CatalogError, match=place):
        catalog_of(model)


def test_two_models_cannot_share_a_name() -> None:
    with pytest.raises(CatalogError, match="first"):
        catalog_of({"aliases": ["first"]}, {"slug": "m/two", "aliases": ["first"]})


# --- input


@pytest.mark.parametrize(
    ("field", "fits", "misfits"),
    [
        ({"type": "string"}, ["", "x", "é" * 9000], [1, True, 1.5, [], {}]),
        ({"type": "string", "min_length": 1, "max_length": 2}, ["a", "é🙂"], ["", "abc"]),
        ({"type": "integer"}, [0, -5, 2**63 - 1], ["1", 1.0, True, []]),
        ({"type": "integer", "min": 1, "max": 3}, [1, 3], [0, 4]),
        ({"type": "number"}, [0, -1.5, 10**30], ["1", True, [], float("nan"), float("inf")]),
        ({"type": "number", "min": 0.0, "max": 1.0}, [0, 0.0, 1], [-0.0001, 1.0001]),
        ({"type": "boolean"}, [True, False], [0, 1, "true", []]),
        ({"type": "enum", "choices": ["png", "webp"]}, ["png"], ["PNG", "", "jpeg", 1, True, []]),
        ({"type": "file"}, ["asset_1", "", ["asset_1"]], [1, {}, [], [1], ["asset_1", "asset_2"]]),
    ],
)
def test_a_value_fits_its_field_or_is_refused_with_the_fields_name(
    field: dict[str, object], fits: list[object], misfits: list[object]
) -> None:
    model = model_of({"name": "a", **field})

    for value in fits:
        checked = check_input(model, {"a": value})
        assert checked.values.get("a", value) == value
    for value in misfits:
        with pytest.raises(InvalidField) as caught:
            check_input(model, {"a": value})
        assert (caught.value.path, caught.value.rule) == (("a",), "type")


def test_a_file_is_kept_apart_with_its_field() -> None:
    model = model_of({"name": "image", "type": "file", "synonyms": ["image_url"], "accepts": ["image"]})

    checked = check_input(model, {"image_url": "asset_1"})

    assert checked.values == {}
    (field, text) = checked.files["image"]
    assert (field.type, field.accepts, text) == (FieldType.FILE, ("image",), "asset_1")


def test_a_synonym_gives_the_value_its_own_name() -> None:
    model = model_of({"name": "prompt", "synonyms": ["text", "promptText"]})

    assert check_input(model, {"promptText": "a dam"}).values == {"prompt": "a dam"}


def test_two_names_for_one_field_are_a_conflict_even_when_they_agree() -> None:
    model = model_of({"name": "prompt", "synonyms": ["text"]})

    with pytest.raises(InvalidField) as caught:
        check_input(model, {"text": "a", "prompt": "a"})

    assert (caught.value.path, caught.value.rule) == (("text",), "conflict")


def test_a_null_is_as_good_as_nothing() -> None:
    model = model_of(
        {"name": "prompt", "synonyms": ["text"], "required": True},
        {"name": "style", "default": "oil"},
        {"name": "seed"},
    )

    checked = check_input(model, {"text": None, "prompt": "a dam", "style": None, "seed": None})

    assert checked.values == {"prompt": "a dam", "style": "oil"}
    with pytest.raises(InvalidField) as caught:
        check_input(model, {"prompt": None})
    assert (caught.value.path, caught.value.rule) == (("prompt",), "missing")


@pytest.mark.parametrize("default", [0, False, ""])
def test_a_default_that_looks_like_nothing_is_one(default: object) -> None:
    kind = {int: "integer", bool: "boolean", str: "string"}[type(default)]

    assert check_input(model_of({"name": "a", "type": kind, "default": default}), {}).values == {"a": default}


def test_an_unlisted_input_is_refused_or_ignored_as_the_model_says() -> None:
    with pytest.raises(InvalidField) as caught:
        check_input(model_of({"name": "a"}), {"a": "x", "b": 1})

    assert (caught.value.path, caught.value.rule) == (("b",), "unknown")
    assert check_input(model_of({"name": "a"}, extra_inputs="ignore"), {"a": "x", "b": 1}).values == {"a": "x"}


def test_every_misfit_is_named_at_once() -> None:
    model = model_of({"name": "a", "required": True}, {"name": "b", "type": "integer"}, {"name": "c"})

    with pytest.raises(InvalidFields) as caught:
        check_input(model, {"b": "1", "c": "fine", "d": 1})

    assert [(field.path, field.rule) for field in caught.value.fields] == [
        (("a",), "missing"),
        (("b",), "type"),
        (("d",), "unknown"),
    ]


# --- the demo catalog


@pytest.fixture(scope="module")
def demo() -> Catalog:
    return parse_catalog(tomllib.loads((files("penstock") / "demo_catalog.toml").read_text(encoding="utf-8")))


def test_the_demo_catalog_answers_to_the_documented_names(demo: Catalog) -> None:
    assert demo.find("swook/inspyrenet").slug == "builtin/remove-background"
    assert demo.find("flux-1.1-pro").slug == "builtin/stylize"


@pytest.mark.parametrize("name", ["image", "image_url", "image_path", "image_uri", "input_image", "init_image"])
@pytest.mark.parametrize("slug", ["builtin/remove-background", "builtin/stylize"])
def test_the_demo_models_take_a_photograph_under_any_usual_name(demo: Catalog, slug: str, name: str) -> None:
    checked = check_input(demo.find(slug), {"prompt": "watercolour", name: "asset_1"})

    assert checked.files["image"][1] == "asset_1"
    assert checked.files["image"][0].accepts == ("image",)


@given(
    st.dictionaries(st.sampled_from(["prompt", "image", "style", "width", "x"]), st.none() | st.integers() | st.text())
)
def test_any_input_is_accepted_or_refused_in_our_own_words(given_input: dict[str, object]) -> None:
    catalog = parse_catalog(tomllib.loads((files("penstock") / "demo_catalog.toml").read_text(encoding="utf-8")))
    for model in catalog.models:
        try:
            checked = check_input(model, given_input)
        except PenstockError as error:
            assert isinstance(error, InvalidField | InvalidFields)  # noqa: PT017 - either, and often none
        else:
            assert set(checked.values) | set(checked.files) <= {field.name for field in model.inputs}
