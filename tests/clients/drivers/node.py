"""Drives `@aws-sdk/client-s3` in one Node process, by lines of JSON (`node/client.mjs`)."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.client import Habits
from tests.clients.tools import NODE_FOLDER, environment, node_modules, program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket

_PATIENCE_SECONDS = 30.0


class NodeError(Exception):
    """An error of the SDK: the name of its class, and what it says."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['name']}: {error['message']}")
        self.name = str(error["name"])


class Node:
    """`client.Client`."""

    habits = Habits(checksum="crc32")

    def __init__(self, place: Bucket, folder: Path) -> None:
        node_modules()
        self._folder = folder
        settings = {"endpoint": place.endpoint, "region": place.region, "bucket": place.name}
        pair = {
            "AWS_ACCESS_KEY_ID": place.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": place.credentials.secret_key,
        }
        self._process = subprocess.Popen(
            [program("node"), "client.mjs", json.dumps(settings)],
            cwd=NODE_FOLDER,
            env=environment(folder, **pair),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def put(self, key: str, file: Path, *, content_type: str) -> None:
        self.ask("put", key=key, path=str(file), type=content_type)

    def put_stream(self, key: str, file: Path) -> None:
        """One PUT of a stream, whose checksum follows its bytes."""
        self.ask("putStream", key=key, path=str(file))

    def get(self, key: str) -> bytes:
        return self._read(key)

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        return self._read(key, range=f"bytes={start}-{end - 1}")

    def list(self, prefix: str) -> list[str]:
        return list(self.ask("list", prefix=prefix))

    def copy(self, source: str, target: str) -> None:
        self.ask("copy", source=source, key=target)

    def delete(self, keys: Sequence[str]) -> None:
        assert self.ask("remove", keys=list(keys)) == []

    def presign(self, method: str, key: str) -> str:
        return str(self.ask("presign", method=method, key=key))

    def form(self, key: str, *, content_type: str, most: int) -> dict[str, Any]:
        """Address and fields of a browser form, made by `@aws-sdk/s3-presigned-post`."""
        made: dict[str, Any] = self.ask("form", key=key, type=content_type, max=most)
        return made

    def error(self, call: Callable[[], object]) -> str:
        with pytest.raises(NodeError) as error:
            call()
        return error.value.name

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            assert self._process.wait(_PATIENCE_SECONDS) == 0
        finally:
            self._process.kill()
            self._process.stdout.close()

    def ask(self, verb: str, **options: object) -> Any:  # noqa: ANN401 - JSON
        """One answer. Raises `NodeError`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"verb": verb, **options}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["value"]

    def _read(self, key: str, **part: str) -> bytes:
        path = self._folder / "read"
        self.ask("get", key=key, path=str(path), **part)
        return path.read_bytes()
