"""What the SDKs sign for people without keys: URLs and forms, used with curl."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.clients.drivers.boto import Boto
from tests.clients.drivers.node import Node
from tests.clients.tools import environment, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket
    from tests.clients.stored import Stored

PNG = "image/png"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@pytest.fixture(scope="module", params=[Boto, Node])
def signer(request: pytest.FixtureRequest, place: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boto]:
    client = request.param(place, tmp_path_factory.mktemp("signer"))
    yield client
    client.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(PICTURE)
    return path


def curl(folder: Path, *arguments: str) -> tuple[int, bytes]:
    """Status and body of what curl got."""
    body = folder / "body"
    done = subprocess.run(
        [program("curl"), "--silent", "--show-error", "--output", str(body), "--write-out", "%{http_code}", *arguments],
        env=environment(folder),
        check=True,
        capture_output=True,
        timeout=60,
    )
    return int(done.stdout), body.read_bytes() if body.exists() else b""


def fields_of(form: dict[str, dict[str, str]]) -> list[str]:
    """The fields as curl takes them; a value is never read from a file."""
    return [word for name, value in form["fields"].items() for word in ("--form-string", f"{name}={value}")]


def code_of(body: bytes) -> str | None:
    return ET.fromstring(body).findtext("Code")  # noqa: S314 - from our own store


def test_curl_puts_and_gets_by_url(signer: Boto, stored: Stored, picture: Path, tmp_path: Path) -> None:
    url = signer.presign("PUT", "url/a b+c")

    status, _ = curl(tmp_path, "--upload-file", str(picture), url)

    assert status == 200
    assert stored.read("url/a b+c") == PICTURE
    assert curl(tmp_path, signer.presign("GET", "url/a b+c")) == (200, PICTURE)
    assert curl(tmp_path, "--range", "1-3", signer.presign("GET", "url/a b+c")) == (206, b"PNG")


def test_curl_may_wait_for_permission_to_send(signer: Boto, stored: Stored, picture: Path, tmp_path: Path) -> None:
    url = signer.presign("PUT", "url/expect")

    status, _ = curl(tmp_path, "--header", "expect: 100-continue", "--upload-file", str(picture), url)

    assert status == 200
    assert stored.read("url/expect") == PICTURE


def test_a_url_for_one_key_is_none_for_another(signer: Boto, picture: Path, tmp_path: Path) -> None:
    url = signer.presign("PUT", "url/mine").replace("/mine", "/yours")

    status, body = curl(tmp_path, "--upload-file", str(picture), url)

    assert (status, code_of(body)) == (403, "SignatureDoesNotMatch")


def test_curl_sends_a_form(signer: Boto, stored: Stored, picture: Path, tmp_path: Path) -> None:
    form = signer.form("form/picture", content_type=PNG, most=100_000)

    status, _ = curl(tmp_path, *fields_of(form), "--form", f"file=@{picture}", form["url"])

    assert status == 204
    assert stored.read("form/picture") == PICTURE
    assert stored.head("form/picture").headers["content-type"] == PNG


def test_a_form_keeps_its_limit(signer: Boto, stored: Stored, picture: Path, tmp_path: Path) -> None:
    form = signer.form("form/too-large", content_type=PNG, most=len(PICTURE) - 1)

    status, body = curl(tmp_path, *fields_of(form), "--form", f"file=@{picture}", form["url"])

    assert (status, code_of(body)) == (400, "EntityTooLarge")
    assert stored.head("form/too-large").status == 404


def test_a_form_keeps_its_type(signer: Boto, stored: Stored, picture: Path, tmp_path: Path) -> None:
    form = signer.form("form/other", content_type=PNG, most=100_000)
    form["fields"]["Content-Type"] = "text/html"

    status, body = curl(tmp_path, *fields_of(form), "--form", f"file=@{picture}", form["url"])

    assert (status, code_of(body)) == (403, "AccessDenied")
    assert stored.head("form/other").status == 404
