from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from penstock.client import Asset, ConnectionFailedError, DownloadError, NotFoundError, OutputFile
from penstock.client.results import read_json
from tests.client.scripted_server import Answer, asset, problem, s3_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.client import Penstock
    from tests.client.scripted_server import ScriptedServer

BYTES = bytes(range(256)) * 1000
PART = f"bytes 1000-1998/{len(BYTES)}"
WHOLE = Answer(body=BYTES, headers={"Content-Type": "image/png"})
CUT = Answer(body=BYTES[:1000], hangs_up="halfway")


def an_asset(server: ScriptedServer, **facts: Any) -> Asset:  # noqa: ANN401 - an asset's fields
    told = asset(url=f"{server.url}/v1/media/key", size_bytes=len(BYTES), **facts)
    return read_json(Asset, json.dumps(told))


@pytest.fixture(autouse=True)
def media(server: ScriptedServer) -> None:
    """A media URL that redirects to the object store."""
    there = Answer(status=307, headers={"Location": f"{server.url}/bucket/key?X-Amz-Signature=s"})
    server.answer("GET", "/v1/media/key", there)
    server.answer("GET", "/bucket/key", WHOLE)


def test_an_asset_comes_into_memory(client: Penstock, server: ScriptedServer) -> None:
    assert client.download(an_asset(server, sha256=hashlib.sha256(BYTES).hexdigest())) == BYTES


def test_the_key_is_shown_to_nobody_on_the_way(client: Penstock, server: ScriptedServer) -> None:
    client.download(f"{server.url}/v1/media/key")

    assert [seen.path for seen in server.seen] == ["/v1/media/key", "/bucket/key"]
    assert not [seen for seen in server.seen if "authorization" in seen.headers]


def test_a_file_is_saved_whole_and_alone(client: Penstock, server: ScriptedServer, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"an older picture")

    assert client.download(an_asset(server), target) == target
    assert target.read_bytes() == BYTES
    assert list(tmp_path.iterdir()) == [target]


def test_a_download_that_breaks_is_begun_again(client: Penstock, server: ScriptedServer, tmp_path: Path) -> None:
    server.answer("GET", "/bucket/key", CUT, WHOLE)

    client.download(an_asset(server), tmp_path / "out.png")

    assert (tmp_path / "out.png").read_bytes() == BYTES


def test_a_download_that_breaks_goes_on_where_it_was(client: Penstock, server: ScriptedServer, tmp_path: Path) -> None:
    """However often it breaks, as long as each attempt brings something."""
    etag = {"ETag": '"v1"'}
    pieces = [
        Answer(
            status=206,
            body=BYTES[at : at + 50_000],
            headers={**etag, "Content-Range": f"bytes {at}-{len(BYTES) - 1}/{len(BYTES)}"},
            hangs_up="halfway" if at < 250_000 else "never",
        )
        for at in range(50_000, len(BYTES), 50_000)
    ]
    first = Answer(body=BYTES[:50_000], headers=etag, hangs_up="halfway")
    server.answer("GET", "/bucket/key", first, *pieces)

    client.download(an_asset(server, sha256=hashlib.sha256(BYTES).hexdigest()), tmp_path / "out.png")

    assert (tmp_path / "out.png").read_bytes() == BYTES
    asked = [
        (seen.headers.get("range"), seen.headers.get("if-range")) for seen in server.requests("GET", "/bucket/key")
    ]
    assert asked == [(None, None), *((f"bytes={at}-", '"v1"') for at in range(50_000, len(BYTES), 50_000))]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('"v1"', Answer(body=BYTES, headers={"ETag": '"v2"'})),
        ('"v1"', Answer(status=206, body=BYTES[1000:], headers={"ETag": '"v2"', "Content-Range": "bytes 1000-2/3"})),
        ('"v1"', Answer(status=206, body=BYTES[:99], headers={"ETag": '"v1"', "Content-Range": "bytes 0-98/3"})),
        ('"v1"', Answer(status=206, body=BYTES[1000:1999], headers={"ETag": '"v1"', "Content-Range": PART})),
        ('W/"v1"', WHOLE),
    ],
)
def test_two_versions_of_a_file_are_never_spliced_and_its_end_is_not_left_out(
    make_client: Callable[..., Penstock], server: ScriptedServer, first: str, second: Answer
) -> None:
    cut = Answer(body=BYTES[:1000], headers={"ETag": first}, hangs_up="halfway")
    server.answer("GET", "/bucket/key", cut, second, WHOLE)

    assert make_client(server.url, retries=3).download(f"{server.url}/v1/media/key") == BYTES


def test_a_model_that_breaks_on_its_way_is_asked_for_anew_for_its_url_does_not_last(
    client: Penstock, server: ScriptedServer, tmp_path: Path
) -> None:
    first, second = (
        Answer(status=307, headers={"Location": f"{server.url}/bucket/{name}"}) for name in ("first", "second")
    )
    server.answer("GET", "/v1/models/acme%3A1%401/files/manifest", first, second)
    server.answer("GET", "/bucket/first", CUT)
    server.answer("GET", "/bucket/second", WHOLE)

    client.download_model("acme:1@1", tmp_path / "manifest.json", part="manifest")

    assert (tmp_path / "manifest.json").read_bytes() == BYTES


def test_a_download_that_always_breaks_leaves_the_older_file(
    client: Penstock, server: ScriptedServer, tmp_path: Path
) -> None:
    server.answer("GET", "/bucket/key", CUT)
    target = tmp_path / "out.png"
    target.write_bytes(b"an older picture")

    with pytest.raises(ConnectionFailedError):
        client.download(an_asset(server), target)

    assert target.read_bytes() == b"an older picture"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("facts", "words"), [({"size_bytes": 3}, "instead of 3"), ({"sha256": "0" * 64}, "another SHA-256")]
)
def test_bytes_that_are_not_the_assets_are_refused(
    client: Penstock, server: ScriptedServer, tmp_path: Path, facts: dict[str, object], words: str
) -> None:
    wrong = {**asset(url=f"{server.url}/v1/media/key", size_bytes=len(BYTES)), **facts}
    with pytest.raises(DownloadError, match=words):
        client.download(read_json(Asset, json.dumps(wrong)), tmp_path / "out.png")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer", [problem(404, "asset_not_found"), s3_error(404, "NoSuchKey", "The specified key does not exist.")]
)
def test_a_file_that_is_gone_is_not_found(client: Penstock, server: ScriptedServer, answer: Answer) -> None:
    server.answer("GET", "/v1/media/key", answer)

    with pytest.raises(NotFoundError):
        client.download(an_asset(server))


def test_a_deleted_output_is_said_to_be_that(client: Penstock, server: ScriptedServer) -> None:
    with pytest.raises(DownloadError, match="deleted"):
        client.download(OutputFile(asset_id="asset_1", url=None))

    assert server.seen == []


@pytest.mark.parametrize("url", ["not a url", "ftp://127.0.0.1/x", "http://[::1", "http://127.0.0.1:x/", ""])
def test_what_is_no_address_is_an_error_of_ours(client: Penstock, url: str) -> None:
    with pytest.raises(ConnectionFailedError):
        client.download(url)
