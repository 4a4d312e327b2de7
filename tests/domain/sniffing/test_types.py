"""What the bytes say they are: real files from real writers, every type of the table, and bytes that are nothing."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest
from PIL import Image, features

from penstock.domain.media_types import MEDIA_TYPES
from penstock.domain.sniffing import sniff
from tests.support.looking import MEDIA, ftyp, look, media

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDED = {
    "drawing.heic": "image/heic",
    "film-faststart.mp4": "video/mp4",
    "film-fragmented.mp4": "video/mp4",
    "film-silent.mp4": "video/mp4",
    "film-silent.webm": "video/webm",
    "film-sound-first.mp4": "video/mp4",
    "film.3gp": "video/3gpp",
    "film.avi": "video/avi",
    "film.m4v": "video/mp4",
    "film.mkv": "video/x-matroska",
    "film.mov": "video/quicktime",
    "film.mp4": "video/mp4",
    "film.ogv": "video/ogg",
    "film.webm": "video/webm",
    "sound-320k.mp3": "audio/mpeg",
    "sound-faststart.m4a": "audio/mp4",
    "sound-flac.ogg": "audio/ogg",
    "sound-in-fragments.mp4": "audio/mp4",
    "sound-in.3gp": "audio/3gpp",
    "sound-in.mov": "audio/quicktime",
    "sound-in.mp4": "audio/mp4",
    "sound-low.mp3": "audio/mpeg",
    "sound-rf64.wav": "audio/wav",
    "sound-speex.ogg": "audio/ogg",
    "sound-untagged.mp3": "audio/mpeg",
    "sound-vorbis.ogg": "audio/ogg",
    "sound.aac": "audio/aac",
    "sound.aiff": "audio/aiff",
    "sound.flac": "audio/flac",
    "sound.m4a": "audio/mp4",
    "sound.mka": "audio/x-matroska",
    "sound.mp2": "audio/mpeg",
    "sound.mp3": "audio/mpeg",
    "sound.opus": "audio/ogg",
    "sound.w64": "audio/x-w64",
    "sound.wav": "audio/wav",
    "sound.webm": "audio/webm",
}


def picture(form: str, mode: str = "RGB", size: tuple[int, int] = (33, 21), **options: object) -> bytes:
    """A real picture file; `frames` of it if asked for."""
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    out = io.BytesIO()
    if options.pop("animated", False):
        options |= {"save_all": True, "append_images": [Image.new(mode, size, 90)]}
    Image.new(mode, size, 200).save(out, form, **options)
    return out.getvalue()


def archive(*names: str) -> bytes:
    """A real ZIP file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as writer:
        for name in names:
            writer.writestr(name, "words")
    return out.getvalue()


