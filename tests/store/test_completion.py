from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from awscrt import checksums as aws

from penstock.store.completion import (
    Claim,
    ListedPart,
    completed_record,
    digest_of_list,
    listed_parts,
    part_number,
    require_parts,
)
from penstock.store.digests import COMPOSITE, FULL_OBJECT, as_base64, digest_of
from penstock.store.faults import Refused
from penstock.store.record import Record
from penstock.store.uploads import Upload

if TYPE_CHECKING:
    from collections.abc import Callable

UPLOAD = Upload(id="0" * 32, bucket="bucket", key="key", content_type="image/png", created_us=1)


def part(data: bytes, *, etag: str | None = None, algorithm: str = "crc32") -> Record:
    return Record(
        bucket="bucket",
        key="key",
        size=len(data),
        etag=etag or hashlib.md5(data, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(data).hexdigest(),
        content_type="",
        modified_us=1,
        checksums={algorithm: as_base64(digest_of(algorithm, data))},
    )


def claim_of(parts: dict[int, Record], **more: object) -> Claim:
    listed = tuple([ListedPart(number, found.etag) for number, found in parts.items()])
    return Claim(parts=listed, **more)  # type: ignore[arg-type]  # the test names the fields


def document(*parts: tuple[object, object]) -> ET.Element:
    nodes = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    return ET.fromstring(f"<CompleteMultipartUpload>{nodes}</CompleteMultipartUpload>")  # noqa: S314 - the test's own text


def refusal(code: str) -> pytest.RaisesExc[Refused]:
    return pytest.RaisesExc(Refused, check=lambda refused: refused.fault.code == code)


@pytest.mark.parametrize(
    "spelling", ["abc", '"abc"', "&quot;abc&quot;", "&#34;abc&#34;", "&amp;quot;abc&amp;quot;", "\n  abc "]
)
def test_every_spelling_of_an_etag_is_the_same_etag(spelling: str) -> None:
    assert listed_parts(document((1, spelling))) == (ListedPart(1, "abc"),)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([], "MalformedXML"),
        ([0], "InvalidArgument"),
        ([-1], "InvalidArgument"),
        ([10_001], "InvalidArgument"),
        (["1.5"], "InvalidArgument"),
        ([""], "InvalidArgument"),
        (["²"], "InvalidArgument"),
        ([2, 1], "InvalidPartOrder"),
        ([1, 1], "InvalidPartOrder"),
    ],
)
def test_a_list_that_fits_no_upload_is_refused_before_any_part_is_looked_at(numbers: list[object], code: str) -> None:
    with refusal(code):
        listed_parts(document(*[(number, "e") for number in numbers]))


def test_of_a_part_that_was_sent_again_the_last_one_that_is_listed_counts() -> None:
    parts = listed_parts(document((1, "lost"), (1, "kept"), (2, "other")))

    assert parts == (ListedPart(1, "kept"), ListedPart(2, "other"))


def test_gaps_are_allowed_and_the_last_number_is_10000() -> None:
    numbers = [1, 3, 10_000]

    assert [listed.number for listed in listed_parts(document(*[(number, "e") for number in numbers]))] == numbers
    assert part_number("10000") == 10_000


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        (Claim(parts=(ListedPart(2, "absent"),)), "InvalidPart"),
        (Claim(parts=(ListedPart(1, "other"),)), "InvalidPart"),
        (Claim(parts=(ListedPart(1, ""),)), "InvalidPart"),
        (Claim(parts=(ListedPart(1, "one", {"crc32": "AAAAAA=="}),)), "InvalidPart"),
        (Claim(parts=(ListedPart(1, "one"), ListedPart(3, "three"))), "EntityTooSmall"),
        (Claim(parts=(ListedPart(1, "one"),), size=4), "InvalidRequest"),
        (Claim(parts=(ListedPart(4, "four"), ListedPart(5, "five"))), "EntityTooLarge"),
    ],
)
def test_parts_that_are_not_there_as_listed_are_refused(claim: Claim, code: str) -> None:
    found = {1: part(b"one", etag="one"), 3: part(b"3", etag="three"), 4: part(b"x" * 8, etag="four")}
    found[5] = part(b"y" * 8, etag="five")

    with refusal(code):
        require_parts(claim, found, least_bytes=4, most_bytes=15)


