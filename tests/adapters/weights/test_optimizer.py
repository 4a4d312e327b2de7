from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from penstock.adapters.weights.optimizer import Optimizer
from penstock.domain.weights import Category
from penstock.ports.weights import WeightsChangedError
from penstock.weights.policy import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.ports.weights import RewritePlan, Survey
    from tests.support.model_files import ModelFiles


@dataclass(frozen=True)
class Rewritten:
    content: bytes
    plan: RewritePlan
    survey: Survey
    manifest: bytes
    summary: Mapping[str, object]


def head_of(content: bytes) -> bytes:
    return content[: 8 + int.from_bytes(content[:8], "little")]


def blocks_of(content: bytes, size: int) -> Iterator[bytes]:
    return (content[begin : begin + size] for begin in range(0, len(content), size))


def surveyed(content: bytes, category: Category, family: str, *, block: int = 70_001) -> Survey:
    surveyor = Optimizer().surveyor(head_of(content), category=category, family=family)
    try:
        for part in blocks_of(content, block):
            surveyor.update(part)
        kept: Survey = json.loads(json.dumps(surveyor.finish(), allow_nan=False))
    finally:
        surveyor.close()
    return kept


def in_two_passes(content: bytes, category: Category, family: str) -> Rewritten:
    survey = surveyed(content, category, family)
    plan = Optimizer().plan(head_of(content), survey)
    rewriting = Optimizer().rewrite(head_of(content), survey, lambda begin, end: blocks_of(content[begin:end], 9_999))
    new = content if plan.unchanged else b"".join(rewriting.blocks())
    return Rewritten(new, plan, survey, *rewriting.manifest())


def in_one_pass(content: bytes, category: Category, family: str) -> Rewritten:
    passing = Optimizer().passing(head_of(content), category=category, family=family)
    assert passing is not None
    try:
        new = [block for part in blocks_of(content, 12_345) for block in passing.update(part)]
        survey, rest = passing.finish()
        assert not passing.refuted
        manifest, summary = passing.manifest()
    finally:
        passing.close()
    return Rewritten(b"".join([*new, *rest]), passing.plan, survey, manifest, summary)


def test_one_pass_writes_and_finds_what_two_passes_do(model_files: ModelFiles) -> None:
    content = model_files.path("checkpoint/sd15_ema_fp32").read_bytes()

    two, one = (way(content, Category.CHECKPOINT, "sd1") for way in (in_two_passes, in_one_pass))

    assert one == two
    assert two.plan.size == len(two.content)
    assert two.summary["stored_sha256"] == sha256(two.content).hexdigest()
    assert two.summary["source_sha256"] == sha256(content).hexdigest()


def test_a_file_that_was_rewritten_is_left_as_it_is(model_files: ModelFiles) -> None:
    content = model_files.for_optimising("opt/mixed_fp32").read_bytes()
    once = in_two_passes(content, Category.CHECKPOINT, "flux1")

    twice = in_two_passes(once.content, Category.CHECKPOINT, "flux1")

    assert twice.plan.unchanged
    assert twice.plan.size == len(once.content)
    assert twice.summary["stored_sha256"] == twice.summary["source_sha256"] == once.summary["stored_sha256"]
    assert json.loads(twice.manifest)["unchanged"] is True


def test_what_an_operator_chose_is_what_is_planned(model_files: ModelFiles) -> None:
    head = head_of(model_files.for_optimising("opt/dedupe_v1").read_bytes())

    sizes = []
    for options in (Options(), Options(narrow="off")):
        passing = Optimizer(options).passing(head, category=Category.CHECKPOINT, family="flux1")
        assert passing is not None
        sizes.append(passing.plan.size)
        passing.close()

    assert sizes == [4096 + 10 * 64 * 64 * 2, 4096 + 10 * 64 * 64 * 4]


