from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from penstock.weights.convert import ChangedError, Conversion, Passage
from penstock.weights.header import DTYPE_BITS
from penstock.weights.kernels import BLOCK, BOUNDS
from penstock.weights.plan import PAGE
from penstock.weights.policy import Options
from penstock.weights.survey import Survey
from tests.weights.rewriting import (
    Subject,
    carried_out,
    data_of,
    file_of,
    header_of,
    in_one_pass,
    manifest_of,
    plan_of,
    rewritten,
    survey_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.model_files import ModelFiles

VALUES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}


def values(data: bytes, dtype: str) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # a NaN that signals
        return np.frombuffer(data, VALUES[dtype]).astype(np.float64)


def assert_within_bounds(old: bytes, new: bytes) -> None:
    """Every tensor of the new file is that of the old one, byte for byte or number for number within its bound."""
    was, became = header_of(old).by_name, header_of(new).by_name
    bytes_before, bytes_after = data_of(old), data_of(new)
    for name, tensor in became.items():
        assert tensor.shape == was[name].shape
        if tensor.dtype == was[name].dtype:
            assert bytes_after[name] == bytes_before[name]
            continue
        bound = BOUNDS[tensor.dtype]
        before, after = values(bytes_before[name], was[name].dtype), values(bytes_after[name], tensor.dtype)
        finite = np.isfinite(before)
        error = np.abs(before[finite] - after[finite])
        assert (error <= np.abs(before[finite]) * bound.relative + bound.absolute).all()
        assert np.array_equal(before[~finite], after[~finite], equal_nan=True)


@pytest.mark.statement("RU-99")
def test_every_kind_of_model_opens_with_the_official_library_and_is_what_it_was(
    model_files: ModelFiles, tmp_path: Path
) -> None:
    path = tmp_path / "new.safetensors"
    for name, case in model_files.cases.items():
        old = model_files.path(name).read_bytes()
        subject = Subject(content=old, category=case["category"], family=case["family"])

        survey = survey_of(subject)
        plan = plan_of(subject, survey)
        new = carried_out(subject, plan, survey)

        path.write_bytes(new)
        dropped = {tensor.name for tensor, _ in plan.dropped}
        with safe_open(path, "numpy") as opened:
            assert set(opened.keys()) == header_of(old).by_name.keys() - dropped, name
            for tensor in plan.pieces[::50]:
                assert opened.get_slice(tensor.name).get_shape() == list(tensor.tensor.shape)
        assert_within_bounds(old, new)
        again = replace(subject, content=new, block=len(new))
        assert plan_of(again, survey_of(again)).unchanged, name
        assert in_one_pass(replace(subject, block=9_001)) == new, name


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("target", ["BF16", "F16"])
def test_the_mixed_file_is_converted_to_the_very_bits_that_its_makers_expect(
    model_files: ModelFiles, target: str
) -> None:
    content = model_files.for_optimising("opt/mixed_fp32").read_bytes()
    expected = model_files.manifest["opt"]["opt/mixed_fp32"]
    options = Options(narrow="BF16", vae="BF16") if target == "BF16" else Options(narrow="F16")

    new = rewritten(Subject(content=content, family=None, options=options))

    data = data_of(new)
    vae = {"first_stage_model.decoder.conv_in.weight"} if target == "F16" else set()
    hashes = {
        name: tensor[{"BF16": "bf16_sha256", "F16": "fp16_sha256"}[target]]
        for name, tensor in expected["tensors"].items()
        if name in set(expected["convert"]) - vae
    }
    kept = {name: expected["tensors"][name]["sha256"] for name in {*expected["keep_exact"], *vae}}
    assert {name: sha(part) for name, part in data.items()} == hashes | kept
    assert expected["drop"] == sorted(header_of(content).by_name.keys() - data.keys())


@pytest.mark.parametrize("case", ["opt/dedupe_v1", "opt/dedupe_v2", "opt/fp16_overflow", "opt/nonfinite"])
def test_finite_numbers_become_the_very_bits_that_their_makers_expect(model_files: ModelFiles, case: str) -> None:
    content = model_files.for_optimising(case).read_bytes()
    expected = model_files.manifest["opt"][case]["tensors"]

    for family, key in (("flux1", "bf16_sha256"), ("sdxl", "fp16_sha256")):
        new = data_of(rewritten(Subject(content=content, family=family)))

        assert {name: sha(new[name]) for name in new if key in expected[name]} == {
            name: tensor[key] for name, tensor in expected.items() if key in tensor
        }


