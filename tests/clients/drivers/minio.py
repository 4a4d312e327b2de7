"""Drives minio-py."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from tests.clients.client import Habits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket


class MinioPy:
    """`client.Client`."""

    habits = Habits()

    def __init__(self, place: Bucket, folder: Path) -> None:
        self._bucket = place.name
        self._s3 = Minio(
            endpoint=urlsplit(place.endpoint).netloc,
            access_key=place.credentials.access_key,
            secret_key=place.credentials.secret_key,
            region=place.region,
            secure=False,
        )

    def put(self, key: str, file: Path, *, content_type: str) -> None:
        self._s3.fput_object(bucket_name=self._bucket, object_name=key, file_path=str(file), content_type=content_type)

    def get(self, key: str) -> bytes:
        return self._read(key)

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        return self._read(key, offset=start, length=end - start)

    def list(self, prefix: str) -> list[str]:
        found = self._s3.list_objects(bucket_name=self._bucket, prefix=prefix, recursive=True)
        return [item.object_name for item in found]

    def copy(self, source: str, target: str) -> None:
        origin = CopySource(bucket_name=self._bucket, object_name=source)
        self._s3.copy_object(bucket_name=self._bucket, object_name=target, source=origin)

    def delete(self, keys: Sequence[str]) -> None:
        named = [DeleteObject(key) for key in keys]
        assert list(self._s3.remove_objects(bucket_name=self._bucket, delete_object_list=named)) == []

    def presign(self, method: str, key: str) -> str:
        make = {"GET": self._s3.presigned_get_object, "PUT": self._s3.presigned_put_object}[method]
        return str(make(bucket_name=self._bucket, object_name=key))

    def error(self, call: Callable[[], object]) -> str:
        with pytest.raises(S3Error) as error:
            call()
        return str(error.value.code)

    def close(self) -> None:
        """It closes its connections when it goes."""

    def _read(self, key: str, **part: int) -> bytes:
        answer = self._s3.get_object(bucket_name=self._bucket, object_name=key, **part)
        try:
            body: bytes = answer.read()
            return body
        finally:
            answer.close()
            answer.release_conn()
