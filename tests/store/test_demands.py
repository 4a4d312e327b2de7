from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.store.demands import kept_acl, require_kept
from penstock.store.faults import Refused
from tests.store.support import BUCKET, Response, Store, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


def refusal(parameters: dict[str, str], *, public_acls: bool = False) -> str:
    try:
        require_kept(parameters, public_acls=public_acls)
    except Refused as refused:
        return refused.fault.code
    return ""


# --- what a request may ask for


@pytest.mark.parametrize("acl", ["", "private", "bucket-owner-read", "bucket-owner-full-control"])
def test_an_acl_that_lets_nobody_in_is_what_every_object_has(acl: str) -> None:
    assert refusal({"x-amz-acl": acl}) == ""
    assert kept_acl({"x-amz-acl": acl}) == ""


@pytest.mark.parametrize("acl", ["public-read", "public-read-write"])
def test_a_public_acl_is_refused_unless_it_would_hold(acl: str) -> None:
    assert refusal({"x-amz-acl": acl}) == "AccessControlListNotSupported"
    assert refusal({"x-amz-acl": acl}, public_acls=True) == ""
    assert kept_acl({"x-amz-acl": acl}) == acl


@pytest.mark.parametrize("public_acls", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-amz-acl", "authenticated-read", "AccessControlListNotSupported"),
        ("x-amz-acl", "everybody", "InvalidArgument"),
        ("x-amz-grant-read", 'uri="http://acs.amazonaws.com/groups/global/AllUsers"', "AccessControlListNotSupported"),
        ("x-amz-server-side-encryption", "AES256", "NotImplemented"),
        ("x-amz-server-side-encryption-customer-key", "x", "NotImplemented"),
        ("x-amz-copy-source-server-side-encryption-customer-key", "x", "NotImplemented"),
        ("x-amz-object-lock-mode", "COMPLIANCE", "NotImplemented"),
        ("x-amz-tagging", "a=b", "NotImplemented"),
        ("x-amz-if-match-size", "5", "NotImplemented"),
        ("x-amz-expected-bucket-owner", "123456789012", "NotImplemented"),
        ("x-amz-website-redirect-location", "/x", "NotImplemented"),
        ("x-amz-storage-class", "GLACIER", "InvalidStorageClass"),
        ("x-amz-storage-class", "STANDARD", ""),
        ("x-amz-tagging-directive", "COPY", ""),
        ("x-amz-meta-acl", "public-read", ""),
    ],
)
def test_what_would_be_forgotten_is_refused(name: str, value: str, code: str, public_acls: bool) -> None:
    assert refusal({name: value}, public_acls=public_acls) == code


def test_a_refused_demand_stores_nothing(shared_store: Store) -> None:
    assert shared_store.put("demanding", b"x", x_amz_acl="public-read").code == "AccessControlListNotSupported"
    presigned = shared_store.presign("PUT", "demanding", query={"x-amz-tagging": "a=b"})
    answer = shared_store.exchange(shared_store.plain_head("PUT", presigned, {"content-length": "1"}) + b"x")

    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert shared_store.get("demanding").status == 404


# --- without a signature


