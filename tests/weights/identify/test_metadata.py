from __future__ import annotations

import json

import pytest

from penstock.weights.identify import metadata


@pytest.mark.parametrize(
    ("told", "architectures"),
    [
        ({"modelspec.architecture": "stable-diffusion-v1"}, ("sd1x",)),
        ({"modelspec.architecture": "stable-diffusion-xl-turbo-v1"}, ("sdxlturbo",)),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, ("sdxl",)),
        ({"modelspec.architecture": "Flux-1-schnell"}, ("flux1s",)),
        ({"modelspec.architecture": "flux-1-dev/lora", "ss_base_model_version": "flux1"}, ("flux1d",)),
        ({"ss_base_model_version": "sdxl_base_v1-0", "ss_sd_model_name": "ponyDiffusionV6XL"}, ("pony", "sdxl")),
        ({"modelspec.architecture": "stable-diffusion-xl", "modelspec.title": "NoobAI 1.1"}, ("illustrious", "sdxl")),
        ({"modelspec.architecture": "something-else"}, ()),
        ({}, ()),
    ],
)  # fmt: skip
def test_names_and_base_models_hint_at_architectures(told: dict[str, str], architectures: tuple[str, ...]) -> None:
    assert metadata.read(told).architectures == architectures


def test_the_title_is_one_line_of_bounded_length() -> None:
    suggestions = metadata.read({"modelspec.title": " My\n\x1b[31mstyle\u202e " + "x" * 1000})

    assert suggestions.title is not None
    assert suggestions.title.startswith("My [31mstyle x")
    assert len(suggestions.title) == 200


def test_the_name_of_the_training_serves_where_there_is_no_title() -> None:
    assert metadata.read({"ss_output_name": "my-style"}).title == "my-style"


def test_the_authors_trigger_phrase_goes_before_the_training_tags() -> None:
    tags = json.dumps({"10_set": {"1girl": 40, "solo": 12}, "2_set": {"solo": 90}})

    assert metadata.read({"modelspec.trigger_phrase": "ohwx, my style"}).trigger_words == ("ohwx", "my style")
    assert metadata.read({"ss_tag_frequency": tags}).trigger_words == ("solo",)


@pytest.mark.parametrize(
    "table",
    [
        "",
        "{",
        "[1]",
        '{"a": 3}',
        '{"a": {"b": "c"}}',
        '{"a": {"b": true}}',
        "[" * 100_000,
        '{"a": {"' + "x" * (1 << 20),
    ],
)
def test_broken_tables_of_training_tags_suggest_nothing(table: str) -> None:
    assert metadata.read({"ss_tag_frequency": table}).trigger_words == ()


@pytest.mark.parametrize(
    ("preprocessor", "conditioning"),
    [("canny", "canny"), ("dw_openpose_full", "openpose"), ("softedge_hed", "softedge"), ("x", None)],
)
def test_a_preprocessor_suggests_the_conditioning(preprocessor: str, conditioning: str | None) -> None:
    assert metadata.read({"modelspec.preprocessor": preprocessor}).conditioning == conditioning


def test_tags_and_the_network_are_handed_on() -> None:
    suggestions = metadata.read({"modelspec.tags": "style, anime,, ", "ss_network_module": "lycoris.kohya"})

    assert suggestions.tags == ("style", "anime")
    assert suggestions.network == "lycoris.kohya"


@pytest.mark.parametrize(
    ("told", "relative"),
    [
        ({"modelspec.architecture": "chroma/lora"}, "chroma"),
        ({"ss_base_model_version": "chroma"}, "chroma"),
        ({"ss_base_model_version": "flux2"}, "flux2"),
        ({"ss_base_model_version": "flux1"}, None),
    ],
)
def test_metadata_may_name_a_relative(told: dict[str, str], relative: str | None) -> None:
    assert metadata.read(told).relative == relative
