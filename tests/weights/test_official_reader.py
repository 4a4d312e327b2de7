"""Beside the official reader: what we take it takes, and what only we refuse breaks one of the rules that we add."""

from __future__ import annotations

import json
import re
import struct
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from penstock.domain.errors import NotSafetensors
from penstock.weights.container import header_length, parse_header
from penstock.weights.header import DTYPE_BITS

if TYPE_CHECKING:
    from penstock.weights.header import Header

STRICTER = {
    "begins with `{`": r"the header begins with the byte 0x(20|09|0a|0d); it must begin with \{",
    "padded with spaces alone": r"only spaces may follow; there is U\+000(9|A|D)",
    "named twice": r'the header has ".*" twice',
    "metadata twice": r'__metadata__ has ".*" twice',
    "metadata an object": r"__metadata__ is null",
    "three fields": r"has a field .* which the format does not know|\" has \".*\" twice",
    "entries are objects": r"is \[.*; it must be an object",
    "dtype a word": r"the dtype an object",
    "empty tensors": r"is empty, but its shape .* beyond any memory",
    "at least one tensor": r"the file has no tensor in it",
}
"""By their short names in docs/reference/model-files.md: the reasons that only we have."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "model-files.md"

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\d+|.', re.DOTALL)
ODD = (
    *("-0", "-1", "0.0", "1e0", "NaN", "Infinity", "true", "null", "00", "+1", "1.", ".5", "0x1", "1", "2", "4", "8"),
    *(
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "1" * 5000,
        "0,1099511627776,1099511627776",
    ),
    *("[", "]", "{", "}", ",", ":", "[]", "{}", "[0]", "[[[]]]", '{"x":1,"x":2}', "/**/", "//", "'a'"),
    *(" ", "\n", "\t", "\r", "\x0b", "\xa0", "\0", "\ufeff"),
    *(
        '"a"',
        '"\\u0061"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"a\\udc00"',
        '"\\/"',
        '"\\x41"',
        '""',
        '"\n"',
        '"\\u 12"',
        '"\\u00g1"',
    ),
    *(
        '"__metadata__"',
        '"dtype"',
        '"shape"',
        '"\\u0064type"',
        '"f32"',
        '"F128"',
        '{"F32":null}',
        '"F32"',
        '["F32",[1],[0,4]]',
    ),
    *(
        '"x":1,',
        '"x":[{}],',
        '"shape":[1],',
        '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},',
        '"__metadata__":{},',
    ),
)
NAMES = st.one_of(st.sampled_from(["a", "b", "c"]), st.text(st.characters(codec="utf-8"), max_size=3))


@st.composite
def headers(draw: st.DrawFn) -> tuple[str, int]:
    """A legal header, and the size of its data."""
    header: dict[str, object] = {}
    end = 0
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        dtype = draw(st.sampled_from([*DTYPE_BITS, "F32", "F32", "U8"]))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        bits = prod(shape) * DTYPE_BITS[dtype]
        shape, bits = (shape, bits) if bits % 8 == 0 else ([*shape, 8], bits * 8)
        fields = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + bits // 8]}
        header[name] = {field: fields[field] for field in draw(st.permutations(list(fields)))}
        end += bits // 8
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(NAMES, NAMES, max_size=2))
    names = draw(st.permutations(list(header)))
    written = {name: header[name] for name in names}
    return json.dumps(written, separators=(",", ":"), ensure_ascii=draw(st.booleans())), end


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Files that are legal but for one or two places, or none."""
    text, end = draw(headers())
    tokens = TOKEN.findall(text)
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        at = draw(st.integers(0, len(tokens)))
        tokens[at : at + draw(st.integers(0, 1))] = [draw(st.sampled_from(ODD))]
    content = "".join(tokens).encode() + draw(st.sampled_from([b"", b"", b"", b"  ", b"\n", b"\0", b"\xff", b" {}"]))
    claimed = len(content) + draw(st.sampled_from([0] * 20 + [-1, 1, 8]))
    data = bytes(max(0, end + draw(st.sampled_from([0] * 20 + [-1, 1]))))
    return struct.pack("<Q", max(0, claimed)) + content + data


def ours(content: bytes) -> Header | str:
    try:
        length = header_length(content, file_size=len(content))
        return parse_header(content[8 : 8 + length], file_size=len(content))
    except NotSafetensors as error:
        return error.message


def theirs(content: bytes) -> dict[str, tuple[str, list[int], int]] | None:
    try:
        read = deserialize(content)  # type: ignore[no-untyped-call]  # written in Rust, without annotations
    except SafetensorError:
        return None
    return {name: (tensor["dtype"], tensor["shape"], len(tensor["data"])) for name, tensor in read}


def whole(header: str, size: int = 4) -> bytes:
    return struct.pack("<Q", len(header.encode())) + header.encode() + bytes(size)


@given(files())
@example(whole('{"a":{"dtype":{"F32":null},"shape":[1],"data_offsets":[0,4]}}'))
@example(whole('{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}'))
@example(whole('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}'))
@example(whole("{}", 0))
def test_what_we_take_the_official_reader_takes_and_what_it_takes_we_take_or_say_why_not(content: bytes) -> None:
    our, their = ours(content), theirs(content)

    if isinstance(our, str):
        assert their is None or any(re.search(reason, our, re.DOTALL) for reason in STRICTER.values()), our
        return
    assert their is not None
    assert {tensor.name: (tensor.dtype, list(tensor.shape), tensor.size) for tensor in our.tensors} == their


def test_the_rules_that_only_we_have_are_documented() -> None:
    document = DOCUMENT.read_text()

    assert [rule for rule in STRICTER if rule not in document] == []
