"""Hostile files: each gets an answer with a reason, nothing else is touched, and the next is looked into as ever."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.adapters.media import ChildInspector
    from tests.adapters.media.conftest import Look

FILMS = Path(__file__).parents[2] / "fixtures" / "media"
BROKEN = "the file is damaged or incomplete"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *more: bytes, pixels: bytes = b"") -> bytes:
    """A grey PNG of one bit per pixel."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def huge_png() -> bytes:
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1501)) for _ in range(12_000))
    return png(12_000, 12_000, pixels=rows + packer.flush())


def bloated_text_png() -> bytes:
    packer = zlib.compressobj(9)
    text = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    return png(8, 8, chunk(b"zTXt", b"Comment\0\0" + text), pixels=zlib.compress(bytes(16)))


def bloated_profile_png() -> bytes:
    packer = zlib.compressobj(9)
    profile = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    return png(8, 8, chunk(b"iCCP", b"sRGB\0\0" + profile), pixels=zlib.compress(bytes(16)))


def endless_gif() -> bytes:
    frame = b"!\xf9\x04\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00"
    return b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" + frame * 100_000 + b";"


def huge_strip_tiff(width: int = 9000, height: int = 9000) -> bytes:
    """One strip, said to have four gigabytes."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, 2**32 - 1), (279, 4, 2**32 - 1)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def looping_tiff() -> bytes:
    """A directory that says that it follows itself."""
    return b"II*\0" + struct.pack("<IHHHII", 8, 1, 256, 4, 1, 5) + struct.pack("<I", 8)


def nested_exif_jpeg(picture: bytes) -> bytes:
    """An EXIF block whose directories all point at themselves."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005, 0x0112))
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 4) + entries + struct.pack("<I", 8)
    return picture[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + picture[2:]


def absurd_wav(*, channels: int = 65_535, rate: int = 2**32 - 1, block: int = 65_535) -> bytes:
    shape = struct.pack("<HHIIHH", 1, channels, rate, rate, block, 16)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + shape + b"data\xff\xff\xff\xff" + bytes(1000)


def deep_boxes() -> bytes:
    """A `moov` in a `moov` in a `moov` …, each said to be as long as a number can say."""
    return b"\0\0\0\x14ftypisom\0\0\0\0isom" + b"".join(b"\xff\xff\xff\xffmoov" for _ in range(5000))


def test_a_bomb_is_measured_and_not_decoded(look: Look) -> None:
    bomb = huge_png()
    assert len(bomb) < 50_000

    seen = look(bomb, "image/png")

    assert seen.facts is not None
    assert (seen.facts.width, seen.facts.height) == (12_000, 12_000)
    assert (seen.thumbnail, seen.problem) == (None, "the picture has more than 100 million pixels")


def test_frames_without_end_are_not_counted_to_the_end(look: Look) -> None:
    seen = look(endless_gif(), "image/gif")

    assert seen.facts is not None
    assert (seen.facts.frames, seen.problem) == (None, None)
    assert seen.thumbnail is not None


HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nothing": ("image/png", bytes),
    "text in a PNG that unpacks to 200 MB": ("image/png", bloated_text_png),
    "a strip of four gigabytes": ("image/tiff", huge_strip_tiff),
    "a strip for more pixels than allowed": ("image/tiff", lambda: huge_strip_tiff(2**31, 2**31)),
    "a directory that follows itself": ("image/tiff", looping_tiff),
    "a WAV of all the channels there can be": ("audio/wav", absurd_wav),
    "a WAV without channels": ("audio/wav", lambda: absurd_wav(channels=0)),
    "a WAV that ends in its head": ("audio/wav", lambda: absurd_wav()[:30]),
    "boxes in boxes": ("video/mp4", deep_boxes),
    "noise that calls itself a film": ("video/webm", lambda: b"\x1aE\xdf\xa3" + os.urandom(50_000)),
    "noise that calls itself a sound": ("audio/mpeg", lambda: b"\xff\xfb\x90\x00" + bytes(50_000)),
    "noise that calls itself a picture": ("image/avif", lambda: b"\0\0\0\x18ftypavif" + os.urandom(50_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_a_reason_and_the_next_one_a_thumbnail(look: Look, name: str, picture: bytes) -> None:
    content_type, build = HOSTILE[name]

    seen = look(build(), content_type)

    assert (seen.thumbnail is None, bool(seen.problem)) == (True, True)
    assert look(picture, "image/jpeg").thumbnail is not None


@pytest.mark.parametrize("build", [bloated_profile_png, None], ids=["a profile of 200 MB", "an EXIF block in itself"])
def test_hostile_metadata_does_not_hide_a_good_picture(
    look: Look, picture: bytes, build: Callable[[], bytes] | None
) -> None:
    seen = look(build(), "image/png") if build is not None else look(nested_exif_jpeg(picture), "image/jpeg")

    assert seen.thumbnail is not None or seen.problem == BROKEN


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_a_picture_that_ends_too_soon_has_a_size_and_a_reason(look: Look, form: str) -> None:
    target = io.BytesIO()
    Image.effect_noise((300, 200), 90).convert("RGB").save(target, form)
    whole = target.getvalue()

    seen = look(whole[: len(whole) * 2 // 3], f"image/{form.lower()}")

    assert (seen.thumbnail, seen.problem) == (None, BROKEN)


@pytest.mark.parametrize("cut", [0.0, 0.002, 0.013, 0.05, 0.25, 0.4])
@pytest.mark.parametrize("name", ["film.mp4", "film-faststart.mp4", "film-fragmented.mp4", "film.webm"])
def test_a_film_that_ends_before_its_first_picture_has_a_reason(look: Look, name: str, cut: float) -> None:
    pytest.importorskip("av")
    whole = (FILMS / name).read_bytes()

    seen = look(whole[: int(len(whole) * cut)], f"video/{name[-4:].lstrip('.')}")

    assert (seen.thumbnail, seen.problem) == (None, BROKEN)


@pytest.mark.parametrize("name", ["film-faststart.mp4", "film-fragmented.mp4", "film.webm"])
def test_a_film_that_ends_after_its_first_picture_has_a_poster(look: Look, name: str) -> None:
    pytest.importorskip("av")
    whole = (FILMS / name).read_bytes()

    seen = look(whole[: len(whole) * 4 // 5], f"video/{name[-4:].lstrip('.')}")

    assert (seen.thumbnail is not None, seen.problem) == (True, None)


class TestPlaylists:
    """S13: a playlist under a film's name makes FFmpeg open other files and addresses, if one lets it."""

    @pytest.fixture
    def address(self) -> Iterator[tuple[str, socket.socket]]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            yield f"http://127.0.0.1:{server.getsockname()[1]}/segment.ts", server

    @pytest.mark.parametrize("content_type", ["video/mp4", "video/webm", "video/avi", "video/ogg", "audio/mpeg"])
    @pytest.mark.parametrize("shape", ["hls", "concat", "dash"])
    def test_it_opens_nothing(
        self, look: Look, tmp_path: Path, address: tuple[str, socket.socket], content_type: str, shape: str
    ) -> None:
        secret = tmp_path / "secret.wav"
        secret.write_bytes(absurd_wav(channels=1, rate=8000, block=2))
        url, server = address
        playlist = {
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
            "concat": f"ffconcat version 1.0\nfile '{secret}'\nfile '/etc/passwd'\nfile '{url}'\n",
            "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>',
        }[shape]

        seen = look(playlist.encode() * 3, content_type)

        assert (seen.thumbnail is None, bool(seen.problem)) == (True, True)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_child_that_is_killed_is_followed_by_another(inspector: ChildInspector, look: Look, picture: bytes) -> None:
    first = look(picture, "image/jpeg")
    for child in inspector.processes():
        os.kill(child, 9)

    assert look(picture, "image/jpeg") == first
