"""The pages name every key of a catalog, and no other."""

from __future__ import annotations

import re
import tomllib

from penstock.domain.catalog import Binding, InputField, Model
from penstock.domain.catalog_parsing import parse_catalog
from tests.support import pages

PAGE = "howto/own-models.md"


def test_every_key_of_a_model_is_on_the_page() -> None:
    keys = set(Model.__dataclass_fields__) - {"inputs", "outputs"} | {"input", "output"}

    assert _documented("Keys of a model") == keys


def test_every_key_of_an_input_is_on_the_page() -> None:
    assert _documented("Keys of an input") == set(InputField.__dataclass_fields__)


def test_every_key_of_a_binding_is_on_the_page() -> None:
    assert _documented("Keys of a binding") == set(Binding.__dataclass_fields__) - {"model"}


def test_the_examples_are_catalogs() -> None:
    examples = [block.code for block in pages.blocks(PAGE) if block.language == "toml"]

    slugs = [[model.slug for model in parse_catalog(tomllib.loads(example)).models] for example in examples]

    assert slugs == [["acme/cut-out", "acme/sketch"], ["acme/enhance"], []]


def _documented(heading: str) -> set[str]:
    """The words in the first column of the table under a heading."""
    text = (pages.ROOT / "docs" / PAGE).read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {key for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
