"""Whatever stands in a header, and whatever happens to the child that reads it, the caller gets an answer."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.children import NoMessageError
from penstock.adapters.weights import wire
from penstock.adapters.weights.examiner import ChildExaminer, ExaminerOptions
from penstock.domain.errors import NotSafetensors, Unavailable
from penstock.domain.weights import Category, DtypeShare, Evidence, Examination, VerdictKind
from penstock.ports.jobs import AttemptInterruptedError
from penstock.telemetry import Log
from tests.support.children import ended_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.model_files import ModelFiles

MINIMAL = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}


def head(header: object) -> bytes:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content


@pytest.fixture(scope="module")
def examiner() -> Iterator[ChildExaminer]:
    made = ChildExaminer(Log("test", None), options=ExaminerOptions(children=1))
    yield made
    made.close()


def examined(examiner: ChildExaminer, content: bytes, *, size: int | None = None) -> Examination:
    end = examiner.header_end(content[:4096], size=size)
    return examiner.examine(content[:end], size=size, declared=None)


def many_tensors(count: int) -> bytes:
    field = '"data_offsets":[0,0],"shape":[0],"dtype":"U8"'
    return ("{" + ",".join(f'"{number}":{{{field}}}' for number in range(count)) + "}").encode()


def test_a_file_is_examined_by_its_beginning(examiner: ChildExaminer, model_files: ModelFiles) -> None:
    for name in ("checkpoint/sdxl_full", "lora/sdxl_kohya"):
        case = model_files.cases[name]
        size = model_files.path(name, "true").stat().st_size

        seen = examined(examiner, model_files.path(name, "head").read_bytes(), size=size)

        assert (seen.size, seen.tensors, seen.misaligned) == (size, case["tensors"], 0)
        assert seen.size - seen.header_size == case["true_size"]
        assert sum(share.bytes for share in seen.dtypes) == case["true_size"]
        assert sum(share.tensors for share in seen.dtypes) == case["tensors"]


@pytest.mark.parametrize(
    ("content", "reason", "looks_like"),
    [
        (head({"a": {}}), 'tensor "a" has no dtype', None),
        (b"GGUF\x03\0\0\0" + bytes(64), "GGUF weights", "application/x-gguf"),
        ("Access denied".encode("utf-16"), "text in UTF-8 or UTF-16", "text/plain"),
        (b"\xef\xbb\xbf<!DOCTYPE html><p>Log in", "HTML page", "text/html"),
        (head(b'{"\xff":1}'), "not UTF-8", None),
        (head(b'{"\\ud800":1}'), "half of a surrogate pair", None),
    ],
)
def test_a_refusal_tells_the_reason_and_what_the_file_looks_like(
    examiner: ChildExaminer, content: bytes, reason: str, looks_like: str | None
) -> None:
    with pytest.raises(NotSafetensors, match=reason) as refused:
        examiner.examine(content, size=None, declared=None)

    assert refused.value.looks_like == looks_like


def test_a_header_that_is_cut_off_or_over_the_caps_is_refused(examiner: ChildExaminer) -> None:
    with pytest.raises(NotSafetensors, match="cut off"):
        examiner.examine(head(MINIMAL)[:-5], size=None, declared=None)
    with pytest.raises(NotSafetensors, match="at most 16777216 are read here"):
        examiner.header_end(struct.pack("<Q", 17 << 20) + b"{", size=None)
    with pytest.raises(NotSafetensors, match="the file has 100001 tensors; at most 100000 are taken here"):
        examined(examiner, head(many_tensors(100_001)))


def test_one_child_reads_file_after_file(examiner: ChildExaminer) -> None:
    examined(examiner, head(MINIMAL))
    first = examiner.processes()
    with pytest.raises(NotSafetensors):
        examined(examiner, head({}))
    examined(examiner, head(MINIMAL))

    assert examiner.processes() == first
    assert len(first) == 1


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: b'{"a":' + b"[" * 4_000_000, "nested too deeply"),
        (
            lambda: b'{"a":{"dtype":"F32","shape":[' + b"18446744073709551615," * 300_000 + b"2]" + b"}}",
            "no data_offsets",
        ),
        (lambda: b'{"a":' + b"9" * 4_000_000 + b"}", "a number beyond 64 bits"),
        (lambda: b'{"a":[' + b"1.5," * 1_000_000 + b"0]}", "it must be an object"),
    ],
    ids=["brackets", "dimensions", "digits", "numbers"],
)
def test_a_bomb_is_refused_for_a_reason(examiner: ChildExaminer, build: object, reason: str) -> None:
    assert callable(build)
    with pytest.raises(NotSafetensors, match=reason):
        examined(examiner, head(build()))

    assert examined(examiner, head(MINIMAL)).tensors == 1


def test_a_header_that_takes_too_much_memory_is_refused_and_the_next_one_read() -> None:
    options = ExaminerOptions(children=1, memory_bytes=96 << 20)
    examiner = ChildExaminer(Log("test", None), options=options)
    examined(examiner, head(MINIMAL))

    with pytest.raises(NotSafetensors, match="takes more memory than is allowed"):
        examined(examiner, head(b'{"a":[' + b"[]," * 3_000_000 + b"[]]}"))
    after = examined(examiner, head(MINIMAL))

    examiner.close()
    assert after.tensors == 1


def test_a_header_that_takes_too_long_is_refused_and_its_child_ended() -> None:
    examiner = ChildExaminer(Log("test", None), options=ExaminerOptions(children=1, seconds=0.0001))

    with pytest.raises(NotSafetensors, match="takes longer than is allowed"):
        examined(examiner, head(many_tensors(100_000)))
    left = examiner.processes()

    examiner.close()
    assert left == []


def test_a_long_legal_header_is_read_and_its_child_replaced() -> None:
    examiner = ChildExaminer(Log("test", None), options=ExaminerOptions(children=1))

    seen = examined(examiner, head(b'{"__metadata__":{"a":"' + b"x" * (10 << 20) + b'"},' + many_tensors(100_000)[1:]))
    left = examiner.processes()

    examiner.close()
    assert seen.tensors == 100_000
    assert left == []  # what it took, it might keep


def test_a_child_that_is_killed_while_it_waits_is_followed_by_another(examiner: ChildExaminer) -> None:
    examined(examiner, head(MINIMAL))
    for child in examiner.processes():
        os.kill(child, signal.SIGKILL)

    assert examined(examiner, head(MINIMAL)).tensors == 1


def test_a_reader_that_is_killed_each_time_says_nothing_against_the_file(tmp_path: Path) -> None:
    examiner = ChildExaminer(Log("test", None), python=ended_by(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"))

    with pytest.raises(Unavailable, match="ended from outside"):
        examiner.examine(head(MINIMAL), size=None, declared=None)
    examiner.close()


def test_a_reader_that_breaks_each_time_refuses_the_file(tmp_path: Path) -> None:
    examiner = ChildExaminer(Log("test", None), python=ended_by(tmp_path, "os.abort()"))

    with pytest.raises(NotSafetensors, match="built in a way that breaks its reader"):
        examiner.examine(head(MINIMAL), size=None, declared=None)
    examiner.close()


def test_without_a_child_nothing_is_said_against_the_file() -> None:
    examiner = ChildExaminer(Log("test", None), python="/bin/false")

    with pytest.raises(Unavailable):
        examiner.examine(head(MINIMAL), size=None, declared=None)
    examiner.close()


def test_a_server_that_stops_interrupts() -> None:
    examiner = ChildExaminer(Log("test", None))
    examiner.close()

    with pytest.raises(AttemptInterruptedError):
        examiner.examine(head(MINIMAL), size=None, declared=None)


def test_the_walls_are_told_once() -> None:
    stream = io.StringIO()
    examiner = ChildExaminer(Log("test", stream), options=ExaminerOptions(children=1, files_per_child=1))
    for _ in range(2):
        examined(examiner, head(MINIMAL))

    examiner.close()
    (told,) = map(json.loads, stream.getvalue().splitlines())
    assert told["event"] == "weights.isolation"
    assert set(told) >= {"network", "files", "calls", "limits", "parent"}


def test_an_examination_survives_the_way_from_the_child() -> None:
    seen = Examination(
        verdict=VerdictKind.MATCH,
        category=Category.LORA,
        family="sdxl",
        architectures=("sdxl", "pony"),
        type="base",
        conditioning="depth",
        algorithm="loha",
        evidence=(Evidence(key="a.b", shape=(4, 320)),),
        warnings=("it is large",),
        message="a LoRA of SDXL",
        suggestions={"name": "Sketches"},
        size=100,
        header_size=50,
        tensors=2,
        dtypes=(DtypeShare(dtype="F16", tensors=2, bytes=50),),
        misaligned=1,
    )

    assert wire.parse_answer(json.loads(json.dumps(wire.answer(seen))), b"") == seen


@pytest.mark.parametrize(
    "changed",
    [
        {"verdict": "splendid"},
        {"category": 5},
        {"size": -1},
        {"tensors": True},
        {"evidence": [{"key": "a"}]},
        {"evidence": {"key": "a"}},
        {"message": None},
        {"suggestions": []},
        {"dtypes": [[]]},
    ],
)
def test_an_answer_that_cannot_be_one_is_none(changed: dict[str, object]) -> None:
    fine = wire.answer(Examination(verdict=None, category=None, family=None, size=1, header_size=1, tensors=1))["seen"]
    assert isinstance(fine, dict)

    with pytest.raises(NoMessageError):
        wire.parse_answer({"seen": {**fine, **changed}}, b"")
    with pytest.raises(NoMessageError):
        wire.parse_answer({}, b"")