def test_the_last_part_may_be_small_or_empty() -> None:
    found = {1: part(b"1234"), 2: part(b"")}

    require_parts(claim_of(found, size=4), found, least_bytes=4, most_bytes=4)


def test_the_record_names_the_parts_and_has_the_etag_of_s3() -> None:
    data = [b"a" * 10, b"b" * 10, b"c" * 3]
    parts = {1: part(data[0]), 2: part(data[1]), 7: part(data[2])}
    md5s = b"".join(hashlib.md5(piece, usedforsecurity=False).digest() for piece in data)

    record = completed_record(UPLOAD, claim_of(parts), parts, modified_us=5)

    assert record.etag == hashlib.md5(md5s, usedforsecurity=False).hexdigest() + "-3"
    assert (record.size, record.segments) == (23, ((1, 2, 10), (7, 1, 3)))
    assert (record.linked, record.sha256, record.checksums) == (UPLOAD.directory, None, {})
    assert (record.content_type, record.modified_us) == ("image/png", 5)


def test_the_sha256_of_a_single_part_is_that_of_the_whole() -> None:
    parts = {4: part(b"only")}

    record = completed_record(UPLOAD, claim_of(parts), parts, modified_us=5)

    assert record.sha256 == hashlib.sha256(b"only").hexdigest()


def test_without_the_md5_of_every_part_the_etag_cannot_be_taken_for_one() -> None:
    parts = {1: part(b"one"), 2: part(b"two", etag="sha256-" + "0" * 64)}
    others = {1: part(b"one"), 2: part(b"two", etag="sha256-" + "1" * 64)}

    etags = {completed_record(UPLOAD, claim_of(found), found, modified_us=1).etag for found in (parts, others)}

    assert len(etags) == 2
    assert all(etag.startswith("sha256-") and etag.endswith("-2") for etag in etags)


@pytest.mark.parametrize(
    ("algorithm", "whole"),
    [
        ("crc32", lambda data: zlib.crc32(data).to_bytes(4, "big")),
        ("crc32c", lambda data: aws.crc32c(data).to_bytes(4, "big")),
        ("crc64nvme", lambda data: aws.crc64nvme(data).to_bytes(8, "big")),
    ],
)
def test_a_full_object_checksum_is_that_of_all_bytes_in_a_row(algorithm: str, whole: Callable[[bytes], bytes]) -> None:
    data = [b"first part" * 1000, b"", b"second" * 999, b"z"]
    parts = {number: part(piece, algorithm=algorithm) for number, piece in enumerate(data, 1)}
    upload = replace(UPLOAD, algorithm=algorithm, checksum_type=FULL_OBJECT)

    record = completed_record(upload, claim_of(parts), parts, modified_us=1)

    assert base64.b64decode(record.checksums[algorithm]) == whole(b"".join(data))


def test_a_composite_checksum_is_that_of_the_parts_checksums() -> None:
    data = [b"one", b"two"]
    parts = {number: part(piece, algorithm="sha1") for number, piece in enumerate(data, 1)}
    upload = replace(UPLOAD, algorithm="sha1", checksum_type=COMPOSITE)
    digests = b"".join(hashlib.sha1(piece, usedforsecurity=False).digest() for piece in data)
    expected = base64.b64encode(hashlib.sha1(digests, usedforsecurity=False).digest()).decode() + "-2"

    record = completed_record(upload, claim_of(parts, checksums={"sha1": expected}), parts, modified_us=1)

    assert record.checksums == {"sha1": expected}
    with refusal("BadDigest"):
        completed_record(upload, claim_of(parts, checksums={"sha1": "bad"}), parts, modified_us=1)
    with refusal("InvalidRequest"):
        completed_record(upload, claim_of(parts, checksums={"crc32": "AAAAAA=="}), parts, modified_us=1)
    with refusal("InvalidRequest"):
        completed_record(upload, claim_of(parts, checksum_type=FULL_OBJECT), parts, modified_us=1)


def test_a_repeated_list_has_the_same_digest_and_another_list_has_another() -> None:
    first = digest_of_list([(1, "a"), (2, "b")])

    assert first == digest_of_list([(1, "a"), (2, "b")])
    assert (
        len({first, digest_of_list([(1, "a")]), digest_of_list([(1, "a"), (3, "b")]), digest_of_list([(1, "ab")])}) == 4
    )
