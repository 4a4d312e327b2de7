from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
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


TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(DELETE|GET|HEAD|OPTIONS|POST|PUT) (/[!-~]*) HTTP/1\.([01])")
FIELD_LINE = re.compile(
    rb"(%s):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*" % TOKEN
)


def strictly_read(raw: bytes) -> tuple[str, str, list[tuple[str, str]], int | None] | None:
    """The grammar of RFC 9112 with S31 on top, written down a second time: what a head says, or None."""
    first, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request, fields = REQUEST_LINE.fullmatch(first), [FIELD_LINE.fullmatch(line) for line in lines]
    if not request or not all(fields):
        return None
    headers = [(field[1].decode().lower(), field[2].decode("latin-1")) for field in fields if field]
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    codings, lengths = values.get("transfer-encoding", []), values.get("content-length", [])
    modern = request[3] == b"1"
    if modern and len(values.get("host", [])) != 1:
        return None
    if any(value.lower() != "100-continue" for value in values.get("expect", [])) or len(values.get("expect", [])) > 1:
        return None
    if codings and ([coding.lower() for coding in codings] != ["chunked"] or lengths or not modern):
        return None
    if lengths and (len(lengths) > 1 or not re.fullmatch("[0-9]{1,19}", lengths[0])):
        return None
    length = None if codings else int(lengths[0]) if lengths else 0
    return request[1].decode(), request[2].decode(), headers, length


def read(raw: bytes) -> tuple[str, str, list[tuple[str, str]], int | None] | None:
    """What the store makes of it, or None."""
    try:
        head = parse_head(raw, max_headers=20)
    except Refused:
        return None
    return head.method, head.target, list(head.headers), head.length


FRAGMENTS = st.sampled_from(
    [
        *(b"GET / HTTP/1.1", b"PUT /b/k?a=b HTTP/1.1", b"POST /b HTTP/1.0", b"GET /\xff HTTP/1.1", b"TRACE / HTTP/1.1"),
        *(
            b"Host: h",
            b"Host:",
            b"host:\tx",
            b"Host : h",
            b"Content-Length: 5",
            b"Content-Length:5",
            b"content-length: 05",
        ),
        *(b"Content-Length: 5, 5", b"Content-Length: +5", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
        *(b"Transfer-Encoding:\tChunked ", b"Transfer-Encoding: chunked, chunked", b"Connection: close", b"Upgrade: x"),
        *(
            b"Expect: 100-continue",
            b"Expect: 100-Continue, x",
            b"Connection: upgrade",
            b"X: \x80\xff",
            b"X: a\tb",
            b"X:",
        ),
        *(
            b"X: \x00",
            b"X: \x7f",
            b"X: \x0b",
            b": x",
            b"X",
            b"(x): y",
            b"x\xe4: y",
            b" folded",
            b"\tfolded",
            b"\xef\xbb\xbf",
        ),
        *(b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b" ", b"\t", b"\r\r\n", b"\x00", b":"),
    ]
)
WELL_SHAPED = st.builds(
    lambda first, fields: b"\r\n".join([first, *fields]),
    st.sampled_from([b"GET / HTTP/1.1", b"PUT /b/k?a=b HTTP/1.1", b"POST /b HTTP/1.0"]),
    st.lists(FRAGMENTS, max_size=6),
)


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=200), st.lists(FRAGMENTS, max_size=12).map(b"".join), WELL_SHAPED))
def test_a_head_is_read_as_the_grammar_says_or_not_at_all(noise: bytes) -> None:
    raw = (noise + b"\r\n\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    assert read(raw) == strictly_read(raw)


@settings(max_examples=300)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_changed_byte_gives_what_the_grammar_says_or_a_refusal(position: int, value: int) -> None:
    mutated = bytearray(GOOD)
    mutated[position] = value
    raw = (bytes(mutated) + b"\r\n\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    assert read(raw) == strictly_read(raw)