def test_numbers_too_large_refute_one_pass_and_stay_as_they_are_in_two(model_files: ModelFiles) -> None:
    content = model_files.for_optimising("opt/fp16_overflow").read_bytes()
    passing = Optimizer().passing(head_of(content), category=Category.CHECKPOINT, family="sdxl")
    assert passing is not None
    for part in blocks_of(content, 1000):
        passing.update(part)
    survey, rest = passing.finish()
    passing.close()

    rewritten = in_two_passes(content, Category.CHECKPOINT, "sdxl")

    assert passing.refuted
    assert rest == []
    assert json.loads(json.dumps(survey)) == rewritten.survey
    assert rewritten.plan.fingerprint != passing.plan.fingerprint
    assert rewritten.summary["refused"] == ["w: 3 numbers do not fit into F16"]
    with pytest.raises(WeightsChangedError):
        passing.manifest()


def test_a_source_that_has_changed_since_its_survey_is_told(model_files: ModelFiles) -> None:
    content = model_files.for_optimising("opt/dedupe_v1").read_bytes()
    survey = surveyed(content, Category.CHECKPOINT, "flux1")
    flipped = content[:-1] + bytes([content[-1] ^ 1])

    def rewrite(source: bytes) -> None:
        rewriting = Optimizer().rewrite(head_of(content), survey, lambda begin, end: [source[begin:end]])
        for _ in rewriting.blocks():
            pass

    with pytest.raises(WeightsChangedError, match="t09"):
        rewrite(flipped)
    with pytest.raises(WeightsChangedError, match="less came"):
        rewrite(content[:-1])


@pytest.mark.parametrize("cut", [slice(None, -1), slice(None, 5)])
def test_a_file_that_ends_early_has_no_survey(model_files: ModelFiles, cut: slice) -> None:
    content = model_files.for_optimising("opt/dedupe_v1").read_bytes()
    surveyor = Optimizer().surveyor(head_of(content), category=Category.CHECKPOINT, family="flux1")
    surveyor.update(content[cut])

    with pytest.raises(WeightsChangedError, match="the file ends after"):
        surveyor.finish()
    surveyor.close()


def test_a_file_that_goes_on_too_long_has_no_survey(model_files: ModelFiles) -> None:
    content = model_files.for_optimising("opt/dedupe_v1").read_bytes()
    passing = Optimizer().passing(head_of(content), category=Category.CHECKPOINT, family="flux1")
    assert passing is not None
    passing.update(content + b"more")

    with pytest.raises(WeightsChangedError, match="4 bytes beyond"):
        passing.finish()
    passing.close()


def test_whoever_imports_the_optimizer_does_not_pay_for_arrays() -> None:
    code = """
import sys
from penstock.adapters.weights.optimizer import Optimizer
Optimizer()
print({"numpy", "ml_dtypes", "blake3"} & sys.modules.keys())
"""

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout.strip() == "set()"


def test_the_metadata_that_hold_the_hash_of_the_data_hold_that_of_the_new_data(model_files: ModelFiles) -> None:
    content = with_metadata(
        model_files.for_optimising("opt/dedupe_v1").read_bytes(),
        {"modelspec.hash_sha256": "0xabc", "sshs_model_hash": "abc", "sshs_legacy_hash": "abc", "format": "pt"},
    )

    rewritten = in_two_passes(content, Category.CHECKPOINT, "flux1")

    data = rewritten.content[len(head_of(rewritten.content)) :]
    metadata = json.loads(head_of(rewritten.content)[8:])["__metadata__"]
    assert metadata["modelspec.hash_sha256"] == "0x" + sha256(data).hexdigest()
    assert metadata["sshs_model_hash"] == sha256(data).hexdigest()
    assert metadata["format"] == "pt"
    assert "sshs_legacy_hash" not in metadata
    assert Optimizer().passing(head_of(content), category=Category.CHECKPOINT, family="flux1") is None
    assert in_two_passes(rewritten.content, Category.CHECKPOINT, "flux1").plan.unchanged


def with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    entries: dict[str, Any] = json.loads(head_of(content)[8:])
    text = json.dumps({**entries, "__metadata__": metadata}).encode()
    return len(text).to_bytes(8, "little") + text + content[len(head_of(content)) :]
