from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
import threading
import zlib
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from awscrt import checksums as aws

from penstock.store.config import Limits
from penstock.store.layout import entry_name
from penstock.store.syncs import observed
from tests.store.support import BUCKET, Response, Store, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
LEAST = 5


@pytest.fixture(scope="module")
def small_parts(tmp_path_factory: pytest.TempPathFactory, encryption_key_file: Path | None) -> Iterator[Store]:
    """A store whose parts may be as small as 5 bytes."""
    limits = Limits(reserve_bytes=0, least_part_bytes=LEAST)
    with store_in_thread(
        tmp_path_factory.mktemp("store"),
        limits=limits,
        cors_origins=("https://app.test",),
        encryption_key_file=encryption_key_file,
    ) as store:
        yield store


def text(response: Response, name: str) -> str:
    """The text of the first element of this name, whatever its depth."""
    node = tree(response).find(f".//{NAMESPACE}{name}")
    assert node is not None, response.body
    return node.text or ""


def texts(response: Response, name: str) -> list[str]:
    return [node.text or "" for node in tree(response).iter(f"{NAMESPACE}{name}")]


def tree(response: Response) -> ET.Element:
    return ET.fromstring(response.body)  # noqa: S314 - an answer of the store under test


def create(store: Store, key: str, **headers: str) -> str:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = store.call("POST", key, query={"uploads": ""}, headers=sent)
    assert response.status == 200, response.body
    return text(response, "UploadId")


def put_part(store: Store, key: str, upload: str, number: object, body: bytes, **headers: str) -> Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return store.call("PUT", key, query={"partNumber": str(number), "uploadId": upload}, headers=sent, body=body)


def listing(*parts: tuple[object, object]) -> bytes:
    nodes = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    return f"<CompleteMultipartUpload>{nodes}</CompleteMultipartUpload>".encode()


def complete(
    store: Store, key: str, upload: str, *parts: tuple[object, object], headers: Mapping[str, str] | None = None
) -> Response:
    return store.call("POST", key, query={"uploadId": upload}, headers=headers, body=listing(*parts))


def upload_parts(store: Store, key: str, upload: str, bodies: Mapping[int, bytes]) -> list[tuple[object, object]]:
    """Send parts in this order; (number, ETag) ascending."""
    found: dict[int, str] = {}
    for number, body in bodies.items():
        response = put_part(store, key, upload, number, body)
        assert response.status == 200, response.body
        found[number] = response.headers["etag"]
    return [(number, etag) for number, etag in sorted(found.items())]


def uploaded(store: Store, key: str, bodies: Mapping[int, bytes], **headers: str) -> Response:
    upload = create(store, key, **headers)
    response = complete(store, key, upload, *upload_parts(store, key, upload, bodies))
    assert response.status == 200, response.body
    return response


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def test_parts_out_of_order_with_gaps_become_one_object_with_its_metadata(small_parts: Store) -> None:
    bodies = {7: b"77777", 1: b"11111", 3: b"3333333"}
    headers = {"content_type": "image/png", "x_amz_meta_colour": "red", "cache_control": "no-store"}

    done = uploaded(small_parts, "gaps", bodies, **headers)
    response = small_parts.get("gaps")

    expected = md5(bytes.fromhex(md5(bodies[1]) + md5(bodies[3]) + md5(bodies[7]))) + "-3"
    assert text(done, "ETag") == response.headers["etag"] == f'"{expected}"'
    assert (text(done, "Bucket"), text(done, "Key"), text(done, "Location")) == (BUCKET, "gaps", f"/{BUCKET}/gaps")
    assert response.body == b"11111333333377777"
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-amz-meta-colour"] == "red"
    assert response.headers["cache-control"] == "no-store"


def test_an_upload_is_no_object_before_it_is_complete(small_parts: Store) -> None:
    small_parts.put("pending", b"old")
    upload = create(small_parts, "pending")
    parts = upload_parts(small_parts, "pending", upload, {1: b"new"})

    assert small_parts.get("pending").body == b"old"
    assert complete(small_parts, "pending", upload, *parts).status == 200
    assert small_parts.get("pending").body == b"new"


@pytest.mark.parametrize("spelling", ["{}", '"{}"', "&quot;{}&quot;"])
def test_every_spelling_of_a_parts_etag_is_accepted(small_parts: Store, spelling: str) -> None:
    upload = create(small_parts, "spelled")
    put_part(small_parts, "spelled", upload, 1, b"spelled")

    assert complete(small_parts, "spelled", upload, (1, spelling.format(md5(b"spelled")))).status == 200


