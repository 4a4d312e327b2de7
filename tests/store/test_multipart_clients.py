"""Multipart transfers of a real client: boto3 with its defaults, which send and verify checksums."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from tests.store.support import BUCKET, SIGNER, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Client = Any  # boto3 has no types

MB = 1024 * 1024
IN_PARTS = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=5 * MB, max_concurrency=4)


@pytest.fixture(scope="module")
def s3(shared_store: Store) -> Iterator[Client]:
    client = boto3.client(
        "s3",
        endpoint_url=shared_store.url,
        aws_access_key_id=SIGNER.credentials.access_key,
        aws_secret_access_key=SIGNER.credentials.secret_key,
        region_name=SIGNER.region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, proxies={}),
    )
    yield client
    client.close()


def test_a_file_of_22_mb_goes_up_in_parts_and_comes_down_by_ranges(s3: Client, tmp_path: Path) -> None:
    data = os.urandom(22 * MB + 17)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)

    extra = {"ContentType": "video/mp4", "Metadata": {"take": "3"}}
    s3.upload_file(str(source), BUCKET, "film", ExtraArgs=extra, Config=IN_PARTS)
    s3.download_file(BUCKET, "film", str(target), Config=IN_PARTS)
    head = s3.head_object(Bucket=BUCKET, Key="film", PartNumber=1, ChecksumMode="ENABLED")

    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(data).digest()
    assert (head["PartsCount"], head["ContentLength"], head["ContentType"]) == (5, 5 * MB, "video/mp4")
    assert head["Metadata"] == {"take": "3"}
    assert head["ETag"].endswith('-5"')
    assert head["ChecksumCRC32"]


def test_a_full_object_checksum_goes_the_whole_way(s3: Client) -> None:
    data = os.urandom(11 * MB)

    s3.upload_fileobj(io.BytesIO(data), BUCKET, "crc", ExtraArgs={"ChecksumAlgorithm": "CRC64NVME"}, Config=IN_PARTS)
    got = s3.get_object(Bucket=BUCKET, Key="crc")

    assert got["Body"].read() == data
    assert got["ChecksumType"] == "FULL_OBJECT"


def test_parts_out_of_order_re_sent_and_with_gaps(s3: Client) -> None:
    key = {"Bucket": BUCKET, "Key": "gaps"}
    bodies = {number: bytes([number]) * 5 * MB for number in (7, 3)} | {9: b"end"}
    upload = s3.create_multipart_upload(**key)["UploadId"]
    s3.upload_part(**key, UploadId=upload, PartNumber=3, Body=b"an earlier try")
    sent = {
        number: s3.upload_part(**key, UploadId=upload, PartNumber=number, Body=body)["ETag"]
        for number, body in bodies.items()
    }

    listed = s3.list_parts(**key, UploadId=upload)["Parts"]
    parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in listed]
    s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})

    assert [part["PartNumber"] for part in listed] == [3, 7, 9]
    assert {part["PartNumber"]: part["ETag"] for part in parts} == sent
    assert s3.get_object(**key)["Body"].read() == bodies[3] + bodies[7] + bodies[9]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_a_large_copy_is_made_of_copied_parts(s3: Client) -> None:
    data = os.urandom(12 * MB)
    s3.put_object(Bucket=BUCKET, Key="origin", Body=data)

    s3.copy({"Bucket": BUCKET, "Key": "origin"}, BUCKET, "assembled", Config=IN_PARTS)

    assert s3.get_object(Bucket=BUCKET, Key="assembled")["Body"].read() == data
    assert s3.head_object(Bucket=BUCKET, Key="assembled")["ETag"].endswith('-3"')


def test_a_failed_upload_is_aborted_by_the_client_and_leaves_no_part(s3: Client, shared_store: Store) -> None:
    class Torn(io.RawIOBase):
        """A source that fails in its third part."""

        def __init__(self) -> None:
            self.left = 11 * MB

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            if self.left <= 0:
                raise OSError("torn")
            count = min(size if size >= 0 else self.left, self.left)
            self.left -= count
            return bytes(count)

    before = shared_store.stored_files()
    with pytest.raises(OSError, match="torn"):
        s3.upload_fileobj(Torn(), BUCKET, "torn", Config=IN_PARTS)

    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)
    assert shared_store.stored_files() == before
