"""Every rule of the container, each refusal in words that name what is wrong; legal headers of all kinds are read."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from penstock.domain.errors import NotSafetensors
from penstock.weights.container import header_length, parse_header

if TYPE_CHECKING:
    from penstock.weights.header import Header
    from tests.support.model_files import ModelFiles

REASONS = {
    "array_root": "must begin with {",
    "bad_utf8": "not UTF-8: the byte 0xff at offset 10",
    "bom": "byte order mark",
    "bool_shape": 'tensor "a" has a shape with true in it',
    "deep_nesting": "nested too deeply",
    "duplicate_key": 'the header has "a" twice',
    "duplicate_key_escaped": 'the header has "a" twice',
    "duplicate_metadata_key": '__metadata__ has "x" twice',
    "empty_file": "the file is empty",
    "empty_object": "no tensor in it",
    "end_before_begin": 'tensor "a" ends at byte 0 of the data, before it begins, at 4',
    "first_offset_not_zero": 'a hole of 4 bytes at byte 0, between the beginning and tensor "a"',
    "float_offset": "data_offsets with 0.0 in them",
    "gguf": "looks like: GGUF weights",
    "header_len_2_64": "claim a header of 18446744073709551615 bytes",
    "header_longer_than_file": "its header ends at byte 1000008, the file at 66",
    "header_over_100MB": "the format allows 100000000",
    "hole": 'a hole of 4 bytes at byte 4, between tensor "a" and tensor "b"',
    "html": "looks like: HTML page",
    "huge_zero_shape": "beyond any memory",
    "info_as_array": 'tensor "a" is ["F32", […], […]]; it must be an object',
    "leading_space": "begins with the byte 0x20; it must begin with {",
    "lfs_pointer": "looks like: Git LFS pointer",
    "lone_surrogate": "half of a surrogate pair",
    "lowercase_dtype": 'the dtype "f32"',
    "metadata_int": '__metadata__ has 1 under "a"',
    "metadata_nested": '__metadata__ has an object under "a"',
    "metadata_null": "__metadata__ is null",
    "metadata_only": "no tensor in it",
    "nan_literal": "a shape with nan in it",
    "negative_offset": "data_offsets with -4 in them",
    "nul_padding": "only spaces may follow; there is U+0000 at offset 62",
    "overlap": 'tensor "b" begins at byte 0 of the data, inside tensor "a"',
    "partial_overlap": 'tensor "b" begins at byte 4 of the data, inside tensor "a"',
    "pickle": "looks like: Python pickle",
    "seven_bytes": "the file has 7 bytes",
    "shape_mismatch": 'tensor "a" has 8 bytes as F32 × [2], but 4 by its data_offsets',
    "shape_overflow": "more elements than any memory holds",
    "trailing_bytes": "goes on for 1 bytes after its last tensor",
    "trailing_newline": "only spaces may follow; there is U+000A at offset 62",
    "truncated_data": "cut off: it has 65 of the 66 bytes",
    "unknown_dtype": 'the dtype "F128"',
    "unknown_field": 'a field "extra"',
    "zero_length_header": "are zero",
    "zip": "looks like: ZIP archive",
}


def read(content: bytes, *, size: int | None = None) -> Header:
    """What a file of `size` bytes, or of these, says."""
    size = len(content) if size is None else size
    length = header_length(content[:4096], file_size=size)
    return parse_header(content[8 : 8 + length], file_size=size)


def entry(**changes: object) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}


def refusal(header: object) -> str:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    with pytest.raises(NotSafetensors) as refused:
        parse_header(content)
    return refused.value.message


def test_malformed_containers_are_refused_for_what_is_wrong_with_them(model_files: ModelFiles) -> None:
    expected = model_files.manifest["bad"]
    reasons = {}
    for name in expected:
        try:
            read(model_files.malformed(name).read_bytes())
        except NotSafetensors as error:
            reasons[name] = error.message

    assert len(expected) == 54
    assert set(reasons) == {name for name, said in expected.items() if said["strict"] == "reject"}
    assert {name: REASONS[name] in reason for name, reason in reasons.items()} == dict.fromkeys(REASONS, True)


def test_models_of_all_shapes_are_read_from_their_beginning_alone(model_files: ModelFiles) -> None:
    for name, case in model_files.cases.items():
        tiny, head, true = (model_files.path(name, profile) for profile in ("tiny", "head", "true"))

        assert len(read(tiny.read_bytes()).tensors) == case["tensors"]
        header = read(head.read_bytes(), size=true.stat().st_size)
        assert len(header.tensors) == case["tensors"]
        assert header.file_size - header.data_start == case["true_size"]
        assert dict(header.metadata) == (case["metadata"] or {})
        assert header.misaligned == 0


def test_a_header_keeps_names_dtypes_and_shapes_in_the_order_of_the_data() -> None:
    header = parse_header(
        b'{"b":{"data_offsets":[4,6],"shape":[2,1],"dtype":"U8"},"a":' + json.dumps(entry()).encode() + b"}  "
    )

    assert [tuple(tensor) for tensor in header.tensors] == [("a", "F32", (1,), 0, 4), ("b", "U8", (2, 1), 4, 6)]


def test_a_header_longer_than_the_cap_is_refused_by_both_numbers() -> None:
    with pytest.raises(NotSafetensors, match="the file's header has 5000 bytes; at most 4096 are read here"):
        header_length(struct.pack("<Q", 5000) + b"{", cap=4096)


def test_tensors_that_do_not_lie_where_their_numbers_could_are_counted() -> None:
    header = parse_header(
        json.dumps({"a": entry(data_offsets=[1, 5]), "u": entry(dtype="U8", data_offsets=[0, 1])}).encode().ljust(200)
    )
    shifted = parse_header(json.dumps({"a": entry()}).encode().ljust(201))

    assert (header.misaligned, shifted.misaligned) == (1, 1)


def test_entries_that_pretend_to_be_objects_are_refused() -> None:
    pairs = list(map(list, entry().items()))

    assert "it must be an object" in refusal({"a": pairs})
    assert "it must be an object" in refusal({"a": "dtype"})
    assert "__metadata__ is [" in refusal({"__metadata__": [["a", "b"]], "a": entry()})


def test_zero_with_a_sign_is_no_natural_number() -> None:
    signed = json.dumps({"x-0": entry(shape=[2], data_offsets=[0, 8])}).replace("[0,", "[-0,").encode()

    assert "data_offsets with -0.0 in them" in refusal(signed)
    assert parse_header(json.dumps({"x-0": entry()}).encode()).tensors[0].name == "x-0"


def test_metadata_said_twice_and_fields_said_twice_are_refused() -> None:
    tensor = json.dumps(entry()).encode()

    assert (
        refusal(b'{"__metadata__":{},"a":' + tensor + b',"__metadata__":{}}') == 'the header has "__metadata__" twice'
    )
    twice = tensor[:-1] + b',"shape":[1]}'
    assert refusal(b'{"a":' + twice + b"}") == 'tensor "a" has "shape" twice'
    assert refusal(b'{"a":' + twice.replace(b'"dtype": "F32", ', b"") + b"}") == 'tensor "a" has "shape" twice'


def test_numbers_of_thousands_of_digits_and_dimensions_are_refused_at_once() -> None:
    assert refusal({"a": entry(shape=[2**64])}) == (
        'tensor "a" has a shape with a number beyond 64 bits in it, which is no natural number of 64 bits'
    )
    assert refusal(b'{"a":' + b"9" * 5000 + b"}") == "the header has a number beyond 64 bits"
    assert "more elements than any memory holds" in refusal({"a": entry(shape=[2**64 - 1] * 20_000)})
    assert "beyond any memory" in refusal({"a": entry(shape=[2**64 - 1] * 20_000 + [0], data_offsets=[0, 0])})


def test_a_reason_is_short_and_printable_whatever_the_file_says() -> None:
    nested: list[object] = []
    for _ in range(400):
        nested = [nested, nested] if len(json.dumps(nested)) < 500 else [nested]

    assert len(refusal({"a\n\u202e" * 10_000: entry(dtype="x" * 10_000)})) < 400
    assert refusal({"a\n\u202e" * 10_000: entry(dtype="x" * 10_000)}).isprintable()
    assert "[[…]]" in refusal({"a": entry(shape=nested)})


@pytest.mark.parametrize(
    ("head", "media_type", "words"),
    [
        (b"GGUF\x03\0\0\0" + bytes(64), "application/x-gguf", "made from"),
        (b"PK\x03\x04" + bytes(22) + b"\x10\0\0\0archive/data.pkl", "application/x-pytorch", "may hold code"),
        (b"\x80\x02}q\0", "application/x-pickle", "may hold code"),
        (b"\x1f\x8b\x08" + bytes(20), "application/gzip", "unpack"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(20), "application/x-7z-compressed", "unpack"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "application/zstd", "unpack"),
        (b"model.safetensors".ljust(257, b"\0") + b"ustar\x0000", "application/x-tar", "unpack"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "application/x-hdf5", "may hold code"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 5\n",
            "application/x-git-lfs-pointer",
            "elsewhere",
        ),
        (b"<html><title>Log in</title>", "text/html", "address"),
        (b'{\n "metadata": {"total_size": 5},\n "weight_map": {"a": "b"}}', "application/json", "in several files"),
        (b'{"error": "not found"}', "application/json", "JSON"),
        (b"Access denied: no such key", "text/plain", "text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png", "PNG picture"),
    ],
)
def test_what_is_sent_instead_is_named_by_its_first_bytes(head: bytes, media_type: str, words: str) -> None:
    with pytest.raises(NotSafetensors) as refused:
        header_length(head, file_size=10_000_000)

    assert refused.value.looks_like == media_type
    assert words in refused.value.message


def test_the_first_eight_bytes_suffice_where_nothing_is_wrong() -> None:
    assert header_length(struct.pack("<Q", 300)) == 300
    assert header_length(struct.pack("<Q", 300), file_size=308) == 300
