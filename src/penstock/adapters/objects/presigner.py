"""Presigned URLs and forms for a bucket. Never touches the network."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from penstock.ports.objects import SignedForm, SignedRequest
from penstock.sigv4 import Form, Request, SignatureError, Verifier, sign_form

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from penstock.adapters.objects.calls import Bucket

_MARK = "x-penstock-mark"


class S3Presigner:
    """`ports.objects.Presigner` for a bucket at its public address."""

    def __init__(self, bucket: Bucket) -> None:
        self._origin = bucket.origin
        self._bucket = bucket.name
        self._path = f"/{bucket.name}/"
        self._signer = bucket.signer
        credentials = bucket.credentials
        self._verifier = Verifier(
            lookup=lambda key: credentials.secret_key if key == credentials.access_key else None, region=bucket.region
        )

    def put(  # noqa: PLR0913 - what a signature binds
        self,
        key: str,
        *,
        content_type: str | None,
        size: int | None,
        max_size: int | None,
        expires_in: timedelta,
        now: datetime,
        sha256: str | None = None,
    ) -> SignedRequest:
        """A URL for one PUT to one key, with the headers that the client must send."""
        headers = {}
        if content_type is not None:
            headers["Content-Type"] = content_type
        if size is not None:
            headers["Content-Length"] = str(size)
        if sha256 is not None:
            headers["x-amz-checksum-sha256"] = b64encode(bytes.fromhex(sha256)).decode()
        query = (("x-penstock-max-length", str(max_size)),) if max_size is not None else ()
        request = Request(
            method="PUT", origin=self._origin, path=self._path + key, query=query, headers=tuple(headers.items())
        )
        url = self._signer.presign(request, now=now, expires_in=expires_in)
        return SignedRequest(method="PUT", url=url, headers=headers)

    def get(  # noqa: PLR0913 - what a signature binds
        self,
        key: str,
        *,
        expires_in: timedelta,
        now: datetime,
        content_type: str | None = None,
        disposition: str | None = None,
        method: str = "GET",
        mark: str | None = None,
    ) -> str:
        """A URL for reading one key, with the response overrides of S3's GetObject; no store looks at the mark."""
        named = (
            ("response-content-disposition", disposition),
            ("response-content-type", content_type),
            (_MARK, mark),
        )
        query = tuple([(name, value) for name, value in named if value is not None])
        request = Request(method=method, origin=self._origin, path=self._path + key, query=query)
        return self._signer.presign(request, now=now, expires_in=expires_in)

    def mark_of(self, url: str, *, now: datetime) -> str | None:
        """The mark of a URL that `get` made; empty where there is none that holds; None for any other bucket's URL."""
        if not url.startswith(self._origin + self._path):
            return None
        target, host = url.removeprefix(self._origin), self._origin.partition("://")[2]
        try:
            verified = self._verifier.verify("GET", target, [("host", host)], now=now)
        except (SignatureError, UnicodeError):
            return ""
        return next((value for name, value in verified.target.query if name == _MARK), "")

    def part(self, key: str, upload_id: str, number: int, *, expires_in: timedelta, now: datetime) -> str:
        """A URL for one PUT of one part. No header is signed: clients send what they like beside a part (S24)."""
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        request = Request(method="PUT", origin=self._origin, path=self._path + key, query=query)
        return self._signer.presign(request, now=now, expires_in=expires_in)

    def form(  # noqa: PLR0913 - what a signature binds
        self,
        key: str,
        *,
        content_type: str,
        min_size: int,
        max_size: int,
        expires_in: timedelta,
        now: datetime,
        free: tuple[str, ...] = (),
    ) -> SignedForm:
        """A form for one POST to one key, its type and its size range in the policy (S25).

        A policy cannot make a field optional: stores refuse a condition whose field is not posted. So the `free` ones
        are among the fields, empty, and whoever has nothing to say posts them so.
        """
        form = Form(
            bucket=self._bucket,
            key=key,
            min_bytes=min_size,
            max_bytes=max_size,
            fields=(("Content-Type", content_type), ("success_action_status", "204")),
            free=tuple((name, "") for name in free),
        )
        fields = sign_form(self._signer, form, now=now, expires_in=expires_in)
        return SignedForm(url=f"{self._origin}/{self._bucket}", fields=fields | dict.fromkeys(free, ""))