ONE, TWO = md5(b"11111"), md5(b"22")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (listing((1, "0" * 32)), "InvalidPart"),
        (listing((1, "")), "InvalidPart"),
        (b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>", "InvalidPart"),
        (listing((1, ONE), (5, ONE)), "InvalidPart"),
        (listing((2, TWO), (1, ONE)), "InvalidPartOrder"),
        (listing((1, ONE), (1, ONE)), "InvalidPartOrder"),
        (listing((0, ONE)), "InvalidArgument"),
        (listing((10_001, ONE)), "InvalidArgument"),
        (listing(), "MalformedXML"),
        (b"", "MalformedXML"),
        (b"<CompleteMultipartUpload><Part>", "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (listing((2, TWO), (3, ONE)), "EntityTooSmall"),
    ],
)
def test_a_completion_that_is_wrong_leaves_the_upload_open_and_completable(
    small_parts: Store, body: bytes, code: str
) -> None:
    upload = create(small_parts, "wrong")
    parts = upload_parts(small_parts, "wrong", upload, {1: b"11111", 2: b"22", 3: b"11111"})

    refused = small_parts.call("POST", "wrong", query={"uploadId": upload}, body=body)

    assert (refused.status, refused.code) == (400, code)
    assert complete(small_parts, "wrong", upload, parts[0], parts[1]).status == 200
    assert small_parts.get("wrong").body == b"1111122"


def test_parts_but_the_last_must_have_5_mib(shared_store: Store) -> None:
    upload = create(shared_store, "five")
    five = 5 * 1024 * 1024
    parts = upload_parts(shared_store, "five", upload, {1: bytes(five), 2: bytes(five - 1), 3: b"end"})

    refused = complete(shared_store, "five", upload, *parts)

    assert (refused.status, refused.code) == (400, "EntityTooSmall")
    assert complete(shared_store, "five", upload, parts[0], parts[2]).status == 200
    assert shared_store.get("five").body == bytes(five) + b"end"


@pytest.mark.parametrize("number", ["0", "10001", "-1", "one", "", "1.0"])
def test_a_part_number_is_one_of_1_to_10000(small_parts: Store, number: str) -> None:
    upload = create(small_parts, "numbers")

    response = put_part(small_parts, "numbers", upload, number, b"body")

    assert (response.status, response.code) == (400, "InvalidArgument")


def test_a_part_sent_again_replaces_the_first(small_parts: Store) -> None:
    upload = create(small_parts, "again")
    first = put_part(small_parts, "again", upload, 1, b"first").headers["etag"]
    second = put_part(small_parts, "again", upload, 1, b"second").headers["etag"]

    assert complete(small_parts, "again", upload, (1, first)).code == "InvalidPart"
    assert complete(small_parts, "again", upload, (1, second)).status == 200
    assert small_parts.get("again").body == b"second"


def test_a_part_that_breaks_off_replaces_nothing(small_parts: Store) -> None:
    upload = create(small_parts, "broken")
    parts = upload_parts(small_parts, "broken", upload, {1: b"whole"})
    query = {"partNumber": "1", "uploadId": upload}
    with small_parts.connect() as connection:
        head = small_parts.head_bytes("PUT", f"/{BUCKET}/broken", headers={"content-length": "100"}, query=query)
        connection.send(head + b"half")
        connection.socket.shutdown(1)
        response = connection.read_response()

    assert response.code == "IncompleteBody"
    assert complete(small_parts, "broken", upload, *parts).status == 200
    assert small_parts.get("broken").body == b"whole"


def test_completing_again_gives_the_same_answer_also_when_the_key_has_changed(small_parts: Store) -> None:
    upload = create(small_parts, "repeat")
    parts = upload_parts(small_parts, "repeat", upload, {1: b"11111", 2: b"2"})
    first = complete(small_parts, "repeat", upload, *parts)

    second = complete(small_parts, "repeat", upload, *parts, headers={"if-none-match": "*"})
    small_parts.call("DELETE", "repeat")
    third = complete(small_parts, "repeat", upload, *parts)

    assert first.status == second.status == third.status == 200
    assert first.body == second.body == third.body
    assert small_parts.get("repeat").status == 404
    assert complete(small_parts, "repeat", upload, parts[0]).code == "NoSuchUpload"


