from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.sigv4 import Form, sign_form
from penstock.sigv4.canonical import sign, signing_key
from penstock.store.faults import Refused
from penstock.store.forms import FormReader, boundary_of
from tests.store.support import BUCKET, HOUR, SIGNER, Response, Store

if TYPE_CHECKING:
    from collections.abc import Sequence

BOUNDARY = "----WebKitFormBoundaryAbC123"
CONTENT = b"the file's bytes"
Fields = list[tuple[str, str]]


def encode(fields: Sequence[tuple[str, str]], content: bytes, *, name: str = "photo.png", after: Fields = []) -> bytes:  # noqa: B006 - never changed
    def field(name: str, value: str) -> bytes:
        return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()

    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    head += "Content-Type: text/html\r\n\r\n"
    return b"".join(
        [
            *[field(*pair) for pair in fields],
            head.encode(),
            content + b"\r\n",
            *[field(*pair) for pair in after],
            f"--{BOUNDARY}--\r\n".encode(),
        ]
    )


def signed(
    key: str,
    *,
    sizes: tuple[int, int] = (0, 10_000_000),
    fields: tuple[tuple[str, str], ...] = (),
    free: tuple[tuple[str, str], ...] = (),
    expires_in: timedelta = HOUR,
    bucket: str = BUCKET,
) -> Fields:
    form = Form(bucket=bucket, key=key, min_bytes=sizes[0], max_bytes=sizes[1], fields=fields, free=free)
    return list(sign_form(SIGNER, form, now=datetime.now(UTC), expires_in=expires_in).items())


def post_body(
    store: Store, body: bytes, *, content_type: str = f"multipart/form-data; boundary={BOUNDARY}"
) -> Response:
    headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
    return store.exchange(store.plain_head("POST", f"/{BUCKET}", headers) + body)


def post(store: Store, fields: Fields, content: bytes = CONTENT, *, name: str = "photo.png") -> Response:
    return post_body(store, encode(fields, content, name=name))


class Pieces:
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = list(pieces)

    async def receive(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def read(pieces: Sequence[bytes], boundary: str = BOUNDARY) -> tuple[Fields, str, bytes]:
    async def run() -> tuple[Fields, str, bytes]:
        reader = FormReader(Pieces(pieces), boundary.encode())
        fields = await reader.fields()
        content = b""
        while piece := await reader.receive():
            content += piece
        await reader.finish()
        return fields, reader.file_name, content

    return asyncio.run(run())


NEAR_DELIMITERS = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", b"\r\n--b", b"b", b"bo", b"\r\n--bx", b"\0", b"data"]
    )
).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(content=NEAR_DELIMITERS, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_the_pieces_in_which_a_form_comes_change_nothing(content: bytes, cuts: list[int]) -> None:
    body = encode([("key", "größe"), ("empty", "")], content).replace(BOUNDARY.encode(), b"bound")
    if b"\r\n--bound" in content:
        content = content.partition(b"\r\n--bound")[0]
    places = sorted({0, len(body), *[cut for cut in cuts if cut < len(body)]})
    pieces = [body[start:end] for start, end in pairwise(places)]

    assert read(pieces, "bound") == ([("key", "größe"), ("empty", "")], "photo.png", content)


def test_a_form_that_comes_byte_by_byte_is_read() -> None:
    body = encode([("key", "k")], b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n")

    assert read([bytes([byte]) for byte in body])[2] == b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n"


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), kept=st.integers(0, 200))
def test_anything_else_is_refused_or_read_and_never_an_error_of_ours(data: bytes, kept: int) -> None:
    body = encode([("key", "k")], b"x")[:kept] + data
    try:
        outcome = read([body])
    except Refused as refused:
        status = refused.fault.status
    else:
        status = 200 if outcome[0] == [("key", "k")] and outcome[2] in body else 0

    assert status in {200, 400}


