"""What a product asks of URLs of other servers and of data URIs: each rule has a word of its own."""

from __future__ import annotations

import pytest

from penstock.domain.egress import EgressRules, parse_rules
from penstock.domain.errors import ReferenceInvalid
from penstock.domain.foreign import FetchManner, InlineRules, UrlRules, check_length, wanted_file

STRICT = UrlRules(max_bytes=100, names_only=True, min_length=13, max_length=60, tells_kind=True)
NOWHERE = EgressRules()
URL = "https://files.example/photo.png"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("http://files.example/photo.png", "url_scheme"),
        ("HTTP://files.example/photo.png", "url_scheme"),
        ("https://a.b", "url_length"),
        ("https://files.example/" + "a" * 60, "url_length"),
        ("https://93.184.215.14/photo.png", "url_host"),
        ("https://[2606:2800:21f::1]/photo.png", "url_host"),
        ("https://127.0.0.1/photo.png", "url_host"),
        ("https://files.example:8443/photo.png", "url_host"),
        ("https://user@files.example/photo.png", "url_invalid"),
        ("https://0x7f.1/photo.png", "url_invalid"),
        ("https://files.example/a photo.png", "url_invalid"),
    ],
)
def test_a_url_that_breaks_a_rule_is_refused_by_its_name(text: str, rule: str) -> None:
    with pytest.raises(ReferenceInvalid) as refused:
        wanted_file(text, STRICT, NOWHERE, kinds=("image",))

    assert refused.value.rule == rule


def test_without_rules_for_them_no_url_is_taken() -> None:
    with pytest.raises(ReferenceInvalid) as refused:
        wanted_file(URL, None, NOWHERE, kinds=())

    assert refused.value.rule == "url_refused"


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8080/photo.png", "http://10.0.0.1/photo.png", "https://[::1]/photo.png"]
)
def test_private_addresses_are_taken_only_where_the_operator_allows_them(text: str) -> None:
    easy = UrlRules(max_bytes=100, https_only=False)

    with pytest.raises(ReferenceInvalid) as refused:
        wanted_file(text, easy, NOWHERE, kinds=())

    assert refused.value.rule == "url_host"
    assert wanted_file(text, easy, parse_rules("127.0.0.0/8,10.0.0.0/8,::1/128"), kinds=()).place.url == text


def test_a_wanted_file_knows_how_it_is_asked_for_and_how_large_it_may_be() -> None:
    rules = UrlRules(max_bytes=100, max_bytes_by_kind={"image": 10, "video": 20}, manner=FetchManner(asks_first=True))

    def limit(*kinds: str) -> int:
        return wanted_file(URL, rules, NOWHERE, kinds=kinds).max_bytes

    assert [limit("image"), limit("image", "video"), limit("audio"), limit()] == [10, 20, 100, 100]
    assert wanted_file(URL, rules, NOWHERE, kinds=("image",)).manner == FetchManner(asks_first=True)
    assert wanted_file(URL, STRICT, NOWHERE, kinds=("image",)).manner == FetchManner(told_kinds=("image",))


LENGTHS = InlineRules(max_characters={"image": 50, "video": 80}, base64_only=True)


@pytest.mark.parametrize(
    ("head", "longest"),
    [
        ("data:image/png;base64,", 50),
        ("DATA:IMAGE/PNG;BASE64,", 50),
        ("data:video/mp4;base64,", 80),
        ("data:audio/mpeg;base64,", 80),
    ],
)
def test_a_data_uri_is_as_long_as_its_kind_may_be(head: str, longest: int) -> None:
    text = head + "A" * (longest - len(head))

    check_length(text, LENGTHS)
    with pytest.raises(ReferenceInvalid) as refused:
        check_length(text + "A", LENGTHS)

    assert refused.value.rule == "data_uri_length"
    check_length(text * 100, InlineRules())


def test_a_data_uri_is_base64_where_it_must_be() -> None:
    with pytest.raises(ReferenceInvalid) as refused:
        check_length("data:image/png,abc", LENGTHS)

    assert refused.value.rule == "data_uri"
    check_length("data:image/png,abc", InlineRules())