def test_twenty_clients_that_complete_at_once_get_the_same_answer(small_parts: Store) -> None:
    upload = create(small_parts, "crowd")
    parts = upload_parts(small_parts, "crowd", upload, {number: b"%05d" % number for number in range(1, 6)})
    barrier = threading.Barrier(20)
    answers: list[Response] = []

    def client() -> None:
        barrier.wait()
        answers.append(complete(small_parts, "crowd", upload, *parts))

    threads = [threading.Thread(target=client) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert small_parts.get("crowd").body == b"0000100002000030000400005"


def test_part_urls_are_dead_after_completion(small_parts: Store) -> None:
    upload = create(small_parts, "sealed")
    query = {"partNumber": "1", "uploadId": upload}
    target = small_parts.presign("PUT", "sealed", query=query)
    head = small_parts.plain_head("PUT", target, {"content-length": "4"})
    etag = small_parts.exchange(head + b"true").headers["etag"]
    complete(small_parts, "sealed", upload, (1, etag))

    with small_parts.connect() as connection:
        expecting = {"content-length": "4", "expect": "100-continue"}
        connection.send(small_parts.plain_head("PUT", target, expecting))
        late = connection.read_response()

    assert (late.status, late.code) == (404, "NoSuchUpload")
    assert small_parts.get("sealed").body == b"true"


@pytest.mark.parametrize("ending", ["complete", "abort"])
def test_a_part_that_is_on_its_way_when_the_upload_ends_finds_no_upload(small_parts: Store, ending: str) -> None:
    upload = create(small_parts, "race")
    parts = upload_parts(small_parts, "race", upload, {1: b"first"})
    query = {"partNumber": "1", "uploadId": upload}
    with small_parts.connect() as connection:
        head = small_parts.head_bytes(
            "PUT", f"/{BUCKET}/race", headers={"content-length": "6", "expect": "100-continue"}, query=query
        )
        connection.send(head)
        assert connection.read_response().status == 100
        connection.send(b"swa")
        if ending == "complete":
            assert complete(small_parts, "race", upload, *parts).status == 200
        else:
            assert small_parts.call("DELETE", "race", query={"uploadId": upload}).status == 204
        connection.send(b"ped")
        late = connection.read_response()

    assert (late.status, late.code) == (404, "NoSuchUpload")
    assert not list((small_parts.directory / "tmp").iterdir())
    if ending == "complete":
        assert small_parts.get("race").body == b"first"


def test_an_aborted_upload_takes_nothing_more_and_leaves_nothing(store: Store) -> None:
    upload = create(store, "key")
    parts = upload_parts(store, "key", upload, {1: b"part"})
    with_id = {"uploadId": upload}

    assert store.call("DELETE", "key", query=with_id).status == 204

    answers = [
        store.call("DELETE", "key", query=with_id),
        store.call("GET", "key", query=with_id),
        put_part(store, "key", upload, 1, b"late"),
        complete(store, "key", upload, *parts),
    ]
    assert [(answer.status, answer.code) for answer in answers] == [(404, "NoSuchUpload")] * 4
    assert store.stored_files() == []


def test_an_upload_belongs_to_its_key(small_parts: Store) -> None:
    upload = create(small_parts, "mine")

    assert put_part(small_parts, "yours", upload, 1, b"body").code == "NoSuchUpload"
    assert small_parts.call("DELETE", "yours", query={"uploadId": upload}).code == "NoSuchUpload"
    assert put_part(small_parts, "mine", upload, 1, b"body").status == 200


def test_presigned_parts_take_any_content_type_and_have_an_etag_that_is_no_md5(small_parts: Store) -> None:
    upload = create(small_parts, "browser")
    etags = []
    for number, body in ((1, b"11111"), (2, b"22222")):
        target = small_parts.presign("PUT", "browser", query={"partNumber": str(number), "uploadId": upload})
        headers = {"content-length": "5", "content-type": f"video/{number}", "origin": "https://app.test"}
        response = small_parts.exchange(small_parts.plain_head("PUT", target, headers) + body)
        assert response.status == 200
        assert response.headers["access-control-allow-origin"] == "https://app.test"
        assert "ETag" in response.headers["access-control-expose-headers"]
        etags.append(response.headers["etag"])

    done = complete(small_parts, "browser", upload, (1, etags[0]), (2, etags[1]))

    assert etags[0] == f'"sha256-{hashlib.sha256(b"11111").hexdigest()}"'
    assert re.fullmatch(r'"sha256-[0-9a-f]{64}-2"', text(done, "ETag"))
    assert small_parts.get("browser").body == b"1111122222"


def put_under_its_checksum(store: Store, key: str, upload: str, number: int, body: bytes, **query: str) -> Response:
    """A part that is to be kept under its CRC-64/NVME alone, of which it has a wrong one with `crc64nvme=…`."""
    claim = {"x-amz-checksum-crc64nvme": encoded(aws.crc64nvme(body).to_bytes(8, "big"))}
    if wrong := query.pop("crc64nvme", None):
        claim = {"x-amz-checksum-crc64nvme": wrong}
    asked = {"partNumber": str(number), "uploadId": upload, "x-penstock-only-checksum": "crc64nvme", **query}
    target = store.presign("PUT", key, query=asked, headers=claim)
    return store.exchange(store.plain_head("PUT", target, {**claim, "content-length": str(len(body))}) + body)


def test_a_part_that_is_kept_under_its_checksum_alone_has_an_etag_of_its_own(small_parts: Store) -> None:
    upload, body = create(small_parts, "quick"), os.urandom(1_500_000)

    first, again, other = [put_under_its_checksum(small_parts, "quick", upload, n, body) for n in (1, 1, 2)]

    etags = [response.headers["etag"] for response in (first, again, other)]
    assert len(set(etags)) == 3
    assert all(re.fullmatch(r'"part-[0-9a-f]{32}"', etag) for etag in etags)
    assert complete(small_parts, "quick", upload, (1, first.headers["etag"]), (2, etags[2])).code == "InvalidPart"
    assert complete(small_parts, "quick", upload, (1, etags[1]), (2, etags[2])).status == 200
    got = small_parts.get("quick")
    assert got.body == body * 2
    assert re.fullmatch(r'"sha256-[0-9a-f]{64}-2"', got.headers["etag"])
    assert "repr-digest" not in got.headers


def test_the_page_cache_of_a_part_that_nobody_reads_back_is_free_again_when_the_part_is_durable(
    small_parts: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    advise = os.posix_fadvise

    def seen(fd: int, offset: int, length: int, advice: int) -> None:
        told.append((offset, length, advice))
        advise(fd, offset, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", seen)
    upload, body = create(small_parts, "passing"), os.urandom(1_500_000)
    with observed(lambda _, of: told.append(of)):
        assert put_under_its_checksum(small_parts, "passing", upload, 1, body).status == 200

    freed = (0, len(body), os.POSIX_FADV_DONTNEED)
    assert told.index("file") < told.index(freed)
    told.clear()
    assert small_parts.call("PUT", "passing", query={"partNumber": "2", "uploadId": upload}, body=body).status == 200
    assert freed not in told


def test_a_part_is_not_kept_under_a_checksum_that_it_does_not_have(small_parts: Store) -> None:
    upload, body = create(small_parts, "wrong"), os.urandom(600_000)

    refused = put_under_its_checksum(small_parts, "wrong", upload, 1, body, crc64nvme=encoded(b"8 bytes!"))

    assert refused.code == "BadDigest"
    assert texts(small_parts.call("GET", "wrong", query={"uploadId": upload}), "PartNumber") == []


def test_only_a_presigned_crc64_alone_spares_a_part_its_sha256(small_parts: Store) -> None:
    upload, body = create(small_parts, "strict"), b"12345"
    query = {"partNumber": "1", "uploadId": upload, "x-penstock-only-checksum": "crc64nvme"}
    bare = small_parts.presign("PUT", "strict", query=query)
    crc = {"x-amz-checksum-crc64nvme": encoded(aws.crc64nvme(body).to_bytes(8, "big"))}

    refused = [
        small_parts.exchange(small_parts.plain_head("PUT", bare, {"content-length": "5"}) + body),
        small_parts.call("PUT", "strict", query=query, headers=crc, body=body),
        put_under_its_checksum(small_parts, "strict", upload, 1, body, **{"x-penstock-only-checksum": "md5"}),
    ]

    assert [response.code for response in refused] == ["InvalidRequest"] * 3


def test_presigned_parts_with_content_md5_have_the_etag_of_s3(small_parts: Store) -> None:
    upload = create(small_parts, "md5")
    digest = hashlib.md5(b"part", usedforsecurity=False).digest()
    claim = {"content-md5": encoded(digest)}
    target = small_parts.presign("PUT", "md5", query={"partNumber": "1", "uploadId": upload}, headers=claim)
    headers = {"content-length": "4", **claim}
    etag = small_parts.exchange(small_parts.plain_head("PUT", target, headers) + b"part").headers["etag"]

    done = complete(small_parts, "md5", upload, (1, etag))

    assert etag == f'"{digest.hex()}"'
    assert text(done, "ETag") == f'"{hashlib.md5(digest, usedforsecurity=False).hexdigest()}-1"'


def test_conditions_hold_for_a_completion_and_leave_the_upload_open(small_parts: Store) -> None:
    small_parts.put("conditional", b"there")
    upload = create(small_parts, "conditional")
    parts = upload_parts(small_parts, "conditional", upload, {1: b"new"})

    exists = complete(small_parts, "conditional", upload, *parts, headers={"if-none-match": "*"})
    other = complete(small_parts, "conditional", upload, *parts, headers={"if-match": '"0000"'})
    matching = complete(small_parts, "conditional", upload, *parts, headers={"if-match": f'"{md5(b"there")}"'})

    assert (exists.status, exists.code) == (412, "PreconditionFailed")
    assert (other.status, other.code) == (412, "PreconditionFailed")
    assert matching.status == 200
    assert small_parts.get("conditional").body == b"new"


@pytest.mark.parametrize(("size", "status"), [("7", 200), ("8", 400), ("x", 400)])
def test_the_declared_size_of_the_object_is_compared(small_parts: Store, size: str, status: int) -> None:
    upload = create(small_parts, "sized")
    parts = upload_parts(small_parts, "sized", upload, {1: b"11111", 2: b"22"})

    assert complete(small_parts, "sized", upload, *parts, headers={"x-amz-mp-object-size": size}).status == status


def test_a_multipart_object_is_bounded(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = Limits(reserve_bytes=0, least_part_bytes=1, object_bytes=8, multipart_bytes=10)
    with store_in_thread(tmp_path_factory.mktemp("store"), limits=limits) as store:
        upload = create(store, "key")
        assert put_part(store, "key", upload, 1, b"123456789").code == "EntityTooLarge"
        parts = upload_parts(store, "key", upload, {1: b"12345678", 2: b"123", 3: b"12"})

        assert complete(store, "key", upload, parts[0], parts[1]).code == "EntityTooLarge"
        assert complete(store, "key", upload, parts[0], parts[2]).status == 200


CRCS = {"crc32": (zlib.crc32, 4), "crc32c": (aws.crc32c, 4), "crc64nvme": (aws.crc64nvme, 8)}


@pytest.mark.parametrize("algorithm", CRCS)
def test_a_full_object_checksum_is_combined_and_compared(small_parts: Store, algorithm: str) -> None:
    crc, size = CRCS[algorithm]
    bodies = {1: b"the first", 2: b"the second", 3: b"third"}
    whole = encoded(crc(b"".join(bodies.values())).to_bytes(size, "big"))
    begin = {"x_amz_checksum_algorithm": algorithm.upper(), "x_amz_checksum_type": "FULL_OBJECT"}
    upload = create(small_parts, "full", **begin)
    parts = upload_parts(small_parts, "full", upload, bodies)

    wrong = complete(small_parts, "full", upload, *parts, headers={f"x-amz-checksum-{algorithm}": "AAAAAA=="})
    done = complete(small_parts, "full", upload, *parts, headers={f"x-amz-checksum-{algorithm}": whole})
    response = small_parts.get("full", x_amz_checksum_mode="ENABLED")

    assert wrong.code == "BadDigest"
    assert text(done, f"Checksum{algorithm.upper()}") == whole
    assert text(done, "ChecksumType") == "FULL_OBJECT"
    assert response.headers[f"x-amz-checksum-{algorithm}"] == whole
    assert response.headers["x-amz-checksum-type"] == "FULL_OBJECT"


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_a_composite_checksum_is_that_of_the_parts_checksums(small_parts: Store, algorithm: str) -> None:
    bodies = {1: b"the first", 2: b"second"}
    digests = [hashlib.new(algorithm, body).digest() for body in bodies.values()]
    composite = encoded(hashlib.new(algorithm, b"".join(digests)).digest()) + "-2"
    upload = create(small_parts, "composite", x_amz_checksum_algorithm=algorithm.upper())
    name = f"x_amz_checksum_{algorithm}"
    answers = [
        put_part(small_parts, "composite", upload, number, body, **{name: encoded(digest)})
        for (number, body), digest in zip(bodies.items(), digests, strict=True)
    ]

    parts = [(number, answer.headers["etag"]) for number, answer in enumerate(answers, 1)]
    done = complete(small_parts, "composite", upload, *parts)
    response = small_parts.get("composite", x_amz_checksum_mode="ENABLED")

    header = name.replace("_", "-")
    assert [answer.headers[header] for answer in answers] == [encoded(digest) for digest in digests]
    assert text(done, "ChecksumType") == response.headers["x-amz-checksum-type"] == "COMPOSITE"
    assert text(done, f"Checksum{algorithm.upper()}") == response.headers[header] == composite


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"x_amz_checksum_algorithm": "MD4"}, False),
        ({"x_amz_checksum_type": "COMPOSITE"}, False),
        ({"x_amz_checksum_algorithm": "SHA256", "x_amz_checksum_type": "FULL_OBJECT"}, False),
        ({"x_amz_checksum_algorithm": "CRC64NVME", "x_amz_checksum_type": "COMPOSITE"}, False),
        ({"x_amz_checksum_algorithm": "CRC32", "x_amz_checksum_type": "OTHER"}, False),
        ({"x_amz_checksum_algorithm": "CRC32C", "x_amz_checksum_type": "COMPOSITE"}, True),
    ],
)
def test_only_checksums_that_s3_has_can_be_chosen(small_parts: Store, headers: dict[str, str], allowed: bool) -> None:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}

    response = small_parts.call("POST", "chosen", query={"uploads": ""}, headers=sent)

    assert (response.status, response.code) == ((200, "") if allowed else (400, "InvalidRequest"))


