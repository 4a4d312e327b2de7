from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.weights import Category, Declaration, VerdictKind
from penstock.weights.examine import examine

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles


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