@pytest.mark.parametrize("length", range(0, 330, 7))
def test_a_form_that_ends_early_is_refused(length: int) -> None:
    body = encode([("key", "k"), ("x-ignore", "y" * 100)], CONTENT)
    end = body.rindex(b"--")  # the two characters that close it

    with pytest.raises(Refused):
        read([body[: min(length, end)]])


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("multipart/form-data;boundary=abc; charset=utf-8", b"abc"),
    ],
)
def test_the_boundary_is_that_of_the_content_type(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("", 412),
        ("application/x-www-form-urlencoded", 412),
        ("multipart/form-data", 412),
        ("multipart/mixed; boundary=abc", 412),
        ('multipart/form-data; boundary="a "', 400),
        (f"multipart/form-data; boundary={'a' * 71}", 400),
    ],
)
def test_a_content_type_without_a_boundary_is_refused(content_type: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        boundary_of(content_type)
    assert refused.value.fault.status == status


def test_a_form_puts_an_object(shared_store: Store) -> None:
    fields = signed(
        "forms/plain",
        fields=(("Content-Type", "image/png"), ("x-amz-meta-colour", "grün"), ("Cache-Control", "no-store")),
    )
    answer = post(shared_store, fields)
    got = shared_store.get("forms/plain")

    assert (answer.status, answer.headers["location"]) == (204, f"/{BUCKET}/forms/plain")
    assert (got.status, got.body, got.headers["content-type"]) == (200, CONTENT, "image/png")
    assert got.headers["x-amz-meta-colour"].encode("latin-1").decode() == "grün"
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["etag"] == answer.headers["etag"] == f'"sha256-{hashlib.sha256(CONTENT).hexdigest()}"'


def test_the_type_is_that_of_the_signed_field_not_of_the_files_part(shared_store: Store) -> None:
    post(shared_store, signed("forms/typeless"))

    assert shared_store.get("forms/typeless").headers["content-type"] == "application/octet-stream"


def test_a_large_file_is_stored_as_it_was_sent(shared_store: Store) -> None:
    content = os.urandom(5_000_003)

    assert post(shared_store, signed("forms/large"), content).status == 204
    assert shared_store.get("forms/large").body == content


def test_an_empty_file_is_an_object(shared_store: Store) -> None:
    assert post(shared_store, signed("forms/empty"), b"").status == 204
    assert shared_store.get("forms/empty").body == b""


def test_the_files_name_stands_for_its_place_in_the_key(shared_store: Store) -> None:
    fields = _changed(_starting("forms/"), "key", "forms/${filename}")

    assert post(shared_store, fields, name="C:\\pictures\\cat.png").status == 204
    assert shared_store.get("forms/cat.png").body == CONTENT


def _starting(prefix: str) -> Fields:
    """A form whose key may be any that begins with a prefix."""
    fields = dict(signed("unused", free=(("key", prefix),)))
    policy = base64.b64decode(fields["policy"]).replace(b'{"key":"unused"},', b"")
    fields["policy"] = base64.b64encode(policy).decode()
    credentials = SIGNER.credentials
    key = signing_key(credentials.secret_key, fields["x-amz-date"][:8], SIGNER.region, SIGNER.service)
    fields["x-amz-signature"] = sign(key, fields["policy"])
    return list(fields.items())


def test_fields_after_the_file_are_ignored(shared_store: Store) -> None:
    body = encode(signed("forms/after"), CONTENT, after=[("Content-Type", "text/html"), ("key", "forms/other")])

    assert post_body(shared_store, body).status == 204
    assert shared_store.get("forms/after").headers["content-type"] == "application/octet-stream"
    assert shared_store.get("forms/other").status == 404


@pytest.mark.parametrize(
    ("wanted", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204), ("201 ", 204)]
)
def test_the_status_is_the_one_that_the_form_asks_for(shared_store: Store, wanted: str, status: int) -> None:
    fields = signed("forms/status", fields=(("success_action_status", wanted),))

    assert post(shared_store, fields).status == status


def test_201_describes_the_object(shared_store: Store) -> None:
    answer = post(shared_store, signed("forms/a&b", fields=(("success_action_status", "201"),)))
    tree = ET.fromstring(answer.body)  # noqa: S314 - our own answer

    assert [(node.tag, node.text) for node in tree] == [
        ("Location", f"/{BUCKET}/forms/a%26b"),
        ("Bucket", BUCKET),
        ("Key", "forms/a&b"),
        ("ETag", answer.headers["etag"]),
    ]


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("https://site.test/done", r"https://site\.test/done\?bucket=penstock&key=forms%2Fsent&etag=%22sha256-\w+%22"),
        (
            "http://site.test/?a=b#c",
            r"http://site\.test/\?a=b&bucket=penstock&key=forms%2Fsent&etag=%22sha256-\w+%22#c",
        ),
    ],
)
def test_a_form_may_ask_to_be_sent_on(shared_store: Store, target: str, location: str) -> None:
    answer = post(shared_store, signed("forms/sent", fields=(("success_action_redirect", target),)))

    assert answer.status == 303
    assert re.fullmatch(location, answer.headers["location"])


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", "//site.test", "/here", "http://a b", "http://x/\r\nSet-Cookie: a=b", "data:,x"]
)
def test_a_redirect_to_anything_but_the_web_is_as_if_absent(shared_store: Store, target: str) -> None:
    answer = post(shared_store, signed("forms/unsent", fields=(("success_action_redirect", target),)))

    assert (answer.status, answer.headers["location"]) == (204, f"/{BUCKET}/forms/unsent")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("size", "status", "code"),
    [
        (9, 400, "EntityTooSmall"),
        (10, 204, ""),
        (20, 204, ""),
        (21, 400, "EntityTooLarge"),
        (900_000, 400, "EntityTooLarge"),
    ],
)
def test_the_signed_size_range_is_kept(store: Store, size: int, status: int, code: str) -> None:
    answer = post(store, signed("sized", sizes=(10, 20)), b"x" * size)

    assert (answer.status, answer.code) == (status, code)
    assert len(store.stored_files()) == (status == 204)


