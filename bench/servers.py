"""A running server under test: its address, its processes, and the S3 calls that are not what is measured."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

from penstock.sigv4 import UNSIGNED_PAYLOAD, Request, Signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.sigv4 import Credentials

REGION = "us-east-1"
_PATIENCE_SECONDS = 120
_LIFE = timedelta(hours=6)
_SUCCESS = 2

Pairs = tuple[tuple[str, str], ...]


class NotAvailableError(Exception):
    """What a server does not offer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`roots` are the processes it was started as. Without `credentials` it is plain HTTP, with them it speaks S3."""

    name: str
    version: str
    origin: str
    roots: tuple[int, ...]
    credentials: Credentials | None
    bucket: str = "bench"
    ours: bool = False

    def target(self, method: str, key: str, *, query: Pairs = (), headers: Pairs = ()) -> str:
        """The request target of a key; presigned where the server asks who we are."""
        path = f"/{self.bucket}/{key}"
        if self.credentials is None:
            return path
        request = Request(method=method, origin=self.origin, path=path, query=query, headers=headers)
        url = Signer(credentials=self.credentials, region=REGION).presign(
            request, now=datetime.now(UTC), expires_in=_LIFE
        )
        return url.removeprefix(self.origin)

    def signed(self, method: str, key: str) -> tuple[str, dict[str, str]]:
        """Target and headers of a request that is signed in its headers, as SDKs do it."""
        path = f"/{self.bucket}/{key}"
        if self.credentials is None:
            return path, {}
        signer = Signer(credentials=self.credentials, region=REGION)
        request = Request(method=method, origin=self.origin, path=path)
        target, headers = signer.sign_headers(request, now=datetime.now(UTC), payload_hash=UNSIGNED_PAYLOAD)
        return target, {name: value for name, value in headers.items() if name.lower() != "host"}

    def targets(self, method: str, keys: Sequence[str]) -> list[str]:
        """Many at once."""
        return [self.target(method, key) for key in keys]

    def call(
        self, method: str, key: str = "", *, query: Pairs = (), headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """One exchange on a connection of its own, signed in its headers."""
        sent = {"content-length": str(len(body)), **(headers or {})}
        target = f"/{self.bucket}/{key}" if key else f"/{self.bucket}"
        if self.credentials is not None:
            signer = Signer(credentials=self.credentials, region=REGION)
            request = Request(
                method=method, origin=self.origin, path=target, query=query, headers=tuple((headers or {}).items())
            )
            target, signed = signer.sign_headers(request, now=datetime.now(UTC))
            sent |= signed
        elif query:
            target = f"{target}?{urlencode(query)}"
        connection = http.client.HTTPConnection(urlsplit(self.origin).netloc, timeout=_PATIENCE_SECONDS)
        try:
            connection.request(method, target, body=body, headers=sent)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(status=answer.status, headers=names, body=answer.read())
        finally:
            connection.close()

    def must(
        self, method: str, key: str = "", *, query: Pairs = (), headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """The same, with success. Raises RuntimeError."""
        reply = self.call(method, key, query=query, headers=headers, body=body)
        require_success(self, f"{method} {key}", reply.status, reply.body)
        return reply

    def create_bucket(self) -> bool:
        """Whether the server is up and has the bucket. Its first answers may be errors."""
        if self.credentials is None:
            return self.call("GET", "nothing").status == http.HTTPStatus.NOT_FOUND
        return self.call("PUT").status in {http.HTTPStatus.OK, http.HTTPStatus.CONFLICT}  # new, or there already

    def require_size(self, key: str, size: int) -> None:
        """The server says that the object has so many bytes. Raises RuntimeError."""
        length = self.must("HEAD", key).headers.get("content-length")
        if length != str(size):
            raise RuntimeError(f"{self.name}: {key} has {length} bytes, not {size}")

    def begin_multipart(self, key: str) -> str:
        """An upload id. Raises `NotAvailableError` when the server has no multipart uploads."""
        reply = self.call("POST", key, query=(("uploads", ""),))
        if reply.status in {405, 501}:
            raise NotAvailableError("no multipart uploads")
        require_success(self, "CreateMultipartUpload", reply.status, reply.body)
        upload_id = ET.fromstring(reply.body).findtext("{*}UploadId")  # noqa: S314 - a server that we started
        if not upload_id:
            raise RuntimeError(f"{self.name}: no upload id in {reply.body[:200]!r}")
        return upload_id

    def complete_multipart(self, key: str, upload_id: str, etags: Sequence[str]) -> None:
        """Raises RuntimeError. A success may turn out an error in its body (S3 API)."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in enumerate(etags, start=1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        reply = self.must("POST", key, query=(("uploadId", upload_id),), body=body)
        if b"<CompleteMultipartUploadResult" not in reply.body:
            raise RuntimeError(f"{self.name}: complete answered {reply.body[:300]!r}")


def require_success(server: Server, what: str, status: int, body: bytes) -> None:
    """Raises RuntimeError for anything but a 2xx."""
    if status // 100 != _SUCCESS:
        raise RuntimeError(f"{server.name}: {what}: {status} {body[:300]!r}")