def test_a_part_with_another_checksum_than_the_upload_has_is_refused(small_parts: Store) -> None:
    upload = create(small_parts, "mixed", x_amz_checksum_algorithm="SHA256")

    response = put_part(small_parts, "mixed", upload, 1, b"body", x_amz_checksum_crc32="AAAAAA==")

    assert (response.status, response.code) == (400, "InvalidRequest")


def test_a_part_with_a_wrong_checksum_or_md5_is_not_kept(small_parts: Store) -> None:
    upload = create(small_parts, "bad")

    wrong = put_part(small_parts, "bad", upload, 1, b"body", x_amz_checksum_crc32="AAAAAA==")
    wrong_md5 = put_part(small_parts, "bad", upload, 1, b"body", content_md5=encoded(bytes(16)))

    assert wrong.code == wrong_md5.code == "BadDigest"
    assert texts(small_parts.call("GET", "bad", query={"uploadId": upload}), "PartNumber") == []


def test_parts_are_listed_in_pages(small_parts: Store) -> None:
    upload = create(small_parts, "listed", x_amz_checksum_algorithm="CRC32")
    parts = upload_parts(small_parts, "listed", upload, {5: b"55555", 1: b"1", 10: b"10", 2: b"22"})
    whole = small_parts.call("GET", "listed", query={"uploadId": upload})
    first = small_parts.call("GET", "listed", query={"uploadId": upload, "max-parts": "3"})
    marker = text(first, "NextPartNumberMarker")
    second = small_parts.call("GET", "listed", query={"uploadId": upload, "part-number-marker": marker})

    assert texts(whole, "PartNumber") == ["1", "2", "5", "10"]
    assert texts(whole, "ETag") == [etag for _, etag in parts]
    assert texts(whole, "Size") == ["1", "2", "5", "2"]
    assert texts(whole, "ChecksumCRC32")[0] == encoded(zlib.crc32(b"1").to_bytes(4, "big"))
    assert (text(whole, "ChecksumAlgorithm"), text(whole, "ChecksumType")) == ("CRC32", "COMPOSITE")
    assert text(whole, "IsTruncated") == "false"
    assert (texts(first, "PartNumber"), text(first, "IsTruncated"), marker) == (["1", "2", "5"], "true", "5")
    assert (texts(second, "PartNumber"), text(second, "IsTruncated")) == (["10"], "false")


