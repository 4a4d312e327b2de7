from __future__ import annotations

import base64
import hashlib
import os
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from penstock.store.digests import digest_of
from penstock.store.layout import entry_name
from tests.store.support import BUCKET, SIGNER, Store, store_in_thread

if TYPE_CHECKING:
    from pathlib import Path

BODY = b"0123456789"
MD5 = hashlib.md5(BODY).hexdigest()  # noqa: S324 - S3's ETag
SHA256 = hashlib.sha256(BODY).digest()


def in_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def object_file(store: Store, key: str) -> Path:
    name = entry_name(BUCKET, key)
    return store.directory / "objects" / name[:2] / name


# --- PUT, GET, HEAD


def test_an_object_comes_back_with_its_type_length_etag_and_metadata(shared_store: Store) -> None:
    put = shared_store.put("whole", BODY, content_type="image/png", x_amz_meta_colour="blue", cache_control="no-store")

    got = shared_store.get("whole")

    assert (put.status, got.status, got.body) == (200, 200, BODY)
    assert put.headers["etag"] == got.headers["etag"] == f'"{MD5}"'
    assert got.headers["content-type"] == "image/png"
    assert got.headers["content-length"] == "10"
    assert got.headers["accept-ranges"] == "bytes"
    assert got.headers["x-amz-meta-colour"] == "blue"
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["last-modified"].endswith(" GMT")
    assert got.headers["x-amz-request-id"]


def test_head_says_what_get_would_say_without_a_body(shared_store: Store) -> None:
    shared_store.put("headed", BODY)

    got, head = shared_store.get("headed"), shared_store.call("HEAD", "headed")

    varying = {"date", "x-amz-request-id"}
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in got.headers.items() if name not in varying
    }


def test_every_object_response_keeps_a_browser_from_acting_on_it(shared_store: Store) -> None:
    shared_store.put("page", b"<script>", content_type="text/html")

    target = shared_store.presign("GET", "page", query={"response-content-type": "text/html"})
    got = shared_store.exchange(shared_store.plain_head("GET", target))

    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"] == "attachment"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert got.headers["referrer-policy"] == "no-referrer"


def test_signed_overrides_set_type_and_disposition_of_media(shared_store: Store) -> None:
    shared_store.put("picture", BODY, content_type="image/png")
    query = {"response-content-type": "image/webp", "response-content-disposition": 'attachment; filename="a.webp"'}

    got = shared_store.exchange(shared_store.plain_head("GET", shared_store.presign("GET", "picture", query=query)))

    assert got.headers["content-type"] == "image/webp"
    assert got.headers["content-disposition"] == 'attachment; filename="a.webp"'


def test_an_override_cannot_add_a_header_line(shared_store: Store) -> None:
    shared_store.put("split", BODY)
    query = {"response-content-disposition": "attachment\r\nSet-Cookie: a=b"}

    got = shared_store.exchange(shared_store.plain_head("GET", shared_store.presign("GET", "split", query=query)))

    assert got.status == 400
    assert "set-cookie" not in got.headers


def test_an_empty_object_is_an_object(shared_store: Store) -> None:
    assert shared_store.put("empty", b"").status == 200

    assert shared_store.get("empty").headers["content-length"] == "0"
    assert shared_store.get("empty", range="bytes=0-").status == 416


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 262_144, 262_145, 1_048_576, 5_000_001])
def test_bodies_of_all_sizes_survive(shared_store: Store, size: int) -> None:
    body = os.urandom(size)

    put = shared_store.put("sized", body)
    got = shared_store.get("sized")

    assert got.body == body
    assert put.headers["etag"] == f'"{hashlib.md5(body).hexdigest()}"'  # noqa: S324 - S3's ETag


@pytest.mark.parametrize(
    "key",
    ["ünï/çødé 😀", "a//b", "a/", "a", "a/b", "..", "../../etc/passwd", "./x", " space ", "a+b", "%2F", "a?b#c&d=e",
     "x" * 1024, "s" * 300 + "/" + "t" * 300, "tab\tand\nnewline", "<&>'\"", ".", "\u202e", "\x7f"],
)  # fmt: skip
def test_any_key_of_1024_bytes_is_an_ordinary_key(shared_store: Store, key: str) -> None:
    assert shared_store.put(key, key.encode()).status == 200

    assert shared_store.get(key).body == key.encode()


def test_a_key_of_1025_bytes_is_refused(shared_store: Store) -> None:
    assert shared_store.put("x" * 1025, BODY).code == "KeyTooLongError"


