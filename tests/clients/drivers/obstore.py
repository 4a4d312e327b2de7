"""Drives obstore: the object_store crate of Rust, for Python."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.clients.client import Habits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket


class Obstore:
    """`client.Client`."""

    habits = Habits(unnameable=frozenset({"double//slash"}), missing="not found")

    def __init__(self, place: Bucket, folder: Path) -> None:
        self._s3 = S3Store(
            place.name,
            endpoint=place.endpoint,
            access_key_id=place.credentials.access_key,
            secret_access_key=place.credentials.secret_key,
            region=place.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def put(self, key: str, file: Path, *, content_type: str) -> None:
        obstore.put(self._s3, key, file, attributes={"Content-Type": content_type})

    def get(self, key: str) -> bytes:
        return bytes(obstore.get(self._s3, key).bytes())

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        return bytes(obstore.get_range(self._s3, key, start=start, end=end))

    def list(self, prefix: str) -> list[str]:
        return [str(item["path"]) for batch in obstore.list(self._s3, prefix) for item in batch]

    def copy(self, source: str, target: str) -> None:
        obstore.copy(self._s3, source, target)

    def delete(self, keys: Sequence[str]) -> None:
        obstore.delete(self._s3, list(keys))

    def presign(self, method: str, key: str) -> str:
        return str(obstore.sign(self._s3, method, key, timedelta(hours=1)))

    def error(self, call: Callable[[], object]) -> str:
        with pytest.raises((BaseError, FileNotFoundError)) as error:
            call()
        return str(error.value)

    def close(self) -> None:
        """It closes its connections when it goes."""
