from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.store.faults import Refused
from penstock.store.head import parse_head

GOOD = b"PUT /b/k?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Meta: a\r\nx-meta:  b \r\n\r\n"


def test_a_head_is_parsed_with_lower_case_names_and_joined_fields() -> None:
    head = parse_head(GOOD, max_headers=10)

    assert (head.method, head.target, head.path, head.length) == ("PUT", "/b/k?x=1", "/b/k", 5)
    assert head.headers[-2:] == (("x-meta", "a"), ("x-meta", "b"))
    assert head.fields["x-meta"] == "a,b"
    assert head.keep_alive


def test_a_chunked_head_has_no_length() -> None:
    raw = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"

    assert parse_head(raw, max_headers=10).length is None


def test_an_offer_to_upgrade_is_ignored() -> None:
    raw = b"GET /b/k HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    assert parse_head(raw, max_headers=10).method == "GET"


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        b"Host: h\r\nContent-Length: 5\r\nContent-Length: 6",
        b"Host: h\r\nContent-Length: 5\r\nContent-Length: 5",
        b"Host: h\r\nContent-Length: 5, 5",
        b"Host: h\r\nContent-Length: +5",
        b"Host: h\r\nContent-Length: -5",
        b"Host: h\r\nContent-Length: 0x5",
        b"Host: h\r\nContent-Length: 5 5",
        b"Host: h\r\nContent-Length:",
        b"Host: h\r\nContent-Length: 99999999999999999999999",
        b"Host: h\r\nTransfer-Encoding: gzip, chunked",
        b"Host: h\r\nTransfer-Encoding: chunked, chunked",
        b"Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Host: h\r\nTransfer-Encoding: identity",
        b"Host: h\r\nTransfer-Encoding: xchunked",
        b"Host: h\r\nTransfer-Encoding : chunked",
        b"Host: h\r\nX: a\r\n folded",
        b"Host: h\r\nX: a\r\n\tfolded",
        b"Host: h\r\nX: a\x00b",
        b"Host: h\r\nX: a\rb",
        b"Host: h\r\nX y: a",
        b"Host: h\r\n: a",
        b"Host: h\r\nHost: h",
        b"X: no host",
        b"Host: h\r\nExpect: 200-ok",
    ],
)
def test_a_head_whose_framing_could_be_read_in_two_ways_is_refused(lines: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_head(b"PUT /b/k HTTP/1.1\r\n" + lines + b"\r\n\r\n", max_headers=10)

    assert refused.value.fault.status == 400


@pytest.mark.parametrize(
    "line",
    [
        b"PUT http://h/b/k HTTP/1.1",
        b"PUT h:80 HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"PUT /b/k HTTP/2.0",
        b"PUT /b/k HTTP/0.9",
        b"PUT /b/k",
        b"PUT /b/ k HTTP/1.1",
        b"PUT /b/\xc3\xa4 HTTP/1.1",
        b"PUT  /b/k HTTP/1.1",
        b" PUT /b/k HTTP/1.1",
    ],
)
def test_a_request_line_that_is_not_origin_form_and_http_1_is_refused(line: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_head(line + b"\r\nHost: h\r\n\r\n", max_headers=10)

    assert refused.value.fault.status in {400, 405}


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT", b"PATCH", b"FOO", b"get"])
def test_another_method_is_answered_405_with_the_allowed_ones(method: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_head(method + b" /b/k HTTP/1.1\r\nHost: h\r\n\r\n", max_headers=10)

    assert refused.value.fault.status in {400, 405}
    if refused.value.fault.status == 405:
        assert refused.value.headers == (("Allow", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),)


def test_too_many_headers_are_refused() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 10 + b"\r\n"

    with pytest.raises(Refused) as refused:
        parse_head(raw, max_headers=10)

    assert refused.value.fault.status == 431


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(noise: bytes) -> None:
    try:
        head = parse_head(noise + b"\r\n\r\n", max_headers=10)
    except Refused:
        return
    assert head.target.startswith("/")


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_changed_byte_never_gives_another_body_length(position: int, value: int) -> None:
    mutated = bytearray(GOOD)
    mutated[position] = value
    if not mutated.endswith(b"\r\n\r\n") or b"Content-Length: 5\r\n" not in bytes(mutated):
        return

    try:
        head = parse_head(bytes(mutated), max_headers=10)
    except Refused:
        return

    assert head.length == 5