def test_a_key_with_a_nul_is_refused(shared_store: Store) -> None:
    assert shared_store.put("a\0b", BODY).code == "InvalidURI"


def test_what_is_not_there_is_no_such_key_and_head_has_no_body(shared_store: Store) -> None:
    assert shared_store.get("absent").code == "NoSuchKey"
    head = shared_store.call("HEAD", "absent")
    assert (head.status, head.body) == (404, b"")


def test_an_unknown_bucket_is_no_such_bucket(shared_store: Store) -> None:
    for method in ("GET", "PUT", "DELETE"):
        sent = {"content-length": "0"}
        head = shared_store.head_bytes(method, "/absent-bucket/k", headers=sent)
        assert shared_store.exchange(head).code == "NoSuchBucket"


def test_a_put_without_a_length_is_411(shared_store: Store) -> None:
    head = shared_store.head_bytes("PUT", f"/{BUCKET}/no-length")

    assert shared_store.exchange(head).code == "MissingContentLength"


def test_an_operation_that_is_not_served_is_not_mistaken_for_another(shared_store: Store) -> None:
    shared_store.put("acl", BODY)

    assert shared_store.call("PUT", "acl", query={"acl": ""}, body=b"<AccessControlPolicy/>").code == "NotImplemented"
    assert shared_store.call("DELETE", "acl", query={"tagging": ""}).code == "NotImplemented"

    assert shared_store.get("acl").body == BODY


def test_anonymous_requests_are_denied(shared_store: Store) -> None:
    shared_store.put("private", BODY)

    response = shared_store.exchange(shared_store.plain_head("GET", f"/{BUCKET}/private"))

    assert (response.status, response.code) == (403, "AccessDenied")


# --- integrity


def test_the_digest_of_the_whole_stands_on_every_read_also_of_a_range(shared_store: Store) -> None:
    shared_store.put("whole-digest", BODY)

    answers = [
        shared_store.get("whole-digest"),
        shared_store.get("whole-digest", range="bytes=2-3"),
        shared_store.call("HEAD", "whole-digest"),
    ]

    assert {answer.headers["repr-digest"] for answer in answers} == {f"sha-256=:{in_base64(SHA256)}:"}


def test_checksums_are_returned_when_asked_for_but_never_beside_a_range(shared_store: Store) -> None:
    crc32 = in_base64(zlib.crc32(BODY).to_bytes(4, "big"))
    shared_store.put("hashed", BODY, x_amz_checksum_crc32=crc32)
    mode = {"x-amz-checksum-mode": "ENABLED"}

    whole = [shared_store.call(method, "hashed", headers=mode).headers for method in ("GET", "HEAD")]
    part = shared_store.call("GET", "hashed", headers={**mode, "range": "bytes=2-3"}).headers

    for headers in whole:
        assert headers["x-amz-checksum-sha256"] == in_base64(SHA256)
        assert headers["x-amz-checksum-crc32"] == crc32
        assert headers["x-amz-checksum-type"] == "FULL_OBJECT"
    for headers in (part, shared_store.get("hashed").headers):
        assert not [name for name in headers if name.startswith("x-amz-checksum-")]


@pytest.mark.parametrize(
    ("header", "right"),
    [
        ("content-md5", in_base64(hashlib.md5(BODY).digest())),  # noqa: S324 - S3's ETag
        ("x-amz-checksum-sha256", in_base64(SHA256)),
        ("x-amz-checksum-sha1", in_base64(hashlib.sha1(BODY).digest())),  # noqa: S324 - one of S3's checksums
        ("x-amz-checksum-crc32", in_base64(zlib.crc32(BODY).to_bytes(4, "big"))),
        ("x-amz-checksum-crc32c", in_base64(digest_of("crc32c", BODY))),
        ("x-amz-checksum-crc64nvme", in_base64(digest_of("crc64nvme", BODY))),
    ],
)
def test_declared_checksums_are_compared(shared_store: Store, header: str, right: str) -> None:
    key = f"declared-{header}"
    wrong = in_base64(bytes(len(base64.b64decode(right))))

    assert shared_store.call("PUT", key, headers={header: wrong}, body=BODY).code == "BadDigest"
    unreadable = shared_store.call("PUT", key, headers={header: "???"}, body=BODY)
    assert unreadable.code == ("InvalidDigest" if header == "content-md5" else "BadDigest")
    assert shared_store.get(key).status == 404
    assert shared_store.call("PUT", key, headers={header: right}, body=BODY).status == 200


