"""Files by their public URLs with curl: whole, in parts, their head, and under any name."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.support.native import Native

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import Server

SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "cross-origin",
}
# RFC 6266 §4.1 with RFC 9110 §5.6.4 and RFC 8187 §3.2.1, and nothing more.
DISPOSITION = re.compile(
    r"(?P<kind>inline|attachment); filename=\"(?P<plain>(?:[\x20\x21\x23-\x5b\x5d-\x7e])*)\""
    r"(?:; filename\*=UTF-8''(?P<full>(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})+))?"
)
NAMES = [
    "plain.png",
    "東京の写真.png",
    "with \"quotes\" and 'ticks'.png",
    "smile 😀👩‍👩‍👧.png",
    "שלום עולם.png",
    "100% sure; filename=evil.png",
    "naïve résumé.png",
    "a=b, c+d & e.png",
]


@pytest.fixture(scope="module")
def owner(server: Server, api_key: str) -> Native:
    return Native(url=server.url, key=api_key)


def curl(folder: Path, *arguments: str) -> tuple[int, dict[str, str], bytes]:
    """The last answer of a call that follows redirects: status, headers, body."""
    body, head = folder / "body", folder / "head"
    body.write_bytes(b"")
    subprocess.run(
        ["curl", "--silent", "--show-error", "--location", "--output", body, "--dump-header", head, *arguments],
        check=True,
        timeout=60,
    )
    last = head.read_bytes().decode("latin-1").strip().split("\r\n\r\n")[-1].split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in last[1:])}
    return int(last[0].split()[1]), headers, body.read_bytes()


def test_the_public_url_gives_ranges_and_heads_through_its_redirect(
    owner: Native, photo: bytes, tmp_path: Path
) -> None:
    url = owner.upload(photo)["url"]

    whole, part, end = (curl(tmp_path, *more, url) for more in ((), ("-r", "10-19"), ("-r", "-5")))
    head = curl(tmp_path, "--head", url)
    beyond = curl(tmp_path, "-r", f"{len(photo)}-", url)
    same = curl(tmp_path, "-H", f"If-None-Match: {whole[1]['etag']}", url)

    assert (whole[0], whole[2]) == (200, photo)
    assert (part[0], part[2], part[1]["content-range"]) == (206, photo[10:20], f"bytes 10-19/{len(photo)}")
    assert (end[0], end[2]) == (206, photo[-5:])
    assert (head[0], head[1]["content-length"], head[1]["accept-ranges"]) == (200, str(len(photo)), "bytes")
    assert (beyond[0], beyond[1]["content-range"]) == (416, f"bytes */{len(photo)}")
    assert same[0] == 304
    for status, headers, _ in (whole, part, end, head, beyond, same):
        assert {name: headers.get(name) for name in SAFE_HEADERS} == SAFE_HEADERS, status


def test_what_could_act_is_a_download_without_its_type(owner: Native, tmp_path: Path) -> None:
    page = owner.upload(b"<!doctype html><script>alert(1)</script>", "page.html", "text/html")

    _, headers, _ = curl(tmp_path, page["url"])

    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment;")
    assert SAFE_HEADERS.items() <= headers.items()


def test_a_signed_url_cannot_be_made_to_show_more(owner: Native, photo: bytes, tmp_path: Path) -> None:
    _, first, _ = curl(tmp_path, "--no-location", owner.upload(photo)["url"])

    status, headers, _ = curl(tmp_path, f"{first['location']}&response-content-type=text%2Fhtml")

    assert status in {400, 403}
    assert SAFE_HEADERS.items() <= headers.items()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_keeps_any_name(owner: Native, photo: bytes, tmp_path: Path, name: str) -> None:
    asset = owner.upload(photo, name)

    _, headers, body = curl(tmp_path, asset["url"])

    told = DISPOSITION.fullmatch(headers["content-disposition"])
    assert told, headers["content-disposition"]
    assert body == photo
    assert (unquote(told["full"]) if told["full"] else told["plain"]) == asset["filename"]
    assert asset["filename"] == name.replace("\u200d", "")
