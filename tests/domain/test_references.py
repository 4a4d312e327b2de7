"""References: data URIs, whole and broken, and URLs of other servers."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import ReferenceInvalid
from penstock.domain.media_types import is_media_type
from penstock.domain.references import (
    ForeignUrl,
    InlineData,
    is_data_uri,
    parse_data_uri,
    parse_foreign_url,
    shortened,
)


@given(st.binary(max_size=300), st.sampled_from(["image/png", "text/plain", "application/x-own+format"]))
def test_bytes_come_back_from_both_spellings_of_a_data_uri(data: bytes, content_type: str) -> None:
    same = InlineData(content_type=content_type, data=data)

    assert parse_data_uri(f"data:{content_type};base64,{base64.b64encode(data).decode()}") == same
    assert parse_data_uri(f"data:{content_type},{quote(data)}") == same


@pytest.mark.parametrize(
    ("text", "content_type", "data"),
    [
        ("data:,", "text/plain", b""),
        ("data:,a%20b", "text/plain", b"a b"),
        ("data:;base64,YQ==", "text/plain", b"a"),
        ("data:;charset=utf-8,%C3%A9", "text/plain", "é".encode()),
        ("data:,é", "text/plain", "é".encode()),
        ("DATA:IMAGE/PNG;BASE64,YQ==", "IMAGE/PNG", b"a"),
        ("data:image/png;name=a.png;base64,YQ==", "image/png", b"a"),
        ("data:image/svg+xml,<svg></svg>", "image/svg+xml", b"<svg></svg>"),
        ("data:text/plain,a,b;c", "text/plain", b"a,b;c"),
        ("data:text/plain,100%", "text/plain", b"100%"),
    ],
)
def test_a_data_uri_in_writing(text: str, content_type: str, data: bytes) -> None:
    assert parse_data_uri(text) == InlineData(content_type=content_type, data=data)


@pytest.mark.parametrize(
    "text",
    [
        "data:",
        "data:image/png",
        "data:image/png;base64",
        "data:image/png;base64;YQ==",
        "data:image/png;base64,YQ=",
        "data:image/png;base64,Y",
        "data:image/png;base64,Y Q==",
        "data:image/png;base64,YQ==\n",
        "data:image/png;base64,YQ%3D%3D",
        "data:image/png;base64,_-_-",
        "data:image/png;base64,é===",
        "data:image/png;base64,=YQ=",
        "data:image,a",
        "data:ima ge/png,a",
        "data:image/png\r\nx-amz-meta-a: b,a",
        "data:imäge/png,a",
    ],
)
def test_a_broken_data_uri_is_refused_as_one(text: str) -> None:
    with pytest.raises(ReferenceInvalid, match="data URI"):
        parse_data_uri(text)


@pytest.mark.parametrize("text", ["", "data", " data:,a", "dat:a,b", "https://data:a/,", "asset_1"])
def test_what_is_no_data_uri_is_left_to_others(text: str) -> None:
    assert parse_data_uri(text) is None


@given(st.text(max_size=80).map(lambda tail: f"data:{tail}") | st.text(max_size=80))
def test_any_text_is_a_data_uri_with_a_type_fit_for_a_header_or_none_or_a_broken_one(text: str) -> None:
    try:
        found = parse_data_uri(text)
    except ReferenceInvalid:
        return

    assert found is None or is_media_type(found.content_type)


@pytest.mark.parametrize("text", ["http://example.com/a.png", "HTTPS://EXAMPLE.com", "https://", "http://\\x"])
def test_a_url_is_kept_as_it_was_written(text: str) -> None:
    assert parse_foreign_url(text) == ForeignUrl(url=text)


@pytest.mark.parametrize(
    "text", ["", "ftp://example.com", "http:/x", "//example.com", " https://x", "file:///etc/passwd"]
)
def test_what_is_no_http_url_is_left_to_others(text: str) -> None:
    assert parse_foreign_url(text) is None


@pytest.mark.parametrize("text", ["data:,a", "DATA:image/png;base64,%%%", "data:"])
def test_a_data_uri_is_known_by_its_scheme_also_when_it_is_broken(text: str) -> None:
    assert is_data_uri(text)


@given(st.text(max_size=400))
def test_a_data_uri_alone_is_shortened_and_only_at_its_end(text: str) -> None:
    inline = f"data:{text}"

    assert shortened(text) == text or is_data_uri(text)
    assert len(shortened(inline)) <= 101
    assert inline.startswith(shortened(inline).removesuffix("…"))