def test_uploads_are_listed_by_key_and_time_in_pages(store: Store) -> None:
    ids = {key: create(store, key) for key in ("b", "a/2", "a/1", "c d&")}
    again = create(store, "b")

    whole = store.call("GET", "", query={"uploads": "", "encoding-type": "url"})
    first = store.call("GET", "", query={"uploads": "", "max-uploads": "3"})
    markers = {"key-marker": text(first, "NextKeyMarker"), "upload-id-marker": text(first, "NextUploadIdMarker")}
    second = store.call("GET", "", query={"uploads": "", **markers})
    grouped = store.call("GET", "", query={"uploads": "", "delimiter": "/"})
    under = store.call("GET", "", query={"uploads": "", "prefix": "a/", "max-uploads": "1"})

    assert texts(whole, "Key") == ["a/1", "a/2", "b", "b", "c%20d%26"]
    assert texts(whole, "UploadId") == [ids["a/1"], ids["a/2"], ids["b"], again, ids["c d&"]]
    assert (texts(first, "UploadId"), text(first, "IsTruncated")) == ([ids["a/1"], ids["a/2"], ids["b"]], "true")
    assert markers == {"key-marker": "b", "upload-id-marker": ids["b"]}
    assert (texts(second, "UploadId"), text(second, "IsTruncated")) == ([again, ids["c d&"]], "false")
    assert [node.text for node in tree(grouped).findall(f"{NAMESPACE}CommonPrefixes/{NAMESPACE}Prefix")] == ["a/"]
    assert texts(grouped, "Key") == ["b", "b", "c d&"]
    assert (texts(under, "Key"), text(under, "IsTruncated")) == (["a/1"], "true")


