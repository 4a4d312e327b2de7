"""The demo catalog and the builtin runner fit together."""

from __future__ import annotations

import tomllib
from importlib import resources

from penstock.adapters.runners.builtin.models import MODELS
from penstock.adapters.runners.builtin.wording import STYLES
from penstock.domain.catalog import parse_catalog


def test_every_builtin_model_of_the_demo_catalog_exists_and_each_is_listed() -> None:
    catalog = parse_catalog(tomllib.loads(resources.files("penstock").joinpath("demo_catalog.toml").read_text("utf-8")))

    assert {model.runner_model for model in catalog.models if model.runner == "builtin"} == set(MODELS)


def test_the_documented_example_names_are_aliases() -> None:
    catalog = parse_catalog(tomllib.loads(resources.files("penstock").joinpath("demo_catalog.toml").read_text("utf-8")))

    assert catalog.find("swook/inspyrenet").slug == "builtin/remove-background"
    assert catalog.find("flux-1.1-pro").slug == "builtin/stylize"


def test_the_styles_on_offer_are_the_styles_that_exist() -> None:
    catalog = parse_catalog(tomllib.loads(resources.files("penstock").joinpath("demo_catalog.toml").read_text("utf-8")))
    (style,) = [field for field in catalog.find("builtin/stylize").inputs if field.name == "style"]

    assert style.choices == STYLES
