"""Chunk signatures against the two worked examples of the S3 documentation (66,560 bytes of `a` in two chunks)."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pytest

from penstock.sigv4 import (
    STREAMING_SIGNED,
    ChunkChain,
    Credentials,
    Request,
    Scope,
    SignatureDoesNotMatch,
    Signer,
    Verifier,
)
from penstock.sigv4.canonical import signing_key

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
CHUNKS = [sha256(data).hexdigest() for data in (b"a" * 65_536, b"a" * 1024, b"")]
PLAIN_SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
PLAIN = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
]
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
WITH_TRAILER = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
]
TRAILER = [("x-amz-checksum-crc32c", "sOO8/Q==")]
TRAILER_SIGNATURE = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def chain(seed: str) -> ChunkChain:
    return ChunkChain(
        key=signing_key(SECRET_KEY, "20130524", "us-east-1", "s3"),
        scope=Scope(date="20130524", region="us-east-1", service="s3"),
        signed_at=NOW,
        seed=seed,
    )


@pytest.mark.parametrize(("seed", "signatures"), [(PLAIN_SEED, PLAIN), (TRAILER_SEED, WITH_TRAILER)])
def test_the_published_chunks_get_their_published_signatures(seed: str, signatures: list[str]) -> None:
    chunks = chain(seed)

    assert [chunks.sign_chunk(digest) for digest in CHUNKS] == signatures


def test_the_published_trailer_is_accepted_after_its_chunks() -> None:
    chunks = chain(TRAILER_SEED)
    for digest, signature in zip(CHUNKS, WITH_TRAILER, strict=True):
        chunks.check_chunk(digest, signature)

    chunks.check_trailer(TRAILER, TRAILER_SIGNATURE)


def test_the_published_request_begins_the_chain_of_its_body() -> None:
    request = Request(
        method="PUT",
        origin="https://s3.amazonaws.com",
        path="/examplebucket/chunkObject.txt",
        headers=(
            ("content-encoding", "aws-chunked"),
            ("content-length", "66824"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ),
    )
    signer = Signer(credentials=Credentials("AKIAIOSFODNN7EXAMPLE", SECRET_KEY), region="us-east-1")
    target, added = signer.sign_headers(request, now=NOW, payload_hash=STREAMING_SIGNED)
    headers = [("host", "s3.amazonaws.com"), *request.headers, *added.items()]

    verified = Verifier(lookup=lambda _: SECRET_KEY, region="us-east-1").verify("PUT", target, headers, now=NOW)

    assert verified.signature == PLAIN_SEED
    assert ChunkChain.after(verified).sign_chunk(CHUNKS[0]) == PLAIN[0]


def test_a_chunk_with_other_data_does_not_match() -> None:
    with pytest.raises(SignatureDoesNotMatch):
        chain(PLAIN_SEED).check_chunk(CHUNKS[1], PLAIN[0])


def test_chunks_in_another_order_do_not_match() -> None:
    with pytest.raises(SignatureDoesNotMatch):
        chain(PLAIN_SEED).check_chunk(CHUNKS[1], PLAIN[1])


def test_a_last_chunk_cannot_be_left_out_before_the_trailer() -> None:
    chunks = chain(TRAILER_SEED)
    chunks.check_chunk(CHUNKS[0], WITH_TRAILER[0])

    with pytest.raises(SignatureDoesNotMatch):
        chunks.check_trailer(TRAILER, TRAILER_SIGNATURE)


def test_a_changed_trailer_does_not_match() -> None:
    chunks = chain(WITH_TRAILER[2])

    with pytest.raises(SignatureDoesNotMatch):
        chunks.check_trailer([("x-amz-checksum-crc32c", "AAAAAA==")], TRAILER_SIGNATURE)
