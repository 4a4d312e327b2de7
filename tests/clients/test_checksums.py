"""The checksums that clients send of their own accord and on demand: in headers, behind the bytes, and of parts."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.drivers.boto import Boto
from tests.clients.drivers.node import Node
from tests.clients.drivers.programs import AwsCli
from tests.clients.tls import make_certificate, tls_in_front_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket
    from tests.clients.stored import Stored

ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]
BODY = random.Random(1).randbytes(200_000)  # noqa: S311 - only not all alike


@pytest.fixture(scope="module")
def boto(place: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boto]:
    client = Boto(place, tmp_path_factory.mktemp("boto"))
    yield client
    client.close()


@pytest.fixture(scope="module")
def boto_over_tls(place: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boto]:
    """Over https botocore sends its checksums behind the bytes, for nobody can change them on the way."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder)
    with tls_in_front_of(place.endpoint, certificate) as url:
        client = Boto(replace(place, endpoint=url), folder, authority=folder / "public.pem")
        yield client
        client.close()


def sent_headers(client: Boto) -> dict[str, str]:
    """Filled with the headers of the client's next request."""
    seen: dict[str, str] = {}

    def note(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore has no types
        values = {name.lower(): value for name, value in request.headers.items()}
        seen.update({name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()})

    client.s3.meta.events.register_first("before-send.s3", note)
    return seen


def test_a_checksum_behind_the_bytes_is_verified_and_kept(boto_over_tls: Boto, place: Bucket, stored: Stored) -> None:
    sent = sent_headers(boto_over_tls)

    boto_over_tls.s3.put_object(Bucket=place.name, Key="trailer", Body=BODY)

    assert sent["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert sent["x-amz-trailer"] == "x-amz-checksum-crc32"
    assert stored.checksums("trailer") == ["crc32"]
    assert stored.read("trailer") == BODY


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_is_taken_behind_the_bytes(
    boto_over_tls: Boto, place: Bucket, stored: Stored, algorithm: str
) -> None:
    key = f"trailer-{algorithm}"

    put = boto_over_tls.s3.put_object(Bucket=place.name, Key=key, Body=BODY, ChecksumAlgorithm=algorithm)

    assert stored.head(key).headers[f"x-amz-checksum-{algorithm.lower()}"] == put[f"Checksum{algorithm}"]
    assert boto_over_tls.get(key) == BODY  # which compares it with the checksum that the store shows


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_is_taken_in_a_header(boto: Boto, place: Bucket, stored: Stored, algorithm: str) -> None:
    key = f"header-{algorithm}"

    put = boto.s3.put_object(Bucket=place.name, Key=key, Body=BODY, ChecksumAlgorithm=algorithm)

    assert stored.head(key).headers[f"x-amz-checksum-{algorithm.lower()}"] == put[f"Checksum{algorithm}"]
    assert boto.get(key) == BODY


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_file_in_parts_comes_back_under_the_checksum_of_its_parts(
    boto: Boto, place: Bucket, tmp_path: Path, algorithm: str
) -> None:
    key, data = f"parts-{algorithm}", BODY * 90
    path = tmp_path / "large"
    path.write_bytes(data)

    boto.s3.upload_file(str(path), place.name, key, ExtraArgs={"ChecksumAlgorithm": algorithm})

    head = boto.s3.head_object(Bucket=place.name, Key=key, ChecksumMode="ENABLED")
    assert head["ChecksumType"] == ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
    assert head[f"Checksum{algorithm}"].endswith("-3") == (head["ChecksumType"] == "COMPOSITE")
    boto.s3.download_file(place.name, key, str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data


def test_the_javascript_client_sends_a_streams_checksum_behind_it(
    place: Bucket, stored: Stored, tmp_path: Path
) -> None:
    path = tmp_path / "stream"
    path.write_bytes(BODY)
    node = Node(place, tmp_path)

    node.put_stream("js-trailer", path)

    assert stored.checksums("js-trailer") == ["crc32"]
    assert node.get("js-trailer") == BODY
    node.close()


def test_the_command_line_client_sends_the_checksum_it_is_told_to(
    place: Bucket, stored: Stored, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    aws = AwsCli(place, tmp_path)

    aws.run("s3", "cp", "--no-progress", "--checksum-algorithm", "CRC64NVME", str(path), aws.url("aws-crc64nvme"))

    assert stored.checksums("aws-crc64nvme") == ["crc64nvme"]
    assert aws.get("aws-crc64nvme") == BODY
