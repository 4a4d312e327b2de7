"""A real S3 client end to end: boto3, as it must be set up for stores other than Amazon's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.store.support import BUCKET, SIGNER, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Client = Any  # boto3 has no types


@pytest.fixture(scope="module")
def s3(shared_store: Store) -> Iterator[Client]:
    client = boto3.client(
        "s3",
        endpoint_url=shared_store.url,
        aws_access_key_id=SIGNER.credentials.access_key,
        aws_secret_access_key=SIGNER.credentials.secret_key,
        region_name=SIGNER.region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 0},
            proxies={},
        ),
    )
    yield client
    client.close()


def failure(call: Callable[..., object], **arguments: object) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


def test_an_object_makes_the_round_trip(s3: Client) -> None:
    body = os.urandom(300_000)

    put = s3.put_object(Bucket=BUCKET, Key="ü/ 1+2", Body=body, ContentType="image/png", Metadata={"a": "b"})
    got = s3.get_object(Bucket=BUCKET, Key="ü/ 1+2", ChecksumMode="ENABLED")

    assert got["Body"].read() == body
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (put["ETag"], "image/png", {"a": "b"})
    assert got["ChecksumType"] == "FULL_OBJECT"
    assert s3.head_object(Bucket=BUCKET, Key="ü/ 1+2")["ContentLength"] == 300_000


def test_checksums_are_sent_and_verified_by_the_client(s3: Client) -> None:
    s3.put_object(Bucket=BUCKET, Key="sum", Body=b"x", ChecksumAlgorithm="SHA256")

    assert s3.head_object(Bucket=BUCKET, Key="sum", ChecksumMode="ENABLED")["ChecksumSHA256"]


def test_sealing_copies_only_the_version_that_was_seen(s3: Client) -> None:
    seen = s3.put_object(Bucket=BUCKET, Key="seal/staging", Body=b"1")["ETag"]
    source = {"Bucket": BUCKET, "Key": "seal/staging"}
    s3.put_object(Bucket=BUCKET, Key="seal/staging", Body=b"2")

    code = failure(s3.copy_object, Bucket=BUCKET, Key="seal/final", CopySource=source, CopySourceIfMatch=seen)

    assert code == "PreconditionFailed"
    assert failure(s3.head_object, Bucket=BUCKET, Key="seal/final") == "404"


def test_listings_page_through_all_keys_with_prefix_and_delimiter(s3: Client) -> None:
    keys = [f"list/{folder}/{name}" for folder in ("a", "b ü", "c") for name in ("1", "2<&>", "3")] + ["list/z"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"12345")
    pages = s3.get_paginator("list_objects_v2")

    flat = [
        item for page in pages.paginate(Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 3})
        for item in page.get("Contents", [])
    ]  # fmt: skip
    folders = list(pages.paginate(Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 2}))

    assert [item["Key"] for item in flat] == sorted(keys)
    assert {item["Size"] for item in flat} == {5}
    assert [prefix["Prefix"] for page in folders for prefix in page.get("CommonPrefixes", [])] == [
        "list/a/", "list/b ü/", "list/c/",
    ]  # fmt: skip
    assert [item["Key"] for page in folders for item in page.get("Contents", [])] == ["list/z"]
    after = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", StartAfter="list/c/2<&>")
    assert [item["Key"] for item in after["Contents"]] == ["list/c/3", "list/z"]


def test_the_older_listing_works_too(s3: Client) -> None:
    for key in ("old/1", "old/2", "old/3"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")

    pages = s3.get_paginator("list_objects").paginate(Bucket=BUCKET, Prefix="old/", PaginationConfig={"PageSize": 2})

    assert [item["Key"] for page in pages for item in page["Contents"]] == ["old/1", "old/2", "old/3"]


def test_buckets_are_created_listed_and_deleted_when_empty(s3: Client) -> None:
    s3.create_bucket(Bucket="another-bucket")
    s3.put_object(Bucket="another-bucket", Key="k", Body=b"")

    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} == {BUCKET, "another-bucket"}
    assert s3.get_bucket_location(Bucket="another-bucket")["LocationConstraint"] is None
    assert failure(s3.delete_bucket, Bucket="another-bucket") == "BucketNotEmpty"
    s3.delete_object(Bucket="another-bucket", Key="k")
    s3.delete_bucket(Bucket="another-bucket")
    assert failure(s3.head_bucket, Bucket="another-bucket") == "404"


@pytest.mark.parametrize("name", ["../up", "UPPER", "a..b", "-a-b", "x" * 64])
def test_a_bucket_name_that_s3_forbids_is_refused(shared_store: Store, name: str) -> None:
    head = shared_store.head_bytes("PUT", f"/{name}", headers={"content-length": "0"})

    assert shared_store.exchange(head).status in {400, 404, 405}


def test_objects_are_deleted_in_bulk(s3: Client) -> None:
    for number in range(5):
        s3.put_object(Bucket=BUCKET, Key=f"bulk/{number}", Body=b"")

    gone = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": f"bulk/{number}"} for number in range(6)]})

    assert len(gone["Deleted"]) == 6
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="bulk/")


def test_a_wrong_secret_is_refused(shared_store: Store) -> None:
    stranger = boto3.client(
        "s3",
        endpoint_url=shared_store.url,
        aws_access_key_id=SIGNER.credentials.access_key,
        aws_secret_access_key="wrong",
        region_name=SIGNER.region,
        config=Config(retries={"max_attempts": 0}, proxies={}),
    )

    assert failure(stranger.list_buckets) == "SignatureDoesNotMatch"
    stranger.close()


# --- as boto3 comes, without a word on checksums


@pytest.fixture(scope="module")
def plain_s3(shared_store: Store) -> Iterator[Client]:
    client = boto3.client(
        "s3",
        endpoint_url=shared_store.url,
        aws_access_key_id=SIGNER.credentials.access_key,
        aws_secret_access_key=SIGNER.credentials.secret_key,
        region_name=SIGNER.region,
        config=Config(retries={"max_attempts": 0}, proxies={}),
    )
    yield client
    client.close()


@pytest.mark.parametrize("size", [10, 600_000])
def test_a_client_that_checks_everything_reads_wholes_and_ranges(plain_s3: Client, size: int) -> None:
    body = os.urandom(size)
    key = f"checked-{size}"
    plain_s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    whole = plain_s3.get_object(Bucket=BUCKET, Key=key)
    part = plain_s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=2-5", ChecksumMode="ENABLED")

    assert (whole["Body"].read(), part["Body"].read()) == (body, body[2:6])
    assert whole["ChecksumCRC32"]


def test_the_attributes_of_an_object_name_its_checksum(plain_s3: Client) -> None:
    put = plain_s3.put_object(Bucket=BUCKET, Key="attributed", Body=b"12345", ChecksumAlgorithm="CRC64NVME")

    found = plain_s3.get_object_attributes(
        Bucket=BUCKET, Key="attributed", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "ObjectParts"]
    )

    assert (found["ETag"], found["ObjectSize"]) == (put["ETag"].strip('"'), 5)
    assert found["Checksum"]["ChecksumCRC64NVME"] == put["ChecksumCRC64NVME"]
    assert "ObjectParts" not in found


def test_a_bucket_is_emptied_by_its_versions(plain_s3: Client) -> None:
    plain_s3.create_bucket(Bucket="emptied")
    for number in range(5):
        plain_s3.put_object(Bucket="emptied", Key=f"k ü{number}", Body=b"")

    pages = plain_s3.get_paginator("list_object_versions").paginate(Bucket="emptied", PaginationConfig={"PageSize": 2})
    named = [{"Key": one["Key"], "VersionId": one["VersionId"]} for page in pages for one in page["Versions"]]
    gone = plain_s3.delete_objects(Bucket="emptied", Delete={"Objects": named})

    assert [one["Key"] for one in gone["Deleted"]] == [f"k ü{number}" for number in range(5)]
    plain_s3.delete_bucket(Bucket="emptied")
    assert failure(plain_s3.list_objects_v2, Bucket="emptied") == "NoSuchBucket"


def test_a_client_sets_and_reads_cors_rules(plain_s3: Client) -> None:
    rule = {"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example"], "MaxAgeSeconds": 5}
    assert failure(plain_s3.get_bucket_cors, Bucket=BUCKET) == "NoSuchCORSConfiguration"

    plain_s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})

    assert plain_s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"] == [rule]
    plain_s3.delete_bucket_cors(Bucket=BUCKET)
