"""aws-chunked uploads on the wire: what is stored is the payload, and only if every signature and sum is right."""

from __future__ import annotations

import base64
import contextlib
import socket
import zlib
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.sigv4 import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    ChunkChain,
    Request,
    Scope,
    Verifier,
)
from penstock.sigv4.canonical import signing_key
from penstock.store.awschunked import AwsChunkedBody
from penstock.store.body import Body
from penstock.store.config import Limits
from penstock.store.connection import Connection
from penstock.store.head import parse_head
from penstock.store.request import authorise
from tests.store.support import BUCKET, SIGNER, Response, Store

if TYPE_CHECKING:
    from collections.abc import ItemsView

PIECES = (b"a" * 70_000, b"b" * 9, b"")
PAYLOAD = b"".join(PIECES)
CRC32 = base64.b64encode(zlib.crc32(PAYLOAD).to_bytes(4, "big")).decode()


def upload(
    store: Store,
    key: str,
    mode: str,
    *,
    length: int = len(PAYLOAD),
    trailer: dict[str, str] | None = None,
    damage: tuple[bytes, bytes] = (b"", b""),
) -> Response:
    """Send `PIECES` as aws-chunked; `damage` replaces bytes of the finished body by others of the same length."""
    headers = {"content-encoding": "aws-chunked,gzip", "x-amz-decoded-content-length": str(length)}
    if trailer:
        headers["x-amz-trailer"] = ",".join(trailer)
    request = Request(method="PUT", origin=store.url, path=f"/{BUCKET}/{key}", headers=tuple(headers.items()))
    now = datetime.now(UTC).replace(microsecond=0)
    target, signed = SIGNER.sign_headers(request, now=now, payload_hash=mode)
    seed = signed["authorization"].rpartition("=")[2]
    body = frames(mode, now, seed, trailer or {})
    body = body.replace(*damage, 1) if damage[0] else body
    head = store.plain_head("PUT", target, {**headers, **signed, "content-length": str(len(body))})
    return store.exchange(head + body)


def frames(mode: str, now: datetime, seed: str, trailer: dict[str, str], pieces: tuple[bytes, ...] = PIECES) -> bytes:
    scope = Scope(date=f"{now:%Y%m%d}", region="us-east-1", service="s3")
    key = signing_key(SIGNER.credentials.secret_key, scope.date, scope.region, scope.service)
    chain = ChunkChain(key=key, scope=scope, signed_at=now, seed=seed)
    signed = mode != STREAMING_UNSIGNED_TRAILER
    body = b""
    for piece in pieces:
        extension = f";chunk-signature={chain.sign_chunk(sha256(piece).hexdigest())}" if signed else ""
        body += f"{len(piece):x}{extension}\r\n".encode() + piece + (b"\r\n" if piece else b"")
    lines = [f"{name}:{value}\r\n" for name, value in trailer.items()]
    if mode == STREAMING_SIGNED_TRAILER:
        lines.append(f"x-amz-trailer-signature:{chain.sign_trailer(list(trailer.items()))}\r\n")
    return body + "".join(lines).encode() + b"\r\n"


@pytest.mark.parametrize(
    ("mode", "trailer"),
    [
        (STREAMING_SIGNED, {}),
        (STREAMING_SIGNED_TRAILER, {"x-amz-checksum-crc32": CRC32}),
        (STREAMING_UNSIGNED_TRAILER, {"x-amz-checksum-crc32": CRC32}),
    ],
)
def test_only_the_payload_is_stored(shared_store: Store, mode: str, trailer: dict[str, str]) -> None:
    response = upload(shared_store, f"good-{mode}", mode, trailer=trailer)

    got = shared_store.get(f"good-{mode}", x_amz_checksum_mode="ENABLED")
    assert response.status == 200
    assert got.body == PAYLOAD
    assert got.headers["content-encoding"] == "gzip"
    assert got.headers.get("x-amz-checksum-crc32") == (CRC32 if trailer else None)


GOOD_SUM, BAD_SUM = {"x-amz-checksum-crc32": CRC32}, {"x-amz-checksum-crc32": "AAAAAA=="}


