"""Strict JSON (S32): what two parsers could read in two ways is refused, everything else comes through unchanged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.dialects.base.strict_json import MAX_DEPTH, parse_strict
from penstock.domain.errors import MalformedBody

TEXT = st.text(st.characters(codec="utf-8"))
INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_what_json_writes_of_plain_values_comes_back_the_same(
    value: object, ascii_only: bool, indent: int | None
) -> None:
    body = json.dumps(value, allow_nan=False, ensure_ascii=ascii_only, indent=indent).encode()

    assert parse_strict(body) == value


@given(st.binary(max_size=60) | TEXT.map(str.encode))
def test_any_body_is_read_or_refused_in_our_own_words(body: bytes) -> None:
    reason = ""

    try:
        parse_strict(body)
    except MalformedBody as error:
        reason = error.message

    assert len(reason) < 300


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "not JSON"),
        (b" ", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b'{"a": 1}]', "not JSON"),
        (b'{"a": 1}\x00', "not JSON"),
        (b'{"a": 01}', "not JSON"),
        (b'{"a": +1}', "not JSON"),
        (b'{"a": .5}', "not JSON"),
        (b'{"a": 0x10}', "not JSON"),
        (b'{"a": "\n"}', "not JSON"),
        (b'{"a": "\\x41"}', "not JSON"),
        (b"{a: 1}", "not JSON"),
        (b"/* */ {}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a": "\xc0\xaf"}', "not UTF-8"),
        (b'{"a": NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"-Infinity", "-Infinity"),
        (b"[1e999]", "double"),
        (b"[-1e999]", "double"),
        (b"[9223372036854775808]", "64 bits"),
        (b"[-9223372036854775809]", "64 bits"),
        (b"[" + b"9" * 100_000 + b"]", "64 bits"),
        (b'{"a": 1, "a": 1}', "'a' twice"),
        (b'{"x": [{"a": 1, "b": 2, "a": 3}]}', "'a' twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' twice"),
        (b'{"": 1, "": 2}', "'' twice"),
        (b'["\\ud800"]', "surrogate"),
        (b'["\\udc00\\ud800"]', "surrogate"),
        (b'{"\\ud83d": 1}', "surrogate"),
        (b'{"a": {"b": ["\\ud83d x"]}}', "surrogate"),
    ],
)
def test_a_body_that_is_not_strict_json_is_refused_with_the_reason(body: bytes, what: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        parse_strict(body)

    assert what in caught.value.message


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b" \t\r\n{}\n", {}),
        (b"null", None),
        (b"-9223372036854775808", -(2**63)),
        (b"9223372036854775807", 2**63 - 1),
        (b"-0", 0),
        (b"1.0", 1.0),
        (b"1E5", 1e5),
        (b"1e-999", 0.0),
        (b'"\\ud83d\\ude42"', "🙂"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\\u0000"', "\0"),
        (b'{"a": {"a": 1}}', {"a": {"a": 1}}),
        (b'{"a": 1, "A": 2}', {"a": 1, "A": 2}),
    ],
)
def test_what_is_unusual_and_still_json_is_read(body: bytes, value: object) -> None:
    assert parse_strict(body) == value


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_ends_at_the_limit(pair: tuple[bytes, bytes]) -> None:
    def nested(depth: int) -> bytes:
        return pair[0] * depth + (b"" if pair[0] == b"[" else b"1") + pair[1] * depth

    parse_strict(nested(MAX_DEPTH))
    for deeper in (MAX_DEPTH + 1, 1000, 100_000):
        with pytest.raises(MalformedBody, match="nested deeper than 32"):
            parse_strict(nested(deeper))


@pytest.mark.parametrize(
    ("body", "word"),
    [
        pytest.param(b"[" + b"0," * 2**18 + b"0]", "values", id="numbers"),
        pytest.param(b"[" + b"[]," * 2**18 + b"0]", "values", id="arrays"),
        pytest.param(b"[" * 500_000 + b"]" * 500_000, "values", id="one in the other"),
        pytest.param(b'["' + b"\\n" * (2**20 + 1) + b'"]', "escapes", id="escapes"),
        pytest.param(b"[0." + b"1" * 400 + b"]", "double", id="a number of 400 digits"),
    ],
)
def test_a_text_of_very_many_things_is_refused_before_they_are_made(body: bytes, word: str) -> None:
    with pytest.raises(MalformedBody, match=word):
        parse_strict(body)


def test_a_text_of_megabytes_with_few_values_is_read() -> None:
    text = "a" * 10 * 2**20

    assert parse_strict(json.dumps({"image": text, "texts": ["\n"] * 1000}).encode()) == {
        "image": text,
        "texts": ["\n"] * 1000,
    }


def test_an_unclosed_nest_is_refused() -> None:
    with pytest.raises(MalformedBody):
        parse_strict(b"[" * 1_000_000)


@pytest.mark.timeout(60)  # counting each key took hours
def test_a_duplicate_among_very_many_keys_is_found_without_counting_each() -> None:
    keys = 200_000
    body = b"{" + b",".join(b'"%d":0' % n for n in [*range(keys), keys - 1]) + b"}"

    with pytest.raises(MalformedBody, match="twice"):
        parse_strict(body)


def test_a_monstrous_key_is_not_repeated_in_the_answer() -> None:
    key = b"k" * 100_000

    with pytest.raises(MalformedBody) as caught:
        parse_strict(b'{"%s": 1, "%s": 2}' % (key, key))

    assert len(caught.value.message) < 300