def test_a_bucket_with_open_uploads_can_be_deleted_and_they_end_with_it(store: Store) -> None:
    upload = create(store, "key")
    put_part(store, "key", upload, 1, b"part")

    assert store.call("DELETE", "").status == 204
    assert store.call("PUT", "").status == 200

    assert texts(store.call("GET", "", query={"uploads": ""}), "UploadId") == []
    assert put_part(store, "key", upload, 1, b"part").code == "NoSuchUpload"
    assert store.stored_files() == []


def test_each_part_can_be_read_by_its_number(small_parts: Store) -> None:
    bodies = {2: b"22222", 3: b"333333", 9: b"9"}
    done = uploaded(small_parts, "numbered", bodies, x_amz_checksum_algorithm="CRC32")

    for (number, body), offset in zip(bodies.items(), (0, 5, 11), strict=True):
        query = {"partNumber": str(number)}
        headers = {"x-amz-checksum-mode": "ENABLED"}
        response = small_parts.call("GET", "numbered", query=query, headers=headers)
        head = small_parts.call("HEAD", "numbered", query=query)
        assert (response.status, response.body) == (206, body)
        assert response.headers["content-range"] == f"bytes {offset}-{offset + len(body) - 1}/12"
        assert response.headers["x-amz-mp-parts-count"] == head.headers["x-amz-mp-parts-count"] == "3"
        assert response.headers["etag"] == text(done, "ETag")
        assert response.headers["x-amz-checksum-crc32"] == encoded(zlib.crc32(body).to_bytes(4, "big"))
        assert response.headers["x-amz-checksum-type"] == "COMPOSITE"
        assert (head.status, head.headers["content-length"]) == (206, str(len(body)))
    missing = small_parts.call("GET", "numbered", query={"partNumber": "1"})
    assert (missing.status, missing.code) == (400, "InvalidPart")
    both = small_parts.call("GET", "numbered", query={"partNumber": "2"}, headers={"range": "bytes=0-1"})
    assert (both.status, both.code) == (400, "InvalidRequest")


