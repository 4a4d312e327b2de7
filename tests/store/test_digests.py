from __future__ import annotations

import hashlib
import os
import zlib
from typing import TYPE_CHECKING

import pytest
from awscrt import checksums as aws

from penstock.store.digests import Digests, HashThreads, as_base64, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def threads() -> Iterator[HashThreads]:
    threads = HashThreads(2)
    yield threads
    threads.close()


@pytest.mark.parametrize(
    "sizes", [[], [10], [1000] * 20, [300_000] * 9, [3_000_000, 1, 5_000_000, 17], [10, 2_000_000]]
)
def test_digests_are_those_of_the_whole_file_whatever_the_pieces(
    tmp_path: Path, threads: HashThreads, sizes: list[int]
) -> None:
    pieces = [os.urandom(size) for size in sizes]
    whole = b"".join(pieces)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    digests = Digests(["sha256", "md5", "crc32", "sha1"], fd=fd, threads=threads)

    for piece in pieces:
        os.write(fd, piece)
        digests.update(piece)
    found = digests.finish()
    os.close(fd)

    assert found == {
        "sha256": hashlib.sha256(whole).digest(),
        "md5": hashlib.md5(whole).digest(),  # noqa: S324 - S3's ETag
        "crc32": zlib.crc32(whole).to_bytes(4, "big"),
        "sha1": hashlib.sha1(whole).digest(),  # noqa: S324 - one of S3's checksums
    }


def test_quick_checksums_of_what_the_writer_holds_are_never_read_back(tmp_path: Path, threads: HashThreads) -> None:
    pieces = [os.urandom(400_000) for _ in range(5)]
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)  # to which nothing is written
    digests = Digests(["crc64nvme", "crc32c"], fd=fd, threads=threads)

    for piece in pieces:
        digests.update(piece)
    found = digests.finish()
    os.close(fd)

    whole = b"".join(pieces)
    assert found == {
        "crc64nvme": aws.crc64nvme(whole).to_bytes(8, "big"),
        "crc32c": aws.crc32c(whole).to_bytes(4, "big"),
    }


def test_bytes_that_the_writer_never_held_are_hashed_from_the_file(tmp_path: Path, threads: HashThreads) -> None:
    content = os.urandom(2_500_000)
    (tmp_path / "file").write_bytes(content)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    digests = Digests(["sha256"], fd=fd, threads=threads)

    digests.advance(1_500_000)
    digests.advance(1_000_000)
    found = digests.finish()
    os.close(fd)

    assert found["sha256"] == hashlib.sha256(content).digest()


def test_a_file_that_became_shorter_is_an_error_not_a_wrong_digest(tmp_path: Path, threads: HashThreads) -> None:
    (tmp_path / "file").write_bytes(b"short")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    digests = Digests(["sha256"], fd=fd, threads=threads)
    digests.advance(1_000_000)

    with pytest.raises(OSError, match="became shorter"):
        digests.finish()
    os.close(fd)


@pytest.mark.parametrize(
    ("name", "digest"),
    [("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")],
)
def test_cyclic_checksums_have_the_check_values_of_their_catalogue(name: str, digest: str) -> None:
    assert digest_of(name, b"123456789").hex() == digest


@pytest.mark.parametrize("name", ["crc32c", "crc64nvme"])
def test_cyclic_checksums_of_a_large_file_do_not_depend_on_who_read_it(
    tmp_path: Path, threads: HashThreads, name: str
) -> None:
    content = os.urandom(3_500_001)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    digests = Digests([name], fd=fd, threads=threads)

    for start in range(0, len(content), 700_000):
        piece = memoryview(content)[start : start + 700_000]
        os.write(fd, piece)
        digests.update(piece)
    found = digests.finish()
    os.close(fd)

    assert as_base64(found[name]) == as_base64(digest_of(name, content))