def test_a_signed_payload_hash_is_compared(shared_store: Store) -> None:
    headers = {"content-length": "10"}
    path = f"/{BUCKET}/payload"
    right, wrong = SHA256.hex(), hashlib.sha256(b"other").hexdigest()

    bad = shared_store.exchange(shared_store.head_bytes("PUT", path, headers=headers, payload_hash=wrong) + BODY)
    assert bad.code == "XAmzContentSHA256Mismatch"
    assert shared_store.get("payload").status == 404

    good = shared_store.exchange(shared_store.head_bytes("PUT", path, headers=headers, payload_hash=right) + BODY)
    assert good.status == 200


def test_a_small_object_that_rots_on_the_disk_is_not_served(store: Store) -> None:
    store.put("rotten", BODY)
    with object_file(store, "rotten").open("r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))

    assert store.get("rotten").status == 500


def test_a_file_that_lost_its_end_is_not_served(store: Store) -> None:
    store.put("truncated", os.urandom(1_000_000))
    os.truncate(object_file(store, "truncated"), 500_000)

    assert store.get("truncated").status == 500
    assert store.put("truncated", BODY).status == 200
    assert store.get("truncated").body == BODY


# --- what SDKs put into the query of a signed URL


def test_metadata_in_the_query_of_a_signed_url_is_kept(shared_store: Store) -> None:
    target = shared_store.presign("PUT", "hoisted", query={"x-amz-meta-colour": "grün", "cache-control": "no-store"})

    put = shared_store.exchange(shared_store.plain_head("PUT", target, {"content-length": "1"}) + b"x")
    got = shared_store.get("hoisted")

    assert (put.status, got.headers["x-amz-meta-colour"].encode("latin-1").decode()) == (200, "grün")
    assert "cache-control" not in got.headers


def test_a_source_in_the_query_of_a_signed_url_is_copied(shared_store: Store) -> None:
    shared_store.put("origin", BODY)
    target = shared_store.presign("PUT", "hoisted-copy", query={"x-amz-copy-source": f"{BUCKET}/origin"})

    assert shared_store.exchange(shared_store.plain_head("PUT", target, {"content-length": "0"})).status == 200
    assert shared_store.get("hoisted-copy").body == BODY


# --- ranges and conditions


def test_a_304_repeats_what_caches_need(shared_store: Store) -> None:
    etag = shared_store.put("cached", BODY, cache_control="max-age=60", x_amz_meta_a="b").headers["etag"]

    unchanged = shared_store.get("cached", if_none_match=etag)

    assert (unchanged.status, unchanged.headers["cache-control"]) == (304, "max-age=60")
    assert "x-amz-meta-a" not in unchanged.headers


@pytest.mark.parametrize("size", [10, 300_000])
def test_ranges_of_small_and_large_objects(shared_store: Store, size: int) -> None:
    body = os.urandom(size)
    shared_store.put("ranged", body)

    middle = shared_store.get("ranged", range="bytes=2-5")
    tail = shared_store.get("ranged", range="bytes=-3")
    beyond = shared_store.get("ranged", range=f"bytes={size}-")

    assert (middle.status, middle.body, middle.headers["content-range"]) == (206, body[2:6], f"bytes 2-5/{size}")
    assert (tail.status, tail.body) == (206, body[-3:])
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert shared_store.get("ranged", range="bytes=1-2,4-5").body == body


def test_conditional_reads_answer_304_and_412(shared_store: Store) -> None:
    etag = shared_store.put("conditional", BODY).headers["etag"]

    unchanged = shared_store.get("conditional", if_none_match=etag)

    assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, b"", etag)
    assert shared_store.get("conditional", if_match='"other"').status == 412
    assert shared_store.get("conditional", if_range='"other"', range="bytes=0-0").status == 200
    assert shared_store.get("conditional", if_range=etag, range="bytes=0-0").status == 206


def test_conditional_writes_leave_the_object_alone_when_they_fail(shared_store: Store) -> None:
    assert shared_store.put("guarded", BODY, if_match='"x"').status == 404
    etag = shared_store.put("guarded", BODY, if_none_match="*").headers["etag"]

    assert shared_store.put("guarded", b"other", if_none_match="*").status == 412
    assert shared_store.put("guarded", b"other", if_match='"x"').status == 412
    assert shared_store.get("guarded").body == BODY
    assert shared_store.put("guarded", b"other", if_match=etag).status == 200


# --- copies: what sealing rests on