def test_an_object_that_was_put_whole_is_its_own_part_1(small_parts: Store) -> None:
    small_parts.put("whole", b"body")

    response = small_parts.call("GET", "whole", query={"partNumber": "1"})

    assert (response.status, response.body) == (206, b"body")
    assert "x-amz-mp-parts-count" not in response.headers
    assert small_parts.call("GET", "whole", query={"partNumber": "2"}).code == "InvalidPart"


def test_ranges_run_across_parts(small_parts: Store) -> None:
    bodies = {number: os.urandom(200_000) for number in (1, 2, 3)}
    uploaded(small_parts, "ranges", bodies)
    whole = b"".join(bodies.values())

    for start, end in ((0, 0), (199_999, 200_000), (100_000, 599_999), (0, 599_999), (400_000, 400_000)):
        response = small_parts.get("ranges", range=f"bytes={start}-{end}")
        assert (response.status, response.body) == (206, whole[start : end + 1])
    assert small_parts.get("ranges").body == whole


@pytest.mark.parametrize(
    ("range_", "expected"), [(None, slice(None)), ("bytes=0-0", slice(0, 1)), ("bytes=3-9", slice(3, 10))]
)
def test_a_part_can_be_copied_from_an_object(small_parts: Store, range_: str | None, expected: slice) -> None:
    small_parts.put("source", b"0123456789")
    upload = create(small_parts, "copied", x_amz_checksum_algorithm="CRC32")
    headers = {"x-amz-copy-source": f"/{BUCKET}/source"} | ({"x-amz-copy-source-range": range_} if range_ else {})

    part = small_parts.call("PUT", "copied", query={"partNumber": "4", "uploadId": upload}, headers=headers)
    complete(small_parts, "copied", upload, (4, text(part, "ETag")))

    data = b"0123456789"[expected]
    assert text(part, "ETag") == f'"{md5(data)}"'
    assert text(part, "ChecksumCRC32") == encoded(zlib.crc32(data).to_bytes(4, "big"))
    assert small_parts.get("copied").body == data


def test_a_part_can_be_copied_across_the_parts_of_an_object(small_parts: Store) -> None:
    bodies = {number: os.urandom(700_000) for number in (1, 2)}
    uploaded(small_parts, "long-source", bodies)
    upload = create(small_parts, "long-copy")
    headers = {"x-amz-copy-source": f"{BUCKET}/long-source", "x-amz-copy-source-range": "bytes=10-1399989"}

    part = small_parts.call("PUT", "long-copy", query={"partNumber": "1", "uploadId": upload}, headers=headers)
    complete(small_parts, "long-copy", upload, (1, text(part, "ETag")))

    assert small_parts.get("long-copy").body == b"".join(bodies.values())[10:1_399_990]


@pytest.mark.parametrize(
    ("range_", "status", "code"),
    [
        ("bytes=0-10", 416, "InvalidRange"),
        ("bytes=5-4", 400, "InvalidArgument"),
        ("0-2", 400, "InvalidArgument"),
        ("bytes=0-", 400, "InvalidArgument"),
        ("bytes=-2", 400, "InvalidArgument"),
        ("bytes=0-1,3-4", 400, "InvalidArgument"),
    ],
)
def test_the_range_of_a_copied_part_must_lie_in_its_source(
    small_parts: Store, range_: str, status: int, code: str
) -> None:
    small_parts.put("source", b"0123456789")
    upload = create(small_parts, "copied")
    headers = {"x-amz-copy-source": f"{BUCKET}/source", "x-amz-copy-source-range": range_}

    response = small_parts.call("PUT", "copied", query={"partNumber": "1", "uploadId": upload}, headers=headers)

    assert (response.status, response.code) == (status, code)


def test_a_copied_part_heeds_the_conditions_on_its_source(small_parts: Store) -> None:
    small_parts.put("source", b"0123456789")
    upload = create(small_parts, "copied")
    query = {"partNumber": "1", "uploadId": upload}
    source = {"x-amz-copy-source": f"{BUCKET}/source"}

    other = {**source, "x-amz-copy-source-if-match": '"other"'}
    absent = {"x-amz-copy-source": f"{BUCKET}/absent"}

    assert small_parts.call("PUT", "copied", query=query, headers=other).status == 412
    assert small_parts.call("PUT", "copied", query=query, headers=absent).code == "NoSuchKey"


def test_an_object_of_parts_can_be_copied_and_outlives_its_source(small_parts: Store) -> None:
    uploaded(small_parts, "original", {1: b"11111", 2: b"22"}, content_type="image/png")
    copied = small_parts.call("PUT", "second", headers={"x-amz-copy-source": f"{BUCKET}/original"})
    small_parts.call("DELETE", "original")
    response = small_parts.get("second")

    assert copied.status == 200
    assert (response.body, response.headers["content-type"]) == (b"1111122", "image/png")
    assert small_parts.call("GET", "second", query={"partNumber": "2"}).body == b"22"


