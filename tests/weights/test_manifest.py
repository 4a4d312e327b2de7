from __future__ import annotations

import json
from typing import TYPE_CHECKING

from blake3 import blake3

from penstock.weights.manifest import summary
from tests.weights.rewriting import Subject, data_of, file_of, header_of, manifest_of, plan_of, rewritten, survey_of

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles


def test_a_manifest_says_of_each_tensor_where_it_is_and_what_became_of_it(model_files: ModelFiles) -> None:
    content = model_files.for_optimising("opt/mixed_fp32").read_bytes()
    subject = Subject(content=content, family="sd1")
    new = rewritten(subject)

    found = manifest_of(subject)

    old_data, new_data, header = data_of(content), data_of(new), header_of(new)
    assert [entry["name"] for entry in found["tensors"]] == [tensor.name for tensor in header.tensors]
    for entry in found["tensors"]:
        tensor = header.by_name[entry["name"]]
        assert (entry["dtype"], entry["offsets"]) == (tensor.dtype, [tensor.begin, tensor.end])
        assert entry["blake3"] == blake3(new_data[tensor.name]).hexdigest()
        assert entry["source_blake3"] == blake3(old_data[tensor.name]).hexdigest()
        assert entry["action"] == ("kept" if entry["blake3"] == entry["source_blake3"] else "narrowed")
    narrowed = [entry for entry in found["tensors"] if entry["action"] == "narrowed"]
    assert [entry["sqnr_db"] > 65 for entry in narrowed] == [True] * 4
    assert {entry["name"]: entry["reason"] for entry in found["dropped"]} == dict.fromkeys(
        model_files.manifest["opt"]["opt/mixed_fp32"]["drop"], "left over from training"
    )


def test_a_summary_counts_types_bytes_and_pages_before_and_after() -> None:
    pages = ("F32", (2048,), bytes(8192))
    content = file_of({"odd": ("U8", (3,), bytes(3)), "a": pages, "b": pages, "model_ema.a": pages})
    subject = Subject(content=content)
    survey = survey_of(subject)

    found = summary(subject.header, plan_of(subject, survey), survey, stored_sha256="-")

    assert found["dtypes_before"] == {"F32": {"tensors": 3, "bytes": 24576}, "U8": {"tensors": 1, "bytes": 3}}
    assert found["dtypes_after"] == {"BF16": {"tensors": 2, "bytes": 8192}, "U8": {"tensors": 1, "bytes": 3}}
    assert (found["narrowed_count"], found["dropped_names"], found["dropped_bytes"]) == (2, ["model_ema.a"], 8192)
    assert (found["on_pages_before"], found["on_pages_after"]) == (0, 1)
    assert found["saved_bytes"] == len(content) - len(rewritten(subject))


def test_a_summary_stays_small_however_much_there_is_to_tell() -> None:
    content = file_of(
        {f"model_ema.{'x' * 100}{i}": ("F32", (2,), bytes(8)) for i in range(3000)} | {"w": ("F32", (2,), bytes(8))}
    )
    subject = Subject(content=content)
    survey = survey_of(subject)

    found = summary(subject.header, plan_of(subject, survey), survey, stored_sha256="-")

    names = found["dropped_names"]
    assert isinstance(names, list)
    assert names[-1] == "… and 2980 more"
    assert len(json.dumps(found)) < 5000
