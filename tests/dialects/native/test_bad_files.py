"""Bytes that do not come as declared: refused, nothing kept, and a right attempt works."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.support.exchange import exchange
from tests.support.native import Native, problem, put

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _nothing_arrived(alice: Native, upload: Mapping[str, Any], photo: bytes) -> None:
    """No asset, the upload still waits, and the same URL takes the right bytes."""
    problem(alice.post(f"/uploads/{upload['id']}/complete"), 404, "file_not_stored")
    assert list(alice.all("/assets")) == []
    assert alice.get(f"/uploads/{upload['id']}").must(200)["state"] == "pending"
    put(upload, photo).must(200)
    assert alice.post(f"/uploads/{upload['id']}/complete").must(200)["size_bytes"] == len(photo)


def test_completing_before_the_put_is_refused(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)

    said = problem(alice.post(f"/uploads/{upload['id']}/complete"), 404, "file_not_stored")

    assert said["detail"] == "the bytes of this upload have not arrived"
    _nothing_arrived(alice, upload, photo)


def test_another_content_type_than_the_declared_one_is_refused(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)

    assert put(upload, photo, Content_Type="image/jpeg").status == 403
    _nothing_arrived(alice, upload, photo)


def test_a_missing_content_type_is_refused(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)

    assert exchange("PUT", upload["upload_url"], photo).status == 403
    _nothing_arrived(alice, upload, photo)


@pytest.mark.parametrize("change", [-1, 1, 2000])
def test_another_length_than_the_declared_one_is_refused(alice: Native, photo: bytes, change: int) -> None:
    upload = alice.begin(photo)
    other = photo[:change] if change < 0 else photo + bytes(change)

    assert put(upload, other, Content_Length=str(len(other))).status == 403
    _nothing_arrived(alice, upload, photo)


def test_a_body_that_is_cut_off_leaves_nothing(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    parts = urlsplit(upload["upload_url"])
    head = "".join(f"{name}: {value}\r\n" for name, value in upload["headers"].items())

    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        connection.sendall(f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n{head}\r\n".encode())
        connection.sendall(photo[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert not connection.makefile("rb").read().startswith(b"HTTP/1.1 200")

    _nothing_arrived(alice, upload, photo)


@pytest.mark.parametrize("part", ["path", "X-Amz-Signature", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"])
def test_a_url_that_was_tampered_with_is_refused(alice: Native, photo: bytes, part: str) -> None:
    upload = alice.begin(photo)
    url = urlsplit(upload["upload_url"])
    query = dict(parse_qsl(url.query))
    if part == "path":
        url = url._replace(path=url.path.replace("staging", "assets"))
    else:
        query[part] = {"X-Amz-Expires": "604800", "X-Amz-SignedHeaders": "host"}.get(part, query[part][::-1])
    tampered = url._replace(query=urlencode(query)).geturl()

    assert 400 <= exchange("PUT", tampered, photo, headers=upload["headers"]).status < 404
    _nothing_arrived(alice, upload, photo)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
def test_a_url_for_writing_does_nothing_else(alice: Native, photo: bytes, method: str) -> None:
    upload = alice.begin(photo)
    put(upload, photo).must(200)

    assert exchange(method, upload["upload_url"]).status in {403, 405}
    alice.post(f"/uploads/{upload['id']}/complete").must(200)


def test_an_extra_amz_header_is_refused(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)

    assert put(upload, photo, X_Amz_Acl="public-read").status == 403
    _nothing_arrived(alice, upload, photo)


def test_without_a_declared_size_the_limit_still_holds(alice: Native, photo: bytes) -> None:
    upload = alice.post("/uploads", {"filename": "big.png", "content_type": "image/png"}).must(201)
    limit = f"x-penstock-max-length={5 * 2**30}"
    assert limit in upload["upload_url"]
    raised = upload["upload_url"].replace(limit, f"x-penstock-max-length={2**40}")

    assert exchange("PUT", raised, photo, headers=upload["headers"]).status == 403
    assert put(upload, None, Content_Length=str(5 * 2**30 + 1)).status in {400, 413}
    _nothing_arrived(alice, upload, photo)


def test_bytes_that_come_again_after_completion_change_nothing(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    put(upload, photo).must(200)
    asset = alice.settled(alice.post(f"/uploads/{upload['id']}/complete").must(200))

    put(upload, bytes(len(photo)))
    again = alice.post(f"/uploads/{upload['id']}/complete").must(200)

    assert again == asset
    assert exchange("GET", exchange("GET", asset["url"]).headers["location"]).body == photo


@pytest.mark.parametrize("declared", ["text/plain", "image/jpeg", "video/mp4"])
def test_bytes_of_another_type_than_declared_are_refused_and_not_kept(
    alice: Native, photo: bytes, declared: str
) -> None:
    upload = alice.begin(photo, "words.txt", declared)
    put(upload, photo).must(200)

    said = alice.post(f"/uploads/{upload['id']}/complete").must(422)

    assert (said["code"], alice.get(f"/uploads/{upload['id']}").must(200)["state"]) == ("file_type_mismatch", "failed")
    assert "image/png" in said["detail"]
    assert declared in said["detail"]


@pytest.mark.parametrize(
    ("filename", "kept", "disposition"),
    [
        ("../../etc/passwd.png", "passwd.png", 'inline; filename="passwd.png"'),
        ("C:\\Users\\me\\cat.png", "cat.png", 'inline; filename="cat.png"'),
        ("a\r\nX-Evil: 1.png", "aX-Evil 1.png", 'inline; filename="aX-Evil 1.png"'),
        ("a\0b\x7f.png", "ab.png", 'inline; filename="ab.png"'),
        ("\u202egnp.exe", "gnp.exe", 'inline; filename="gnp.exe"'),
        ('"; x="1.png', '"; x="1.png', "inline; filename=\"_; x=_1.png\"; filename*=UTF-8''%22%3B%20x%3D%221.png"),
        ("naïve é.png", "naïve é.png", "inline; filename=\"na_ve _.png\"; filename*=UTF-8''na%C3%AFve%20%C3%A9.png"),
        ("cafe\u0301.png", "café.png", "inline; filename=\"caf_.png\"; filename*=UTF-8''caf%C3%A9.png"),
        ("写真.png", "写真.png", "inline; filename=\"__.png\"; filename*=UTF-8''%E5%86%99%E7%9C%9F.png"),
        ("😀.png", "😀.png", "inline; filename=\"_.png\"; filename*=UTF-8''%F0%9F%98%80.png"),
        ("100%25.png", "100%25.png", "inline; filename=\"100_25.png\"; filename*=UTF-8''100%2525.png"),
        ("...", "file", 'inline; filename="file"'),
        ("   ", "file", 'inline; filename="file"'),
    ],
)  # fmt: skip
def test_a_file_name_is_a_label_and_comes_back_as_one(
    alice: Native, photo: bytes, filename: str, kept: str, disposition: str
) -> None:
    asset = alice.upload(photo, filename)

    answer = exchange("GET", exchange("GET", asset["url"]).headers["location"])

    assert asset["filename"] == kept
    assert answer.headers["content-disposition"] == disposition
    assert answer.headers["x-evil"] is None
    assert answer.body == photo


def test_active_content_is_handed_out_as_a_download(alice: Native) -> None:
    page = alice.upload(b"<!doctype html><script>alert(1)</script>", "page.html", "text/html")

    answer = exchange("GET", exchange("GET", page["url"]).headers["location"])

    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_name_that_is_far_too_long_keeps_its_extension(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo, "é" * 400 + ".png")

    assert asset["filename"].endswith("é.png")
    assert len(asset["filename"].encode()) <= 200
    assert exchange("GET", asset["url"]).status == 307


def test_a_key_that_may_only_read_stores_nothing(make_account: Callable[..., Native], photo: bytes) -> None:
    reader = make_account("files:read", "runs:read", "account:read")
    declared = {"filename": "a.png", "content_type": "image/png", "size_bytes": len(photo)}

    problem(reader.post("/uploads", declared), 403, "scope_missing")

    assert reader.kept()[:3] == ([], [], [])
