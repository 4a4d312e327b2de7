"""Drives boto3, with s3transfer for files: told nothing but where the store is and how to name its buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.client import Habits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket


class Boto:
    """`client.Client`. `authority` is a file of certificates to trust, for an https address."""

    habits = Habits(checksum="crc32")

    def __init__(self, place: Bucket, folder: Path, *, authority: Path | None = None) -> None:
        self._bucket = place.name
        self.s3: Any = boto3.client(
            "s3",
            endpoint_url=place.endpoint,
            aws_access_key_id=place.credentials.access_key,
            aws_secret_access_key=place.credentials.secret_key,
            region_name=place.region,
            verify=str(authority) if authority else None,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
        )

    def put(self, key: str, file: Path, *, content_type: str) -> None:
        self.s3.upload_file(str(file), self._bucket, key, ExtraArgs={"ContentType": content_type})

    def get(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        got = self.s3.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={start}-{end - 1}")
        body: bytes = got["Body"].read()
        return body

    def list(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def copy(self, source: str, target: str) -> None:
        self.s3.copy({"Bucket": self._bucket, "Key": source}, self._bucket, target)

    def delete(self, keys: Sequence[str]) -> None:
        done = self.s3.delete_objects(Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in keys]})
        assert "Errors" not in done

    def presign(self, method: str, key: str) -> str:
        call = {"GET": "get_object", "PUT": "put_object"}[method]
        url: str = self.s3.generate_presigned_url(call, Params={"Bucket": self._bucket, "Key": key})
        return url

    def form(self, key: str, *, content_type: str, most: int, redirect: str = "") -> dict[str, Any]:
        """Address and fields of a browser form: a presigned POST for one key, one type and at most `most` bytes."""
        fields = {"Content-Type": content_type} | ({"success_action_redirect": redirect} if redirect else {})
        made: dict[str, Any] = self.s3.generate_presigned_post(
            self._bucket,
            key,
            Fields=fields,
            Conditions=[*({name: value} for name, value in fields.items()), ["content-length-range", 0, most]],
        )
        return made

    def error(self, call: Callable[[], object]) -> str:
        with pytest.raises(ClientError) as error:
            call()
        return str(error.value.response["Error"]["Code"])

    def close(self) -> None:
        self.s3.close()