def safetensors() -> bytes:
    """A file of one tensor, by the format's own description."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, separators=(",", ":")).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


MADE: dict[str, tuple[Callable[[], bytes], str]] = {
    "png": (lambda: picture("PNG"), "image/png"),
    "png of one pixel": (lambda: picture("PNG", "1", (1, 1)), "image/png"),
    "animated png": (lambda: picture("PNG", animated=True), "image/png"),
    "jpeg": (lambda: picture("JPEG"), "image/jpeg"),
    "grey jpeg": (lambda: picture("JPEG", "L"), "image/jpeg"),
    "progressive jpeg": (lambda: picture("JPEG", progressive=True), "image/jpeg"),
    "jpeg of a printer": (lambda: picture("JPEG", "CMYK"), "image/jpeg"),
    "jpeg of two": (lambda: picture("MPO", animated=True), "image/jpeg"),
    "gif": (lambda: picture("GIF"), "image/gif"),
    "animated gif": (lambda: picture("GIF", "P", animated=True), "image/gif"),
    "webp": (lambda: picture("WEBP"), "image/webp"),
    "lossless webp": (lambda: picture("WEBP", lossless=True), "image/webp"),
    "animated webp": (lambda: picture("WEBP", animated=True), "image/webp"),
    "avif": (lambda: picture("AVIF"), "image/avif"),
    "animated avif": (lambda: picture("AVIF", animated=True), "image/avif"),
    "tiff": (lambda: picture("TIFF"), "image/tiff"),
    "tiff, big-endian": (lambda: picture("TIFF", "I;16B"), "image/tiff"),
    "bigtiff": (lambda: picture("TIFF", big_tiff=True), "image/tiff"),
    "bigtiff, big-endian": (lambda: b"MM\x00+\x00\x08\x00\x00" + bytes(40), "image/tiff"),
    "bmp": (lambda: picture("BMP"), "image/bmp"),
    "icon": (lambda: picture("ICO", "RGBA", (32, 32)), "image/x-icon"),
    "heif of another codec": (lambda: ftyp(b"mif1", b"mif1", b"jpeg"), "image/heif"),
    "camera's raw picture": (lambda: ftyp(b"crx ", b"crx ", b"isom"), "image/x-canon-cr3"),
    "aac without frames": (lambda: b"ADIF" + b"\x00\x01\x02" * 9, "audio/aac"),
    "drawing": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
    "safetensors": (safetensors, "application/x-safetensors"),
    "gguf": (lambda: b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "application/x-gguf"),
    "checkpoint": (lambda: archive("model/data.pkl", "model/version"), "application/x-pytorch"),
    "pickle": (lambda: pickle.dumps({"a": [1.5]}, protocol=5), "application/x-pickle"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(40), "application/x-hdf5"),
    "lfs pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "application/x-git-lfs-pointer",
    ),
    "zip": (lambda: archive("a.txt"), "application/zip"),
    "zip of nothing": (archive, "application/zip"),
    "gzip": (lambda: gzip.compress(b"words"), "application/gzip"),
    "pdf": (lambda: picture("PDF"), "application/pdf"),
    "postscript": (lambda: picture("EPS"), "application/postscript"),
    "html": (lambda: b"<!DOCTYPE html><title>x</title>", "text/html"),
    "xhtml": (lambda: b'<?xml version="1.0"?><html xmlns="x"/>', "application/xhtml+xml"),
    "xml": (lambda: b'<?xml version="1.0"?><feed/>', "application/xml"),
    "json": (lambda: json.dumps({"a": [1]}, indent=1).encode(), "application/json"),
    "text": (lambda: b"words\n", "text/plain"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_file_is_known_and_a_usual_one_from_its_head_alone(name: str) -> None:
    looked = look(media(name))

    assert looked.found == RECORDED[name]
    assert len(looked.ranges) == (1 if name == "film.3gp" else 0)  # its movie stands at the end, beyond the head


def test_every_recorded_file_is_looked_at() -> None:
    assert {path.name for path in MEDIA.iterdir()} == set(RECORDED)


@pytest.mark.parametrize("name", MADE)
def test_a_made_file_is_known_from_its_head_alone(name: str) -> None:
    make, found = MADE[name]
    looked = look(make())

    assert (looked.found, looked.ranges) == (found, [])


def test_every_type_of_the_table_is_found_in_some_file() -> None:
    assert {found for _, found in MADE.values()} | set(RECORDED.values()) == set(MEDIA_TYPES)


@pytest.mark.parametrize("name", [*MADE, *RECORDED])
def test_a_file_cut_anywhere_in_its_first_bytes_has_a_type_of_the_table_or_none(name: str) -> None:
    content = MADE[name][0]() if name in MADE else media(name)

    for cut in range(0, min(len(content), 600), 3):
        assert look(content[:cut], size=len(content)).found in {None, *MEDIA_TYPES}
        assert sniff(content[:cut]) in {None, *MEDIA_TYPES}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x00",
        bytes(4096),
        b"\x01\x02\x03",
        b"\x9d\x01",
        b"\xff",
        b"\xff\xff\xff\xff",
        b"words, and then \xff\xfe",
        b"words\x00",
        "words".encode("utf-16-be"),
        "naïve".encode("latin-1") + b" words",
        b"RIFF\x00\x00\x00\x00FORM",
        b"RIFF\x00\x00\x00\x00WEBPnone",
        b"BM" + bytes(30),
        b"\x89PNG\r\n\x1a",
        b"\x00\x00\x01\x00" + bytes(20),
        b"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00",
        b"MM\x00+\x00\x04\x00\x00",
        b"riff" + bytes(36),
    ],
)
def test_bytes_of_no_known_type_are_not_guessed(head: bytes) -> None:
    assert sniff(head) is None