def test_attributes_tell_size_checksum_and_parts(small_parts: Store) -> None:
    bodies = {1: b"11111", 3: b"333333", 4: b"4"}
    done = uploaded(small_parts, "known", bodies, x_amz_checksum_algorithm="SHA256")
    wanted = {"x-amz-object-attributes": "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"}

    response = small_parts.call("GET", "known", query={"attributes": ""}, headers=wanted)
    page = {**wanted, "x-amz-max-parts": "1", "x-amz-part-number-marker": "1"}
    paged = small_parts.call("GET", "known", query={"attributes": ""}, headers=page)

    assert text(response, "ETag") == text(done, "ETag").strip('"')
    assert (text(response, "ObjectSize"), text(response, "PartsCount")) == ("12", "3")
    assert text(response, "ChecksumType") == "COMPOSITE"
    assert texts(response, "ChecksumSHA256")[0] == text(done, "ChecksumSHA256")
    assert texts(response, "PartNumber") == ["1", "3", "4"]
    assert texts(response, "ChecksumSHA256")[1] == encoded(hashlib.sha256(b"11111").digest())
    assert (texts(paged, "PartNumber"), text(paged, "IsTruncated")) == (["3"], "true")
    assert text(paged, "NextPartNumberMarker") == "3"


def test_attributes_of_an_object_that_was_put_whole(small_parts: Store) -> None:
    small_parts.put("plain", b"body")
    query = {"attributes": ""}

    response = small_parts.call(
        "GET", "plain", query=query, headers={"x-amz-object-attributes": "Checksum, ObjectParts"}
    )
    unknown = small_parts.call("GET", "plain", query=query, headers={"x-amz-object-attributes": "Colour"})

    assert texts(response, "ChecksumSHA256") == [encoded(hashlib.sha256(b"body").digest())]
    assert texts(response, "PartsCount") == texts(response, "ObjectSize") == []
    assert (unknown.status, unknown.code) == (400, "InvalidArgument")


def test_the_list_may_be_signed_by_its_hash_or_presigned(small_parts: Store) -> None:
    upload = create(small_parts, "signed")
    parts = upload_parts(small_parts, "signed", upload, {1: b"part"})
    body = listing(*parts)
    sent = {"content-length": str(len(body))}
    query = {"uploadId": upload}
    signed = small_parts.head_bytes(
        "POST", f"/{BUCKET}/signed", headers=sent, query=query, payload_hash=hashlib.sha256(body).hexdigest()
    )
    target = small_parts.presign("POST", "signed", query=query)

    tampered = small_parts.exchange(signed + body.replace(b"<PartNumber>1<", b"<PartNumber>2<"))
    first = small_parts.exchange(signed + body)
    second = small_parts.exchange(small_parts.plain_head("POST", target, sent) + body)

    assert tampered.code == "XAmzContentSHA256Mismatch"
    assert first.status == second.status == 200
    assert first.body == second.body


def part_files(store: Store, key: str) -> Path:
    """The directory of the parts of an object."""
    name = entry_name(BUCKET, key)
    (found,) = (store.directory / "objects" / name[:2]).glob(f"{name}.*")
    return found


def test_a_part_that_is_missing_on_the_disk_is_an_error_that_turns_nothing_read_only(small_parts: Store) -> None:
    uploaded(small_parts, "hole", {1: b"11111", 2: b"22222"}, x_amz_checksum_algorithm="CRC32")
    (part_files(small_parts, "hole") / "00002").unlink()
    upload = create(small_parts, "healthy")
    part_2 = {"partNumber": "2"}
    copied = {"x-amz-copy-source": f"{BUCKET}/hole"}

    answers = [
        small_parts.get("hole"),
        small_parts.call("GET", "hole", query=part_2, headers={"x-amz-checksum-mode": "ENABLED"}),
        small_parts.call("PUT", "healthy", query={"partNumber": "1", "uploadId": upload}, headers=copied),
    ]

    assert [(answer.status, answer.code) for answer in answers] == [(500, "InternalError")] * 3
    assert put_part(small_parts, "healthy", upload, 1, b"body").status == 200


def test_a_part_that_is_missing_breaks_off_what_was_announced(small_parts: Store) -> None:
    uploaded(small_parts, "long hole", {1: bytes(300_000), 2: bytes(300_000)})
    (part_files(small_parts, "long hole") / "00002").unlink()

    with small_parts.connect() as connection:
        connection.send(small_parts.head_bytes("GET", f"/{BUCKET}/long hole"))
        with pytest.raises(EOFError):
            connection.read_response()


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS])
def test_parts_are_copied_where_the_kernel_cannot_copy_ranges(
    small_parts: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "injected")

    body = os.urandom(1_500_000)
    small_parts.put("far", body)
    upload = create(small_parts, "near")
    monkeypatch.setattr(os, "copy_file_range", refuse)
    query, headers = {"partNumber": "1", "uploadId": upload}, {"x-amz-copy-source": f"{BUCKET}/far"}

    part = small_parts.call("PUT", "near", query=query, headers=headers)
    complete(small_parts, "near", upload, (1, text(part, "ETag")))

    assert text(part, "ETag") == f'"{md5(body)}"'
    assert small_parts.get("near").body == body