def test_a_copy_shares_the_bytes_and_has_a_record_of_its_own(store: Store) -> None:
    etag = store.put("staging", BODY, content_type="text/plain", x_amz_meta_a="b").headers["etag"]

    copied = store.call(
        "PUT",
        "final",
        headers={
            "x-amz-copy-source": f"/{BUCKET}/staging",
            "x-amz-copy-source-if-match": etag,
            "x-amz-metadata-directive": "REPLACE",
            "content-type": "image/png",
        },
    )
    got = store.get("final")

    assert copied.status == 200
    assert f"<ETag>&quot;{MD5}&quot;</ETag>".encode() in copied.body
    assert (got.body, got.headers["content-type"], got.headers["etag"]) == (BODY, "image/png", etag)
    assert "x-amz-meta-a" not in got.headers
    linked = next(path for path in (store.directory / "objects").rglob("*.*"))
    assert linked.stat().st_ino == object_file(store, "staging").stat().st_ino


def test_what_happens_to_the_source_later_does_not_touch_the_copy(store: Store) -> None:
    store.put("staging", BODY)
    store.call("PUT", "final", headers={"x-amz-copy-source": f"{BUCKET}/staging"})

    store.put("staging", b"swapped after the check")
    assert store.get("final").body == BODY
    store.call("DELETE", "staging")
    assert store.get("final").body == BODY

    store.call("DELETE", "final")
    assert store.stored_files() == []


def test_a_copy_without_a_directive_keeps_type_and_metadata(shared_store: Store) -> None:
    shared_store.put("kept", BODY, content_type="image/gif", x_amz_meta_a="b")

    shared_store.call("PUT", "kept-copy", headers={"x-amz-copy-source": f"{BUCKET}/kept"})
    got = shared_store.get("kept-copy")

    assert (got.headers["content-type"], got.headers["x-amz-meta-a"]) == ("image/gif", "b")


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("x-amz-copy-source-if-match", '"other"', 412),
        ("x-amz-copy-source-if-none-match", f'"{MD5}"', 412),
        ("x-amz-copy-source-if-unmodified-since", "Tue, 14 Nov 2000 00:00:00 GMT", 412),
        ("x-amz-copy-source-if-modified-since", "Tue, 14 Nov 2000 00:00:00 GMT", 200),
        ("if-none-match", "*", 200),
        ("x-amz-metadata-directive", "WHATEVER", 400),
    ],
)
def test_a_copy_is_made_only_if_its_conditions_hold(shared_store: Store, name: str, value: str, status: int) -> None:
    target = f"copied-if-{name}"
    shared_store.put("source", BODY)

    response = shared_store.call("PUT", target, headers={"x-amz-copy-source": f"{BUCKET}/source", name: value})

    assert response.status == status
    assert shared_store.get(target).status == (200 if status == 200 else 404)


def test_a_failed_copy_leaves_no_file_behind(store: Store) -> None:
    store.put("source", BODY)
    store.put("taken", b"old")
    before = store.stored_files()
    headers = {"x-amz-copy-source": f"{BUCKET}/source", "if-none-match": "*"}

    assert store.call("PUT", "taken", headers=headers).status == 412

    assert store.stored_files() == before
    assert store.get("taken").body == b"old"


def test_copies_of_copies_and_overwrites_leave_no_stray_data(store: Store) -> None:
    store.put("a", BODY)
    for source, target in (("a", "b"), ("b", "c"), ("c", "b"), ("b", "a")):
        assert store.call("PUT", target, headers={"x-amz-copy-source": f"{BUCKET}/{source}"}).status == 200
    store.put("c", b"new")

    assert [store.get(key).body for key in "abc"] == [BODY, BODY, b"new"]
    assert len(store.stored_files()) == 5  # a and b: record and data each; c: one file


def test_an_object_copied_onto_itself_gets_the_new_type(store: Store) -> None:
    store.put("self", BODY, content_type="text/plain")
    headers = {"x-amz-copy-source": f"{BUCKET}/self", "content-type": "image/png"}

    assert store.call("PUT", "self", headers=headers).code == "InvalidRequest"
    assert store.call("PUT", "self", headers={**headers, "x-amz-metadata-directive": "REPLACE"}).status == 200

    got = store.get("self")
    assert (got.body, got.headers["content-type"]) == (BODY, "image/png")


def test_copy_sources_are_decoded_once(shared_store: Store) -> None:
    shared_store.put("ü %2F", BODY)

    copied = shared_store.call("PUT", "decoded", headers={"x-amz-copy-source": f"/{BUCKET}/%C3%BC%20%252F"})

    assert copied.status == 200


