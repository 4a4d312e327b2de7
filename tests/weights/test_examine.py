"""From the first bytes of a file to what it is; whatever its names say, that takes no time."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from penstock.domain.weights import FITTING, Category, Declaration, VerdictKind
from penstock.weights.examine import examine

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles


def head(names: list[str]) -> bytes:
    tensors = {
        name: {"dtype": "F16", "shape": [320, 768], "data_offsets": [at, at + 491_520]} for at, name in places(names)
    }
    content = json.dumps(tensors).encode()
    return struct.pack("<Q", len(content)) + content


def places(names: list[str]) -> list[tuple[int, str]]:
    return [(place * 491_520, name) for place, name in enumerate(names)]


def test_every_model_is_recognised_by_its_beginning_and_fits_what_it_is(model_files: ModelFiles) -> None:
    wrong = {}
    for name, case in model_files.cases.items():
        content = model_files.path(name, "head").read_bytes()
        size = model_files.path(name, "true").stat().st_size
        seen = examine(content, size=size, declared=None)
        if (seen.category, seen.verdict, seen.size, seen.header_size) != (case["category"], None, size, len(content)):
            wrong[name] = seen
        for architecture in case["accepts"][:1]:
            declared = Declaration(category=Category(case["category"]), architecture=architecture, type=case["type"])
            if examine(content, size=size, declared=declared).verdict not in FITTING:
                wrong[name] = seen

    assert wrong == {}


@pytest.mark.parametrize("number", ["999999999999", "9" * 5000, "²", "\u0661", "-1", "00"])
@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.input_blocks.{}.1.transformer_blocks.0.attn2.to_k.weight",
        "down_blocks.0.attentions.0.transformer_blocks.{}.attn2.to_k.weight",
        "double_blocks.{}.img_attn.qkv.weight",
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_{}_attn2_to_k.lora_down.weight",
        "transformer_blocks.{}.attn.to_k.lora_A.weight",
    ],
)
def test_a_block_of_any_number_is_looked_at_in_no_time(name: str, number: str) -> None:
    names = [name.format(index) for index in ("0", "1", "2", number)]

    seen = examine(head(names), size=None, declared=Declaration(category=Category.LORA, architecture="sdxl"))

    assert seen.verdict is not None


def test_an_architecture_that_the_operator_allows_passes_unverified(model_files: ModelFiles) -> None:
    head = model_files.path("checkpoint/sd21_full", "head").read_bytes()
    declared = Declaration(category=Category.CHECKPOINT, architecture="sd2x", type="base")

    examination = examine(head, size=None, declared=declared)

    assert examination.verdict is VerdictKind.MATCH_UNVERIFIED
    assert examination.warnings == ("nothing is known here of the architecture sd2x, which the operator allows",)


def test_what_was_found_stands_beside_the_verdict(model_files: ModelFiles) -> None:
    head = model_files.path("lora/sdxl_kohya", "head").read_bytes()

    examination = examine(head, size=None, declared=Declaration(category=Category.LORA, architecture="sd1x"))

    assert examination.verdict is VerdictKind.MISMATCH
    assert (examination.category, examination.family, examination.algorithm) == (Category.LORA, "sdxl", "lora")
    assert examination.architectures[0] == "sdxl"
    assert "Declare it as lora, architecture one of sdxl, pony," in examination.message


def test_a_file_that_was_not_declared_has_proposals_and_no_verdict(model_files: ModelFiles) -> None:
    head = model_files.path("checkpoint/sdxl_turbo_full", "head").read_bytes()

    examination = examine(head, size=None, declared=None)

    assert (examination.verdict, examination.message) == (None, "")
    assert (examination.architectures[0], examination.type) == ("sdxlturbo", "base")
    assert examination.suggestions == {"name": "fixture"}