def unsigned(store: Store, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body:
        sent["content-length"] = str(len(body))
    return store.exchange(store.plain_head(method, path, sent) + body, bodiless=method == "HEAD")


def form(*fields: tuple[str, str]) -> bytes:
    parts = [f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields]
    file = '--edge\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nposted\r\n--edge--\r\n'
    return "".join([*parts, file]).encode()


def post(store: Store, bucket: str, *fields: tuple[str, str]) -> Response:
    return unsigned(store, "POST", f"/{bucket}", form(*fields), content_type="multipart/form-data; boundary=edge")


def create(store: Store, bucket: str, acl: str) -> Response:
    headers = {"content-length": "0", "x-amz-acl": acl}
    return store.exchange(store.head_bytes("PUT", f"/{bucket}", headers=headers))


@pytest.fixture(scope="module")
def open_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store_in_thread(tmp_path_factory.mktemp("public"), public_acls=True) as store:
        for bucket, acl in (("closed", "private"), ("shown", "public-read"), ("open", "public-read-write")):
            assert create(store, bucket, acl).status == 200
        store.put("private", b"secret")
        store.put("public", b"<p>", x_amz_acl="public-read", content_type="text/html")
        yield store


def test_everybody_reads_public_objects_as_a_browser_may_see_them(open_store: Store) -> None:
    got = unsigned(open_store, "GET", f"/{BUCKET}/public")

    assert (got.status, got.body) == (200, b"<p>")
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"] == "attachment"
    assert "x-amz-acl" not in got.headers
    assert unsigned(open_store, "HEAD", f"/{BUCKET}/public").status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/{BUCKET}/private"),
        ("HEAD", f"/{BUCKET}/private"),
        ("GET", f"/{BUCKET}/missing"),
        ("GET", f"/{BUCKET}/public?attributes"),
        ("GET", f"/{BUCKET}/public?uploadId=x"),
        ("PUT", f"/{BUCKET}/public"),
        ("DELETE", f"/{BUCKET}/public"),
        ("PUT", "/open/k"),
        ("DELETE", "/open/k"),
        ("POST", "/open/k?uploads"),
        ("GET", "/"),
        ("GET", f"/{BUCKET}"),
        ("GET", "/closed"),
        ("GET", "/missing"),
        ("GET", "/open?cors"),
        ("GET", "/open?versions"),
        ("PUT", "/open?cors"),
        ("POST", "/open?delete"),
        ("DELETE", "/open"),
        ("PUT", "/unheard-of"),
    ],
)
def test_nobody_does_anything_else_without_a_signature(open_store: Store, method: str, path: str) -> None:
    answer = unsigned(open_store, method, path, content_length="0")

    assert (answer.status, answer.code) == (403, "" if method == "HEAD" else "AccessDenied")


def test_overrides_need_a_signature(open_store: Store) -> None:
    answer = unsigned(open_store, "GET", f"/{BUCKET}/public?response-content-type=image/png")

    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_everybody_lists_public_buckets(open_store: Store) -> None:
    assert unsigned(open_store, "GET", "/shown?list-type=2").status == 200
    assert unsigned(open_store, "GET", "/open?bucket=open&key=k").status == 200
    assert unsigned(open_store, "HEAD", "/shown").status == 200


def test_everybody_posts_forms_to_a_bucket_that_is_open_for_writing(open_store: Store) -> None:
    answer = post(open_store, "open", ("key", "in/${filename}"), ("acl", "public-read"))

    assert answer.status == 204
    assert unsigned(open_store, "GET", "/open/in/a.txt").body == b"posted"
    assert [post(open_store, bucket, ("key", "k")).status for bucket in ("shown", "closed", BUCKET)] == [403] * 3


def test_a_form_that_tries_to_be_signed_is_held_to_its_policy_also_in_an_open_bucket(open_store: Store) -> None:
    assert post(open_store, "open", ("key", "k"), ("x-amz-signature", "0" * 64)).status == 400
    assert post(open_store, "open", ("key", "k"), ("key", "l")).code == "InvalidArgument"


def test_a_copy_of_a_public_object_is_private_unless_it_asks_again(open_store: Store) -> None:
    source = {"x-amz-copy-source": f"{BUCKET}/public"}
    open_store.call("PUT", "copied", headers=source)
    open_store.call("PUT", "copied-public", headers={**source, "x-amz-acl": "public-read"})

    assert unsigned(open_store, "GET", f"/{BUCKET}/copied").status == 403
    assert unsigned(open_store, "GET", f"/{BUCKET}/copied-public").status == 200


def test_a_bad_signature_is_no_missing_one(open_store: Store) -> None:
    target = open_store.presign("GET", "public") + "0"

    assert unsigned(open_store, "GET", target).code == "SignatureDoesNotMatch"
    assert unsigned(open_store, "GET", f"/{BUCKET}/public", authorization="AWS4-HMAC-SHA256 x").status == 400


def test_a_store_that_keeps_no_public_acls_lets_nobody_in(shared_store: Store) -> None:
    assert create(shared_store, "shown", "public-read").code == "AccessControlListNotSupported"
    assert unsigned(shared_store, "GET", "/shown").code == "AccessDenied"
    assert unsigned(shared_store, "GET", f"/{BUCKET}").code == "AccessDenied"
    assert post(shared_store, BUCKET, ("key", "k")).code == "AccessDenied"


def test_public_acls_hold_only_while_the_store_is_told_to_keep_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("formerly-public")
    answers: list[int] = []
    for public in (True, False, True):
        with store_in_thread(directory, public_acls=public) as store:
            if not answers:
                store.put("k", b"x", x_amz_acl="public-read")
            answers.append(unsigned(store, "GET", f"/{BUCKET}/k").status)

    assert answers == [200, 403, 200]