@pytest.mark.parametrize(("source", "code"), [("absent", "NoSuchKey"), ("", "InvalidArgument")])
def test_a_copy_of_nothing_is_refused(shared_store: Store, source: str, code: str) -> None:
    response = shared_store.call("PUT", "nothing", headers={"x-amz-copy-source": f"{BUCKET}/{source}"})

    assert response.code == code


def test_of_many_writers_of_a_free_key_exactly_one_succeeds(shared_store: Store) -> None:
    barrier = threading.Barrier(8)

    def write(number: int) -> int:
        barrier.wait()
        return shared_store.put("contended", str(number).encode(), if_none_match="*").status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(write, range(8)))

    assert sorted(statuses) == [200, *[412] * 7]
    assert shared_store.get("contended").body == str(statuses.index(200)).encode()


# --- deletion


def test_a_deleted_object_is_gone_and_deleting_again_is_no_error(store: Store) -> None:
    store.put("gone", BODY)

    assert [store.call("DELETE", "gone").status for _ in range(2)] == [204, 204]
    assert store.get("gone").status == 404
    assert store.stored_files() == []


def test_a_deletion_may_depend_on_the_version_that_was_seen(store: Store) -> None:
    etag = store.put("seen", BODY).headers["etag"]

    assert store.call("DELETE", "seen", headers={"if-match": '"another"'}).code == "PreconditionFailed"
    assert store.get("seen").status == 200
    assert [store.call("DELETE", "seen", headers={"if-match": etag}).status for _ in range(2)] == [204, 204]
    assert store.get("seen").status == 404


def test_conditions_on_single_keys_of_a_list_are_not_forgotten(shared_store: Store) -> None:
    shared_store.put("listed", BODY)
    body = b'<Delete><Object><Key>listed</Key><ETag>"x"</ETag></Object></Delete>'

    assert shared_store.call("POST", "", query={"delete": ""}, body=body).code == "NotImplemented"
    assert shared_store.get("listed").status == 200


def test_many_objects_are_deleted_in_one_request(shared_store: Store) -> None:
    for key in ("m1", "m2<&>"):
        shared_store.put(key, BODY)
    body = (
        b"<Delete><Object><Key>m1</Key></Object><Object><Key>m2&lt;&amp;&gt;</Key></Object>"
        b"<Object><Key>never</Key></Object></Delete>"
    )

    response = shared_store.call("POST", "", query={"delete": ""}, body=body)

    assert response.status == 200
    assert response.body.count(b"<Deleted>") == 3
    assert shared_store.get("m2<&>").status == 404


@pytest.mark.parametrize(
    "body",
    [b"", b"<Delete>", b"<Delete/>", b"<Other/>", b"<Delete><Object/></Delete>",
     b'<!DOCTYPE d [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>',
     "<Delete><Object><Key>a</Key></Object></Delete>".encode("utf-16"),
     b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>"],
)  # fmt: skip
def test_a_malformed_list_of_keys_is_refused(shared_store: Store, body: bytes) -> None:
    assert shared_store.call("POST", "", query={"delete": ""}, body=body).code == "MalformedXML"


# --- across restarts


def test_everything_is_there_after_a_restart_also_in_listings(tmp_path: Path) -> None:
    with store_in_thread(tmp_path) as store:
        store.put("kept/1", BODY, content_type="image/png")
        store.call("PUT", "kept/2", headers={"x-amz-copy-source": f"{BUCKET}/kept/1"})
        store.put("dropped", BODY)
        store.call("DELETE", "dropped")
        listing = store.call("GET", "", query={"list-type": "2"}).body
    (tmp_path / "tmp" / "leftover").write_bytes(b"of a crash")
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"index.sqlite3{suffix}").unlink(missing_ok=True)

    with store_in_thread(tmp_path) as store:
        assert store.get("kept/1").headers["content-type"] == "image/png"
        assert store.get("kept/2").body == BODY
        assert store.call("GET", "", query={"list-type": "2"}).body == listing
        assert not (tmp_path / "tmp" / "leftover").exists()


def test_secrets_and_signatures_never_show_in_an_answer(shared_store: Store) -> None:
    target = shared_store.presign("GET", "x") + "0"

    response = shared_store.exchange(shared_store.plain_head("GET", target))

    assert response.status == 403
    assert SIGNER.credentials.secret_key.encode() not in response.body
    assert b"X-Amz-Signature" not in response.body