@pytest.mark.parametrize(
    ("mode", "trailer", "damage", "code"),
    [
        (STREAMING_SIGNED, {}, (b"aaa", b"aba"), "SignatureDoesNotMatch"),
        (STREAMING_SIGNED, {}, (b"chunk-signature=", b"chunk-signaturE="), "InvalidRequest"),
        (STREAMING_SIGNED, {}, (b"\r\n9;", b"\r\n8;"), "BadRequest"),
        (STREAMING_SIGNED, {}, (b"0;chunk", b"1;chunk"), "BadRequest"),
        (STREAMING_SIGNED_TRAILER, GOOD_SUM, (b":" + CRC32[:1].encode(), b":/"), "SignatureDoesNotMatch"),
        (STREAMING_SIGNED_TRAILER, BAD_SUM, (b"", b""), "BadDigest"),
        (STREAMING_UNSIGNED_TRAILER, BAD_SUM, (b"", b""), "BadDigest"),
        (STREAMING_UNSIGNED_TRAILER, {"x-amz-checksum-crc32": "nonsense"}, (b"", b""), "BadDigest"),
        (STREAMING_UNSIGNED_TRAILER, GOOD_SUM, (b"crc32", b"crc33"), "MalformedTrailerError"),
        (STREAMING_UNSIGNED_TRAILER, {"x-other": "1"}, (b"", b""), "MalformedTrailerError"),
    ],
)  # fmt: skip
def test_a_damaged_body_is_refused_and_nothing_is_stored(
    store: Store, mode: str, trailer: dict[str, str], damage: tuple[bytes, bytes], code: str
) -> None:
    response = upload(store, "damaged", mode, trailer=trailer, damage=damage)

    assert (response.status, response.code) == (403 if code == "SignatureDoesNotMatch" else 400, code)
    assert store.get("damaged").status == 404
    assert store.stored_files() == []


@pytest.mark.parametrize("length", [len(PAYLOAD) - 1, len(PAYLOAD) + 1])
def test_a_payload_of_another_length_than_declared_is_refused(store: Store, length: int) -> None:
    response = upload(store, "length", STREAMING_SIGNED, length=length)

    assert response.code == "IncompleteBody"
    assert store.stored_files() == []


SMALL = (b"hello", b" world", b"")
SMALL_CRC32 = {"x-amz-checksum-crc32": base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big")).decode()}


@pytest.mark.parametrize(
    ("mode", "trailer"),
    [(STREAMING_SIGNED, {}), (STREAMING_SIGNED_TRAILER, SMALL_CRC32), (STREAMING_UNSIGNED_TRAILER, SMALL_CRC32)],
)
def test_wherever_the_bytes_are_cut_the_payload_and_the_trailer_are_the_same(
    mode: str, trailer: dict[str, str]
) -> None:
    store = Store(port=9, directory=Path())
    headers = {"x-amz-decoded-content-length": "11", **({"x-amz-trailer": ",".join(trailer)} if trailer else {})}
    now = datetime.now(UTC).replace(microsecond=0)
    request = Request(method="PUT", origin=store.url, path=f"/{BUCKET}/key", headers=tuple(headers.items()))
    target, signed = SIGNER.sign_headers(request, now=now, payload_hash=mode)
    wire = frames(mode, now, signed["authorization"].rpartition("=")[2], trailer, SMALL)
    raw = store.plain_head("PUT", target, {**headers, **signed, "content-length": str(len(wire))})

    for cut in range(1, len(wire)):
        assert received(raw, (wire[:cut], wire[cut:]), now) == (b"hello world", trailer.items()), cut


def received(raw: bytes, wire: tuple[bytes, ...], now: datetime) -> tuple[bytes, ItemsView[str, str]]:
    """What the store makes of a request whose body comes in these pieces: the payload, and the trailer's checksum."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        head = parse_head(raw, max_headers=20)
        body = Body(Connection(ours, Limits()), head)
        pair = SIGNER.credentials
        verifier = Verifier(lookup={pair.access_key: pair.secret_key}.get, region="us-east-1")
        payload = AwsChunkedBody(authorise(head, body, verifier=verifier, now=now))
        whole = bytearray()

        async def read() -> None:
            while piece := await payload.receive():
                whole.extend(piece)

        reading = read()
        with contextlib.suppress(StopIteration):
            for piece in wire:
                reading.send(None)  # it reads what there is, and waits
                theirs.send(piece)
            reading.send(None)
        shown = {name: value for name, value in payload.trailer.items() if name.startswith("x-amz-checksum-")}
        return bytes(whole), shown.items()
