"""Spellings of identifiers: each parses back to the value it was made from, and there is one spelling per value."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.ids import (
    format_prefixed,
    format_short,
    parse_media_key,
    parse_prefixed,
    parse_short,
    uuid4_text,
)

IDS = st.binary(min_size=16, max_size=16).map(uuid4_text)
URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
AN_ID = "6c1b2f7e-0d54-4f4e-9a5e-3f1f6a1f8b21"


@given(st.binary(min_size=16, max_size=16))
def test_any_sixteen_bytes_make_a_canonical_version_4_uuid(random: bytes) -> None:
    text = uuid4_text(random)

    assert UUID(text).version == 4
    assert str(UUID(text)) == text


@given(IDS, st.sampled_from(["asset", "upload", "run", "key", "acct", "file"]))
def test_a_prefixed_spelling_parses_back(value: str, prefix: str) -> None:
    assert parse_prefixed(prefix, format_prefixed(prefix, value)) == value


@given(IDS)
def test_a_short_spelling_has_21_url_safe_characters_and_parses_back(value: str) -> None:
    short = format_short(value)

    assert len(short) == 21
    assert set(short) <= set(URL_SAFE)
    assert parse_short(short) == value


@given(st.text(alphabet=URL_SAFE, min_size=21, max_size=21))
def test_a_short_spelling_that_parses_is_the_one_that_is_formatted(text: str) -> None:
    value = parse_short(text)

    assert value is None or format_short(value) == text


@given(IDS, st.sampled_from(URL_SAFE))
def test_no_other_last_character_names_the_same_id(value: str, last: str) -> None:
    canonical = format_short(value)
    spelling = canonical[:-1] + last

    assert spelling == canonical or parse_short(spelling) != value


@given(st.text(max_size=60))
def test_parsing_any_text_finds_a_version_4_uuid_or_nothing(text: str) -> None:
    for found in (parse_prefixed("asset", text), parse_short(text)):
        assert found is None or UUID(found).version == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "asset",
        "asset_",
        AN_ID,
        f"asset_{AN_ID}",
        f"asset_{AN_ID.replace('-', '').upper()}",
        f"asset_{AN_ID.replace('-', '')}\n",
        f" asset_{AN_ID.replace('-', '')}",
        f"asset__{AN_ID.replace('-', '')}",
        f"upload_{AN_ID.replace('-', '')}",
        f"asset_{AN_ID.replace('-', '')}0",
        f"asset_{AN_ID.replace('-', '')[:-1]}",
        f"asset_{AN_ID.replace('-', '')[:-1]}\N{FULLWIDTH DIGIT ONE}",
        "asset_" + "0" * 32,
        f"asset_{AN_ID.replace('-', '').replace('4f4e', '1f4e')}",
        f"asset_{AN_ID.replace('-', '').replace('9a5e', 'ca5e')}",
    ],
)
def test_another_spelling_of_a_prefixed_id_is_refused(text: str) -> None:
    assert parse_prefixed("asset", text) is None


@pytest.mark.parametrize("text", ["", "A" * 20, "A" * 22, "A" * 20 + "+", "A" * 20 + "\n", "A" * 20 + "é"])
def test_what_is_not_21_url_safe_characters_is_no_short_id(text: str) -> None:
    assert parse_short(text) is None


@pytest.mark.parametrize("name", ["x", "photo.jpg", "a_b-c.D", "n" * 160])
def test_a_media_key_is_32_hex_digits_and_a_name(name: str) -> None:
    key = "0123456789abcdef" * 2 + "-" + name

    assert parse_media_key(key) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0123456789abcdef" * 2,
        "0123456789abcdef" * 2 + "-",
        "0123456789ABCDEF" * 2 + "-photo.jpg",
        "0123456789abcdef" * 2 + "-a/b",
        "0123456789abcdef" * 2 + "-a b",
        "0123456789abcdef" * 2 + "-photo.jpg\n",
        "0123456789abcdef" * 2 + "-" + "n" * 161,
        "0123456789abcdef" * 2 + "_photo.jpg",
    ],
)
def test_what_is_no_media_key_is_refused(text: str) -> None:
    assert parse_media_key(text) is None