def test_equal_tensors_of_two_files_stay_equal(model_files: ModelFiles) -> None:
    first, second = (
        manifest_of(Subject(content=model_files.for_optimising(f"opt/dedupe_v{version}").read_bytes()))
        for version in (1, 2)
    )

    of_first = {tensor["name"]: tensor["blake3"] for tensor in first["tensors"]}
    of_second = {tensor["name"]: tensor["blake3"] for tensor in second["tensors"]}

    shared = {name for name in of_first if of_second[name] == of_first[name]}
    assert len(shared) == model_files.manifest["opt"]["opt/dedupe_v2"]["shared_with_v1"]
    assert of_second["copy_of_t00.weight"] == of_second["t00.weight"]


def test_a_tensor_with_numbers_too_large_keeps_its_type_and_says_why(model_files: ModelFiles) -> None:
    content = model_files.for_optimising("opt/fp16_overflow").read_bytes()
    subject = Subject(content=content, family="sdxl")

    new = rewritten(subject)

    assert {name: tensor.dtype for name, tensor in header_of(new).by_name.items()} == {"w": "F32", "ok": "F16"}
    assert data_of(new)["w"] == data_of(content)["w"]
    assert manifest_of(subject)["refused"] == ["w: 3 numbers do not fit into F16"]
    assert in_one_pass(subject) is None


def test_what_is_no_number_is_counted_and_stays_what_it_is(model_files: ModelFiles) -> None:
    content = model_files.for_optimising("opt/nonfinite").read_bytes()
    subject = Subject(content=content)

    found = manifest_of(subject)

    assert found["nonfinite"] == ["w"]
    assert {tensor["name"]: tensor["nonfinite"] for tensor in found["tensors"]} == {"w": 3, "ok": 0}
    assert_within_bounds(content, rewritten(subject))


def test_numbers_that_f16_holds_too_coarsely_keep_their_type() -> None:
    small, fine = (
        (np.random.default_rng(3).standard_normal(4096) * scale).astype(np.float32).tobytes() for scale in (1e-5, 1e-3)
    )
    subject = Subject(
        content=file_of({"small": ("F32", (4096,), small), "fine": ("F32", (64, 64), fine)}), family="sd1"
    )

    types = {tensor.name: tensor.dtype for tensor in header_of(rewritten(subject)).tensors}

    assert types == {"small": "F32", "fine": "F16"}
    assert manifest_of(subject)["refused"] == ["small: 55.29 dB as F16 are too few"]


