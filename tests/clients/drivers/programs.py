"""Drives the S3 clients that are programs: each call is one command, as its users type it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

import pytest

from tests.clients.client import Habits
from tests.clients.tools import environment, program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket

_SECONDS = 120.0
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class ProgramError(Exception):
    """A command ended with another status than 0; what it printed to say why."""


class Program:
    """A command that is run to its end, in a folder and an environment of its own."""

    name: ClassVar[str]

    def __init__(self, place: Bucket, folder: Path) -> None:
        self.place = place
        self.folder = folder
        self._path = program(self.name)
        self._environment = environment(folder, **self.variables())

    def variables(self) -> Mapping[str, str]:
        """The environment variables that its users set; here its files are written, too."""
        return {}

    def run(self, *arguments: str) -> bytes:
        """What it prints. Raises `ProgramError`."""
        done = subprocess.run(
            [self._path, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise ProgramError((done.stderr + done.stdout).decode(errors="replace"))
        return done.stdout

    def url(self, key: str) -> str:
        """The object as most of these programs name it."""
        return f"s3://{self.place.name}/{key}"

    def error(self, call: Callable[[], object]) -> str:
        """`client.Client.error`."""
        with pytest.raises(ProgramError) as error:
            call()
        return str(error.value)

    def close(self) -> None:
        """Nothing of it is left running."""


class AwsCli(Program):
    """`client.Client`: the AWS CLI."""

    name = "aws"
    habits = Habits(checksum="crc32", presigns=frozenset({"GET"}))

    def variables(self) -> Mapping[str, str]:
        configuration = self.folder / "aws-config"
        configuration.write_text("[default]\ns3 =\n  signature_version = s3v4\n", encoding="utf-8")
        return {
            "AWS_ACCESS_KEY_ID": self.place.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.place.credentials.secret_key,
            "AWS_DEFAULT_REGION": self.place.region,
            "AWS_ENDPOINT_URL": self.place.endpoint,
            "AWS_CONFIG_FILE": str(configuration),
        }

    def put(self, key: str, file: Path, *, content_type: str) -> None:
        self.run("s3", "cp", "--no-progress", "--content-type", content_type, str(file), self.url(key))

    def get(self, key: str) -> bytes:
        whole = self.folder / "whole"
        self._api("get-object", "--key", key, str(whole))
        return whole.read_bytes()

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        part = self.folder / "part"
        self._api("get-object", "--key", key, "--range", f"bytes={start}-{end - 1}", str(part))
        return part.read_bytes()

    def list(self, prefix: str) -> list[str]:
        listed = self._api("list-objects-v2", "--prefix", prefix, "--query", "Contents[].Key", "--output", "json")
        return json.loads(listed) or []

    def copy(self, source: str, target: str) -> None:
        self.run("s3", "cp", "--no-progress", self.url(source), self.url(target))

    def delete(self, keys: Sequence[str]) -> None:
        objects = json.dumps({"Objects": [{"Key": key} for key in keys]})
        errors = self._api("delete-objects", "--delete", objects, "--query", "Errors", "--output", "json")
        assert json.loads(errors) is None

    def presign(self, method: str, key: str) -> str:
        return self.run("s3", "presign", self.url(key)).decode().strip()

    def _api(self, call: str, *arguments: str) -> bytes:
        return self.run("s3api", call, "--bucket", self.place.name, *arguments)


class S3Cmd(Program):
    """`client.Client`: s3cmd."""

    name = "s3cmd"
    habits = Habits(presigns=frozenset(), missing="does not exist")  # its `signurl` signs with version 2

    def variables(self) -> Mapping[str, str]:
        host = urlsplit(self.place.endpoint).netloc
        (self.folder / ".s3cfg").write_text(
            f"[default]\naccess_key = {self.place.credentials.access_key}\n"
            f"secret_key = {self.place.credentials.secret_key}\n"
            f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\nbucket_location = {self.place.region}\n",
            encoding="utf-8",
        )
        return {}

    def put(self, key: str, file: Path, *, content_type: str) -> None:
        parts = "--multipart-chunk-size-mb=5"  # of its own accord from 15 MB on
        self.run("put", "--no-progress", parts, f"--mime-type={content_type}", str(file), self.url(key))

    def get(self, key: str) -> bytes:
        whole = self.folder / "whole"
        self.run("get", "--no-progress", "--force", self.url(key), str(whole))
        return whole.read_bytes()

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        part = self.folder / "part"
        part.write_bytes(bytes(start))  # it asks for the rest of a file that is there in part
        self.run("get", "--no-progress", "--continue", self.url(key), str(part))
        return part.read_bytes()[start:end]

    def list(self, prefix: str) -> list[str]:
        lines = self.run("ls", "--recursive", self.url(prefix)).decode().splitlines()
        return [line.partition(self.url(""))[2] for line in lines]

    def copy(self, source: str, target: str) -> None:
        self.run("cp", self.url(source), self.url(target))

    def delete(self, keys: Sequence[str]) -> None:
        self.run("del", *[self.url(key) for key in keys])

    def presign(self, method: str, key: str) -> str:
        raise AssertionError(f"it presigns no {method}")


class Rclone(Program):
    """`client.Client`: rclone, told everything by variables."""

    name = "rclone"
    habits = Habits(
        unnameable=frozenset({"double//slash"}), presigns=frozenset({"GET"}), missing="Source doesn't exist"
    )

    def variables(self) -> Mapping[str, str]:
        configuration = self.folder / "rclone.conf"
        configuration.touch()
        return {
            "RCLONE_CONFIG": str(configuration),
            "RCLONE_CONFIG_PENSTOCK_TYPE": "s3",
            "RCLONE_CONFIG_PENSTOCK_PROVIDER": "Other",
            "RCLONE_CONFIG_PENSTOCK_ENDPOINT": self.place.endpoint,
            "RCLONE_CONFIG_PENSTOCK_REGION": self.place.region,
            "RCLONE_CONFIG_PENSTOCK_ACCESS_KEY_ID": self.place.credentials.access_key,
            "RCLONE_CONFIG_PENSTOCK_SECRET_ACCESS_KEY": self.place.credentials.secret_key,
            "RCLONE_S3_UPLOAD_CUTOFF": "8Mi",  # of its own accord from 200 MiB on
        }

    def url(self, key: str) -> str:
        return f"penstock:{self.place.name}/{key}"

    def put(self, key: str, file: Path, *, content_type: str) -> None:
        self.run("copyto", "--header-upload", f"content-type: {content_type}", str(file), self.url(key))

    def get(self, key: str) -> bytes:
        whole = self.folder / "whole"
        whole.touch()  # else rclone takes what is not there for an empty folder, and is content
        self.run("copyto", self.url(key), str(whole))
        return whole.read_bytes()

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        return self.run("cat", "--offset", str(start), "--count", str(end - start), self.url(key))

    def list(self, prefix: str) -> list[str]:
        lines = self.run("lsf", "--recursive", "--files-only", self.url(prefix)).decode().splitlines()
        return [prefix + line for line in sorted(lines)]

    def copy(self, source: str, target: str) -> None:
        self.run("copyto", self.url(source), self.url(target))

    def delete(self, keys: Sequence[str]) -> None:
        folder = keys[0].partition("/")[0] + "/"
        names = "".join(f"{key.removeprefix(folder)}\n" for key in keys)
        (self.folder / "names").write_text(names, encoding="utf-8")
        self.run("delete", "--files-from-raw", "names", self.url(folder))

    def presign(self, method: str, key: str) -> str:
        return self.run("link", "--expire", "1h", self.url(key)).decode().strip()


class Curl(Program):
    """`client.Client`: curl, which can sign a request and knows nothing else of S3."""

    name = "curl"
    habits = Habits(sends_parts=False, presigns=frozenset())

    def put(self, key: str, file: Path, *, content_type: str) -> None:
        self._signed("--upload-file", str(file), "--header", f"content-type: {content_type}", self.url(key))

    def get(self, key: str) -> bytes:
        return self._signed(self.url(key))

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        return self._signed("--range", f"{start}-{end - 1}", self.url(key))

    def list(self, prefix: str) -> list[str]:
        keys: list[str] = []
        token = ""
        while True:
            # The query stands as SigV4 wants it, sorted and encoded: curl before 8.3 signs it as it stands.
            query = f"{token}list-type=2&prefix={quote(prefix, safe='')}"
            page = ET.fromstring(self._signed(f"{self.url('')}?{query}"))  # noqa: S314 - from our own store
            keys += [node.text or "" for node in page.iter(f"{_NAMESPACE}Key")]
            more = page.findtext(f"{_NAMESPACE}NextContinuationToken")
            if more is None:
                return keys
            token = f"continuation-token={quote(more, safe='')}&"

    def copy(self, source: str, target: str) -> None:
        origin = f"x-amz-copy-source: /{self.place.name}/{quote(source)}"
        self._signed("--request", "PUT", "--header", origin, self.url(target))

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._signed("--request", "DELETE", self.url(key))

    def presign(self, method: str, key: str) -> str:
        raise AssertionError(f"it presigns no {method}")

    def url(self, key: str) -> str:
        return f"{self.place.endpoint}/{self.place.name}/{quote(key)}"

    def _signed(self, *arguments: str) -> bytes:
        pair = f"{self.place.credentials.access_key}:{self.place.credentials.secret_key}"
        return self.run(
            *("--silent", "--show-error", "--fail-with-body", "--path-as-is"),
            *("--aws-sigv4", f"aws:amz:{self.place.region}:s3", "--user", pair),
            *("--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"),
            *arguments,
        )
