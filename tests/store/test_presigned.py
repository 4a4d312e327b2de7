"""Presigned URLs: what they allow is exactly what was signed (F19, F20, S24)."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.store.support import BUCKET, Response, Store

BODY = b"0123456789"
SIGNED = {"content-type": "image/png", "content-length": "10"}


def put(store: Store, target: str, headers: dict[str, str], body: bytes = BODY, *, method: str = "PUT") -> Response:
    return store.exchange(store.plain_head(method, target, headers) + body)


def test_a_presigned_put_stores_the_body_under_an_opaque_etag(shared_store: Store) -> None:
    response = put(shared_store, shared_store.presign("PUT", "good", headers=SIGNED), SIGNED)

    etag = response.headers["etag"]
    assert response.status == 200
    assert re.fullmatch(r'"[^"]+"', etag)
    assert not re.fullmatch(r'"[0-9a-f]{32}(-[0-9]+)?"', etag)
    assert hashlib.md5(BODY).hexdigest() not in etag  # noqa: S324 - what it must not be
    got = shared_store.get("good")
    assert (got.body, got.headers["etag"], got.headers["content-type"]) == (BODY, etag, "image/png")


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("/mutated", "/mutatec"),
        (f"/{BUCKET}/", "/other-bucket/"),
        (r"X-Amz-Expires=\d+", "X-Amz-Expires=7200"),
        (r"X-Amz-Date=\d{8}T", "X-Amz-Date=20200101T"),
        ("us-east-1", "eu-west-1"),
        ("TESTKEY", "OTHERKEY"),
        ("aws4_request", "aws4_reques"),
        ("%2Fs3%2F", "%2Fs4%2F"),
        ("$", "&x-penstock-max-length=99"),
        ("$", "&extra"),
        ("$", "&X-Amz-Expires=3600"),
        ("x-id=1", "x-id=2"),
        ("content-length%3B", ""),
        (r"X-Amz-Signature=\w", "X-Amz-Signature=g"),
        (".$", ""),
        ("&X-Amz-Signature=.*", ""),
        (r"&X-Amz-Expires=\d+", ""),
    ],
)
def test_a_url_with_any_part_changed_is_refused_and_stores_nothing(
    store: Store, pattern: str, replacement: str
) -> None:
    target = store.presign("PUT", "mutated", headers=SIGNED, query={"x-id": "1"})
    changed = re.sub(pattern, replacement, target, count=1)
    assert changed != target

    response = put(store, changed, SIGNED)

    assert response.status in {400, 403}
    assert store.stored_files() == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "text/html", "content-length": "10"}, BODY),
        ({"content-length": "10"}, BODY),
        ({"content-type": "image/png", "content-length": "11"}, BODY + b"x"),
        ({"content-type": "image/png", "content-length": "9"}, BODY[:9]),
        ({"content-type": "image/png", "transfer-encoding": "chunked"}, b"a\r\n0123456789\r\n0\r\n\r\n"),
        ({**SIGNED, "x-amz-acl": "public-read"}, BODY),
        ({**SIGNED, "x-amz-meta-a": "b"}, BODY),
        ({**SIGNED, "x-amz-copy-source": "/penstock/other"}, BODY),
        ({**SIGNED, "content-md5": "eB5eJF1ptWaXm4bijSPyxw=="}, BODY),
    ],
)
def test_signed_headers_bind_and_unsigned_amz_headers_are_refused(
    store: Store, headers: dict[str, str], body: bytes
) -> None:
    response = put(store, store.presign("PUT", "bound", headers=SIGNED), headers, body)

    assert response.status == 403
    assert store.stored_files() == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32"}, 200),  # of a body of no bytes
        ({"x-amz-checksum-crc32": "AAAAAA=="}, 400),
        ({"x-amz-checksum-crc32": "AAAAAQ==", "x-amz-sdk-checksum-algorithm": "CRC32"}, 400),
    ],
)
def test_a_checksum_in_a_url_counts_unless_an_sdk_computed_it_of_the_body_it_did_not_have(
    store: Store, query: dict[str, str], status: int
) -> None:
    target = store.presign("PUT", "summed", headers=SIGNED, query=query)

    assert put(store, target, SIGNED).status == status


def test_a_checksum_in_a_header_counts_whatever_the_url_says(store: Store) -> None:
    headers = {**SIGNED, "x-amz-checksum-crc32": "AAAAAA=="}
    target = store.presign("PUT", "summed", headers=headers, query={"x-amz-sdk-checksum-algorithm": "CRC32"})

    assert put(store, target, headers).code == "BadDigest"


def test_an_unsigned_content_disposition_is_tolerated(shared_store: Store) -> None:
    target = shared_store.presign("PUT", "tolerated", headers=SIGNED)

    assert put(shared_store, target, {**SIGNED, "content-disposition": "attachment"}).status == 200


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "HEAD"])
def test_a_url_for_put_allows_nothing_else(shared_store: Store, method: str) -> None:
    shared_store.put("methods", BODY)
    target = shared_store.presign("PUT", "methods")

    response = shared_store.exchange(shared_store.plain_head(method, target), bodiless=method == "HEAD")

    assert response.status == 403
    assert shared_store.get("methods").body == BODY


def test_get_does_not_imply_head(shared_store: Store) -> None:
    shared_store.put("no-head", BODY)
    target = shared_store.presign("GET", "no-head")

    assert shared_store.exchange(shared_store.plain_head("GET", target)).body == BODY
    assert shared_store.exchange(shared_store.plain_head("HEAD", target), bodiless=True).status == 403


def test_an_expired_url_and_one_from_the_future_are_refused(shared_store: Store) -> None:
    now = datetime.now(UTC)
    expired = shared_store.presign("PUT", "late", now=now - timedelta(hours=2))
    future = shared_store.presign("PUT", "early", now=now + timedelta(minutes=20))

    assert put(shared_store, expired, {"content-length": "10"}).code == "AccessDenied"
    assert put(shared_store, future, {"content-length": "10"}).code == "AccessDenied"
    assert shared_store.get("late").status == 404


def test_a_signed_maximum_is_enforced_before_the_body(store: Store) -> None:
    target = store.presign("PUT", "limited", query={"x-penstock-max-length": "10"})

    response = put(store, target, {"content-length": "11"}, BODY + b"x")

    assert (response.status, response.code) == (400, "EntityTooLarge")
    assert store.stored_files() == []
    assert put(store, target, {"content-length": "10"}).status == 200


def test_a_signed_maximum_cuts_off_an_endless_body(store: Store) -> None:
    target = store.presign("PUT", "endless", query={"x-penstock-max-length": "100000"})
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"

    with store.connect() as connection:
        connection.send(store.plain_head("PUT", target, {"transfer-encoding": "chunked"}))
        sent = 0
        try:
            while sent < 1000:
                connection.send(chunk)
                sent += 1
        except OSError:
            pass
        else:
            pytest.fail("the store went on reading")

    assert store.get("endless").status == 404
    assert store.stored_files() == []


@pytest.mark.parametrize("limit", ["-1", "ten", "", "1e3", "٣"])
def test_a_malformed_maximum_is_refused(shared_store: Store, limit: str) -> None:
    target = shared_store.presign("PUT", "malformed-limit", query={"x-penstock-max-length": limit})

    assert put(shared_store, target, {"content-length": "10"}).code == "InvalidArgument"
