"""The demo catalog and the builtin runner fit together."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from penstock.adapters.runners.builtin.camera import MOVES
from penstock.adapters.runners.builtin.film_models import film_size
from penstock.adapters.runners.builtin.models import MODELS
from penstock.adapters.runners.builtin.wording import STYLES
from penstock.domain.catalog import Catalog, check_input
from penstock.domain.catalog_parsing import parse_catalog
from penstock.domain.weights import Category


def demo_catalog() -> Catalog:
    return parse_catalog(tomllib.loads(resources.files("penstock").joinpath("demo_catalog.toml").read_text("utf-8")))


def test_every_builtin_model_of_the_demo_catalog_exists_and_each_is_listed() -> None:
    catalog = demo_catalog()
    listed = [*catalog.models, *(binding.model for binding in catalog.bindings)]

    assert {model.runner_model for model in listed if model.runner == "builtin"} == set(MODELS)


def test_the_preview_takes_checkpoints_of_every_architecture() -> None:
    (binding,) = demo_catalog().bindings

    assert (binding.model.runner, binding.model.runner_model) == ("builtin", "preview")
    assert binding.categories == (Category.CHECKPOINT,)
    assert len(set(binding.architectures)) == 18


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("swook/inspyrenet", "builtin/remove-background"),
        ("flux-1.1-pro", "builtin/stylize"),
        ("gen4_image", "builtin/stylize"),
        ("runflow/background-replace", "builtin/replace-background"),
        ("gen4.5", "builtin/image-to-video"),
        ("gen4_turbo", "builtin/image-to-video"),
        ("magnific_precision_upscaler_v2", "builtin/upscale"),
        ("aleph2", "builtin/video-to-video"),
        ("magnific_video_upscaler_creative", "builtin/upscale-video"),
        ("act_two", "builtin/motion-transfer"),
    ],
)
def test_the_documented_example_names_are_aliases(name: str, slug: str) -> None:
    assert demo_catalog().find(name).slug == slug


@pytest.mark.parametrize(
    ("name", "given", "files"),
    [
        ("runflow/background-replace", {"asset_id": "019a", "prompt": "white studio"}, {"image": "019a"}),
        (
            "gen4.5",
            {"promptImage": "u", "promptText": "The scene comes to life", "ratio": "1280:720", "duration": 5},
            {"image": "u"},
        ),
        ("magnific_precision_upscaler_v2", {"imageUri": "u", "scaleFactor": 4}, {"image": "u"}),
        ("flux-1.1-pro", {"prompt": "an oil painting", "image": "file_1"}, {"image": "file_1"}),
    ],
)
def test_the_documented_examples_fit_the_models(name: str, given: dict[str, object], files: dict[str, str]) -> None:
    checked = check_input(demo_catalog().find(name), given)

    assert {field: reference for field, (_, reference) in checked.files.items()} == files


def test_the_camera_moves_on_offer_are_the_moves_that_exist() -> None:
    (camera,) = [field for field in demo_catalog().find("builtin/image-to-video").inputs if field.name == "camera"]

    assert camera.choices == MOVES


def test_every_ratio_on_offer_can_be_filmed() -> None:
    (ratio,) = [field for field in demo_catalog().find("builtin/image-to-video").inputs if field.name == "ratio"]

    sizes = [film_size(choice, None) for choice in ratio.choices]

    assert all(width % 2 == height % 2 == 0 and width * height <= 1920 * 1080 for width, height in sizes)
    assert (1280, 720) in sizes


def test_the_styles_on_offer_are_the_styles_that_exist() -> None:
    catalog = demo_catalog()
    (style,) = [field for field in catalog.find("builtin/stylize").inputs if field.name == "style"]

    assert style.choices == STYLES
