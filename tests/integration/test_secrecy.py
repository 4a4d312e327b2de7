"""What a server logs of a busy day holds no key, no signature, no presigned URL, no file's content (S29)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.exchange import exchange, fetch
from tests.support.native import Native, put

if TYPE_CHECKING:
    from tests.support.server import Server

PART_OF_THE_FILE = b"only the owner of this file may read this"
PROMPT = "ink, as told to nobody"


@pytest.fixture(scope="module")
def told(server: Server, api_key: str) -> str:
    """All that the server has logged after everything that can go right or wrong went right and wrong."""
    native = Native(url=server.url, key=api_key)
    upload = native.begin(PART_OF_THE_FILE, "words.txt", "text/plain")
    put(upload, PART_OF_THE_FILE, Content_Type="image/png")
    exchange("PUT", upload["upload_url"][:-1], PART_OF_THE_FILE, headers=upload["headers"])
    put(upload, PART_OF_THE_FILE).must(200)
    asset = native.post(f"/uploads/{upload['id']}/complete").must(200)
    assert fetch(asset["url"]).body == PART_OF_THE_FILE
    fetch(asset["url"], method="HEAD")
    inline = f"data:image/png;base64,{base64.b64encode(PART_OF_THE_FILE).decode()}"
    for inputs in ({"prompt": PROMPT}, {"prompt": PROMPT, "image": asset["id"]}, {"prompt": PROMPT, "image": inline}):
        native.post("/runs", {"model": "builtin/stylize", "input": inputs})
    native.finished(next(native.all("/runs"))["id"])
    native.get(f"/account?key={api_key}&X-Amz-Signature=0123456789abcdef")
    native.post("/uploads", "{" + PROMPT)
    Native(url=server.url, key=api_key[:-1]).get("/account")
    exchange("GET", f"{server.url}/v1/account", headers={"Authorization": f"Basic {api_key}"})
    exchange("GET", f"{server.objects_url}/penstock/nothing?{upload['upload_url'].partition('?')[2]}")
    return server.logged()


def test_the_day_was_logged(told: str) -> None:
    assert told.count('"event": "api.request"') > 10


@pytest.mark.parametrize(
    "secret",
    ["X-Amz-Signature", "X-Amz-Credential", "Signature=", "Authorization", "Bearer", PART_OF_THE_FILE.decode(), PROMPT],
)
def test_no_secret_is_logged(told: str, secret: str) -> None:
    assert secret not in told


def test_the_api_key_is_not_logged(told: str, api_key: str) -> None:
    assert api_key[:-1] not in told
    assert api_key[3:20] not in told


def test_the_stores_secret_is_in_a_file_for_its_owner_alone(server: Server, told: str) -> None:
    path = server.data / "store-credentials.json"
    words = [word for pair in _pairs(json.loads(path.read_text())) for word in pair]

    assert path.stat().st_mode & 0o077 == 0
    assert words
    assert [word for word in words if len(word) > 20 and word in told] == []


@pytest.mark.parametrize("part", ["serve", "api", "store", "worker"])
def test_no_secret_stands_on_a_command_line(server: Server, api_key: str, part: str) -> None:
    line = Path(f"/proc/{server.part_pid(part)}/cmdline").read_text()
    secrets = [
        word for pair in _pairs(json.loads((server.data / "store-credentials.json").read_text())) for word in pair
    ]

    assert [word for word in [api_key, *secrets] if word in line] == []


def test_the_data_directory_is_its_owners_alone(server: Server) -> None:
    assert os.stat(server.data).st_mode & 0o077 == 0  # noqa: PTH116 - the mode alone


def _pairs(document: object) -> list[tuple[str, str]]:
    """Every name with its text, wherever it stands in the file."""
    if isinstance(document, dict):
        return [
            found
            for name, value in document.items()
            for found in ([(str(name), value)] if isinstance(value, str) else _pairs(value))
        ]
    return [found for item in document for found in _pairs(item)] if isinstance(document, list) else []