def test_declared_checksums_of_a_form_are_compared(shared_store: Store) -> None:
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()  # noqa: S324 - Content-MD5
    fields = signed("forms/checked", fields=(("x-amz-checksum-sha256", digest), ("Content-MD5", md5)))

    right, wrong = post(shared_store, fields), post(shared_store, fields, CONTENT[::-1])

    assert (right.status, right.headers["x-amz-checksum-sha256"]) == (204, digest)
    assert right.headers["etag"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'  # noqa: S324 - S3's ETag
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    assert shared_store.get("forms/checked").body == CONTENT


def _changed(fields: Fields, name: str, value: str) -> Fields:
    return [(known, value if known == name else old) for known, old in fields]


def _without(fields: Fields, name: str) -> Fields:
    return [pair for pair in fields if pair[0] != name]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ([("key", "k")], 403, "AccessDenied"),
        (_changed(signed("k"), "x-amz-signature", "0" * 64), 403, "SignatureDoesNotMatch"),
        (_without(signed("k"), "x-amz-signature"), 400, "InvalidArgument"),
        (_without(signed("k"), "policy"), 400, "InvalidArgument"),
        (_without(signed("k"), "key"), 400, "InvalidArgument"),
        (_changed(signed("k"), "key", "other"), 403, "AccessDenied"),
        (signed("k", expires_in=-HOUR), 403, "AccessDenied"),
        (signed("k", bucket="elsewhere"), 403, "AccessDenied"),
        ([*signed("k"), ("acl", "private")], 403, "AccessDenied"),
        ([*signed("k"), ("key", "k")], 400, "InvalidArgument"),
        (signed("k" * 1025), 400, "KeyTooLongError"),
        (signed(""), 400, "InvalidArgument"),
        (signed("a\0b"), 400, "InvalidURI"),
        (signed("k", fields=(("x-amz-meta-a", "x\r\nSet-Cookie: a=b"),)), 400, "InvalidArgument"),
        ([*signed("k"), ("x-ignore-padding", "y" * 70_000)], 400, "MaxPostPreDataLengthExceeded"),
    ],
)
def test_a_form_that_its_policy_does_not_allow_stores_nothing(
    store: Store, fields: Fields, status: int, code: str
) -> None:
    answer = post(store, fields)

    assert (answer.status, answer.code) == (status, code)
    assert store.stored_files() == []


def test_a_free_field_may_be_there_twice_and_the_last_one_counts(shared_store: Store) -> None:
    fields = signed("forms/twice", free=(("x-amz-meta-note", "a"),))

    assert post(shared_store, [*fields, ("x-amz-meta-note", "a1"), ("x-amz-meta-note", "a2")]).status == 204
    assert shared_store.get("forms/twice").headers["x-amz-meta-note"] == "a2"
    assert post(shared_store, [*fields, ("x-amz-meta-note", "b"), ("x-amz-meta-note", "a2")]).status == 403


def test_a_body_that_is_no_form_is_refused(store: Store) -> None:
    assert post_body(store, b"a=b", content_type="application/x-www-form-urlencoded").status == 412
    assert post_body(store, b"a=b").code == "MalformedPOSTRequest"
    assert post_body(store, encode(signed("k"), CONTENT)[:-10]).code == "MalformedPOSTRequest"
    assert (
        post_body(store, encode(signed("k"), CONTENT + f"\r\n--{BOUNDARY}tail".encode())).code == "MalformedPOSTRequest"
    )
    assert store.stored_files() == []


def test_a_connection_that_breaks_inside_the_file_leaves_nothing(store: Store) -> None:
    body = encode(signed("k"), b"x" * 100_000)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(len(body))}
    with store.connect() as connection:
        connection.send(store.plain_head("POST", f"/{BUCKET}", headers) + body[:60_000])

    assert post(store, signed("other")).status == 204
    assert store.get("k").status == 404


def test_only_a_bucket_takes_forms(shared_store: Store) -> None:
    body = encode(signed("k"), CONTENT)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(len(body))}

    assert shared_store.exchange(shared_store.plain_head("POST", f"/{BUCKET}/k", headers) + body).status == 405
