"""S13: a playlist that is uploaded as a film makes nobody open what it names, and the server goes on."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.exchange import fetch
from tests.support.native import problem, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.native import Native

FTYP = b"\0\0\0\x14ftypisom\0\0\0\0isom"
"""With it in front, the bytes are a film's to whoever looks at their beginning alone."""


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(params=["hls", "concat", "dash"])
def playlist(request: pytest.FixtureRequest, photo: bytes, tmp_path: Path, elsewhere: socket.socket) -> bytes:
    """It names a file of this machine and an address of it."""
    url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/segment.ts"
    secret = tmp_path / "secret.png"
    secret.write_bytes(photo)
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\nfile '/etc/passwd'\nfile '{url}'\n",
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>',
    }[str(request.param)].encode()


def test_a_playlist_that_calls_itself_a_film_is_refused(
    alice: Native, photo: bytes, elsewhere: socket.socket, playlist: bytes
) -> None:
    upload = alice.begin(playlist, "x.mp4", "video/mp4")
    put(upload, playlist).must(200)

    problem(alice.post(f"/uploads/{upload['id']}/complete"), 422, "file_type_mismatch")

    assert alice.get(f"/uploads/{upload['id']}").must(200)["failure"]
    require_unharmed(alice, photo, elsewhere)


def test_a_playlist_behind_the_head_of_a_film_is_kept_with_a_reason_and_opens_nothing(
    alice: Native, photo: bytes, elsewhere: socket.socket, playlist: bytes
) -> None:
    content = FTYP + playlist

    asset = alice.settled(alice.upload(content, "x.mp4", "video/mp4"))

    assert (asset["intake"], asset["facts"], bool(asset["problem"])) == ("done", None, True)
    assert fetch(asset["thumbnail_url"]).headers["content-type"] == "image/svg+xml"
    assert fetch(asset["url"]).body == content
    require_unharmed(alice, photo, elsewhere)


def require_unharmed(alice: Native, photo: bytes, elsewhere: socket.socket) -> None:
    """Nobody went elsewhere, and the next file is looked into as ever."""
    with pytest.raises(BlockingIOError):
        elsewhere.accept()
    following = alice.settled(alice.upload(photo))
    assert (following["problem"], following["facts"]["width"]) == (None, 120)