def test_a_tensor_larger_than_many_blocks_is_the_same_in_blocks_of_any_size() -> None:
    numbers = np.random.default_rng(5).standard_normal(3 * BLOCK // 4 + 1234, np.float32)
    content = file_of({"odd": ("U8", (3,), b"abc"), "w": ("F32", numbers.shape, numbers.tobytes())}, pad=3)

    results = {
        (rewritten(replace(subject, block=size)), json.dumps(survey_of(replace(subject, block=size)).as_json()))
        for subject in [Subject(content=content)]
        for size in (997, BLOCK, BLOCK + 1, len(content))
    }

    assert len(results) == 1
    assert_within_bounds(content, results.pop()[0])


def test_tensors_without_numbers_and_single_numbers_stay_as_they_are() -> None:
    tensors = {
        "empty first": ("F32", (0, 7), b""),
        "scalar": ("F32", (), np.float32(3.14159).tobytes()),
        "one": ("F32", (1, 1), np.float32(2.71828).tobytes()),
        "empty last": ("F16", (4, 0), b""),
    }
    content = file_of(tensors)

    new = rewritten(Subject(content=content))

    assert data_of(new) == data_of(content)
    assert in_one_pass(Subject(content=content)) == new


def test_a_file_of_nothing_but_empty_tensors_is_rewritten() -> None:
    content = file_of({"a": ("F32", (0,), b""), "b": ("I64", (0, 2), b"")})

    new = rewritten(Subject(content=content))

    assert data_of(new) == {"a": b"", "b": b""}
    assert in_one_pass(Subject(content=content, block=7)) == new


def test_tensors_of_whole_pages_begin_on_pages_and_all_others_on_their_own_size() -> None:
    content = file_of(
        {
            "misaligned": ("U8", (1,), b"x"),
            "small": ("F16", (3,), bytes(6)),
            "pages": ("BF16", (4096,), bytes(8192)),
            "wide": ("I64", (2,), bytes(16)),
            "more pages": ("U8", (4096,), bytes(4096)),
        }
    )

    header = header_of(rewritten(Subject(content=content)))

    assert header.data_start % PAGE == 0
    assert [tensor.name for tensor in header.tensors] == ["pages", "more pages", "wide", "small", "misaligned"]
    assert all(tensor.begin % PAGE == 0 for tensor in header.tensors[:2])
    assert all(tensor.begin % (DTYPE_BITS[tensor.dtype] // 8) == 0 for tensor in header.tensors)


def test_more_than_memory_may_hold_is_read_in_the_order_of_the_new_file(monkeypatch: pytest.MonkeyPatch) -> None:
    content = file_of(
        {f"t{i}": ("F32", (101 + i,), np.arange(101 + i, dtype=np.float32).tobytes()) for i in range(9)}
        | {"pages": ("F32", (2048,), bytes(8192)), "byte": ("U8", (3,), b"abc"), "none": ("F32", (0,), b"")}
    )
    subject = Subject(content=content)
    survey = survey_of(subject)
    plan = plan_of(subject, survey)
    held = carried_out(subject, plan, survey)

    monkeypatch.setattr("penstock.weights.convert.HOLD", 100)

    assert plan.held > 100
    assert carried_out(subject, plan, survey) == held


def test_the_parts_of_a_file_that_are_dropped_are_not_read() -> None:
    content = file_of(
        {
            "a": ("BF16", (2048,), bytes(4096)),
            "model_ema.a": ("F32", (1 << 19,), bytes(2 << 20)),
            "b": ("BF16", (2048,), bytes(4096)),
        }
    )
    subject = Subject(content=content)
    survey = survey_of(subject)
    plan = plan_of(subject, survey)
    asked = []

    def read(begin: int, end: int) -> list[bytes]:
        asked.append(end - begin)
        return [content[begin:end]]

    list(Conversion(subject.header, plan, survey, read).blocks())

    assert asked == [4096, 4096]


def test_a_tensor_that_changed_after_the_survey_is_found() -> None:
    content = file_of({"kept": ("BF16", (64,), bytes(128)), "narrowed": ("F32", (64,), bytes(256))})
    subject = Subject(content=content)
    survey = survey_of(subject)
    plan = plan_of(subject, survey)

    for at in (-300, -10):
        changed = bytearray(content)
        changed[at] ^= 1
        with pytest.raises(ChangedError):
            carried_out(replace(subject, content=bytes(changed)), plan, survey)


def test_a_survey_that_is_kept_as_json_is_the_same_survey(model_files: ModelFiles) -> None:
    for case in ("opt/mixed_fp32", "opt/nonfinite", "opt/fp16_overflow"):
        survey = survey_of(Subject(content=model_files.for_optimising(case).read_bytes(), family="sd1"))

        assert Survey.of_json(json.loads(json.dumps(survey.as_json(), allow_nan=False))) == survey


DTYPES = sorted(DTYPE_BITS)
SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    names = draw(
        st.lists(
            st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__" and name.isprintable()),
            min_size=1,
            max_size=6,
            unique=True,
        )
    )
    tensors = {}
    for name in names:
        dtype, shape = draw(st.sampled_from(DTYPES)), draw(SHAPES)
        bits = math.prod(shape) * DTYPE_BITS[dtype]
        if bits % 8:
            dtype, bits = "U8", math.prod(shape) * 8
        seed = draw(st.integers(0, 1 << 32))
        tensors[name] = (dtype, shape, np.random.default_rng(seed).bytes(bits // 8))
    metadata = draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
    return file_of(tensors, metadata, pad=draw(st.integers(0, 9)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=contents(), family=st.sampled_from(["flux1", "sdxl", None]), block=st.integers(1, 5000))
def test_any_file_is_itself_again_within_its_bounds_and_stays_so(
    content: bytes, family: str | None, block: int
) -> None:
    subject = Subject(content=content, family=family, block=block)

    new = rewritten(subject)

    assert header_of(new).by_name.keys() == header_of(content).by_name.keys()
    assert_within_bounds(content, new)
    assert rewritten(replace(subject, content=new)) == new
    if not plan_of(subject, survey_of(subject)).unchanged:
        assert in_one_pass(subject) in {None, new}


def test_a_pass_that_would_hold_too_much_is_not_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(content=file_of({"w": ("F32", (3,), bytes(12))}))

    assert Passage(subject.header, **subject.said).is_possible
    monkeypatch.setattr("penstock.weights.convert.HOLD", 5)
    assert not Passage(subject.header, **subject.said).is_possible
