"""The arithmetic against AWS's published Signature Version 4 test suite (its requests and signatures)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.sigv4.canonical import (
    EMPTY_SHA256,
    Credentials,
    canonical_query,
    canonical_request,
    canonical_value,
    encode_path,
    format_time,
    parse_target,
    sign,
    signing_key,
    string_to_sign,
    uri_encode,
)
from penstock.sigv4.errors import InvalidURI

SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SUITE_DATE = "20150830T123600Z"
SUITE = [
    ("get-vanilla", "GET", "/", [], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("post-vanilla", "POST", "/", [], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "/?Param2=value2&Param1=value1",
        [],
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "post-vanilla-query",
        "POST",
        "/?Param1=value1",
        [],
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    (
        "post-header-key-sort",
        "POST",
        "/",
        [("My-Header1", "value1")],
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "get-header-value-trim",
        "GET",
        "/",
        [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')],
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-utf8",
        "GET",
        "/ሴ".encode().decode("latin-1"),
        [],
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    (
        "get-vanilla-utf8-query",
        "GET",
        "/?ሴ=bar".encode().decode("latin-1"),
        [],
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    (
        "get-unreserved",
        "GET",
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        [],
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
]


@pytest.mark.parametrize(
    ("method", "target", "headers", "signature"), [case[1:] for case in SUITE], ids=[case[0] for case in SUITE]
)
def test_a_request_of_the_published_suite_gets_its_published_signature(
    method: str, target: str, headers: list[tuple[str, str]], signature: str
) -> None:
    parsed = parse_target(target)
    signed = sorted(
        (name.lower(), canonical_value(value))
        for name, value in [("host", "example.amazonaws.com"), ("x-amz-date", SUITE_DATE), *headers]
    )

    request = canonical_request(
        method,
        encode_path(parsed.path),
        query=canonical_query(parsed.query),
        headers=signed,
        payload_hash=EMPTY_SHA256,
    )

    key = signing_key(SUITE_SECRET, "20150830", "us-east-1", "service")
    assert sign(key, string_to_sign(SUITE_DATE, "20150830/us-east-1/service/aws4_request", request)) == signature


def test_a_repr_of_credentials_hides_the_secret() -> None:
    assert "hush" not in repr(Credentials("AKID", "hush"))


def test_a_bare_query_name_has_an_empty_value() -> None:
    assert canonical_query(parse_target("/b/k?uploads").query) == "uploads="


def test_a_raw_plus_in_a_query_is_a_space_and_an_encoded_one_is_a_plus() -> None:
    assert parse_target("/b?prefix=a+b%2Bc").query == (("prefix", "a b+c"),)


def test_a_raw_plus_in_a_path_is_a_plus() -> None:
    assert encode_path(parse_target("/b/a+b").path) == "/b/a%2Bb"


def test_query_pairs_are_sorted_by_encoded_name_and_then_by_encoded_value() -> None:
    pairs = [("b", "2"), ("b", "10"), ("ä", ""), ("a.b", ""), ("a", "")]

    assert canonical_query(pairs) == "%C3%A4=&a=&a.b=&b=10&b=2"


def test_dot_segments_and_double_slashes_of_a_path_stay_as_they_are() -> None:
    assert encode_path(parse_target("/b/../x//./y").path) == "/b/../x//./y"


def test_runs_of_blanks_collapse_but_bytes_of_utf8_that_look_like_blanks_do_not() -> None:
    assert canonical_value(" a \t b\xa0\xa0c ") == "a b\xa0\xa0c"


@pytest.mark.parametrize("target", ["", "b/k", "*", "http://h/b", "/b/%", "/b/%4", "/b/%zz", "/b?x=%GG", "/b#x"])
def test_a_malformed_target_is_refused(target: str) -> None:
    with pytest.raises(InvalidURI):
        parse_target(target)


@pytest.mark.parametrize("target", ["/b/%FF", "/b/\xff", "/b?x=%C3"])
def test_a_target_that_is_not_utf8_is_refused(target: str) -> None:
    with pytest.raises(InvalidURI):
        parse_target(target)


@given(path=st.text(), query=st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_parsing_a_target_gives_back_what_was_encoded(path: str, query: list[tuple[str, str]]) -> None:
    wire = encode_path(f"/{path}") + "?" + "&".join(f"{uri_encode(name)}={uri_encode(value)}" for name, value in query)

    parsed = parse_target(wire)

    assert (parsed.path, list(parsed.query)) == (f"/{path}", query)


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    moment = datetime(2026, 1, 1, 1, 30, 5, tzinfo=timezone(timedelta(hours=2)))

    assert format_time(moment) == "20251231T233005Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        format_time(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))
