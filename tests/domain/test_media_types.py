"""What the bytes say they are: real files from real writers, smallest headers by hand, and bytes that are nothing."""

from __future__ import annotations

import io
import json
import struct
import wave
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from penstock.domain.media_types import (
    Kind,
    agree,
    essence,
    is_media_type,
    is_shown_inline,
    kind_of,
    says_nothing,
)
from penstock.domain.sniffing import SNIFF_BYTES, sniff

if TYPE_CHECKING:
    from collections.abc import Callable


def picture(form: str, mode: str = "RGB", size: tuple[int, int] = (33, 21)) -> bytes:
    """A real picture file."""
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    out = io.BytesIO()
    Image.new(mode, size, 200).save(out, form)
    return out.getvalue()


def sound() -> bytes:
    """A real WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(1600))
    return out.getvalue()


def archive() -> bytes:
    """A real ZIP file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as writer:
        writer.writestr("a.txt", "words")
    return out.getvalue()


def empty_archive() -> bytes:
    out = io.BytesIO()
    zipfile.ZipFile(out, "w").close()
    return out.getvalue()


def safetensors() -> bytes:
    """A file of one tensor, by the format's own description."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, separators=(",", ":")).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def iso(brand: bytes, *compatible: bytes) -> bytes:
    """The first box of an ISO base media file (ISO 14496-12 §4.3)."""
    body = b"ftyp" + brand + bytes(4) + b"".join(compatible)
    return struct.pack(">I", 4 + len(body)) + body + b"\x00\x00\x00\x08free"


def matroska(doc_type: bytes) -> bytes:
    """The EBML header of a Matroska file (RFC 8794 §11.2)."""
    body = b"\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82" + bytes([0x80 | len(doc_type)]) + doc_type
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(body)]) + body


def ogg(first_packet: bytes) -> bytes:
    """The first page of an Ogg file (RFC 3533 §6)."""
    return b"OggS\x00\x02" + bytes(20) + bytes([1, len(first_packet)]) + first_packet


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "png": (lambda: picture("PNG"), "image/png"),
    "png of one pixel": (lambda: picture("PNG", "1", (1, 1)), "image/png"),
    "jpeg": (lambda: picture("JPEG"), "image/jpeg"),
    "grey jpeg": (lambda: picture("JPEG", "L"), "image/jpeg"),
    "gif": (lambda: picture("GIF"), "image/gif"),
    "webp": (lambda: picture("WEBP"), "image/webp"),
    "tiff": (lambda: picture("TIFF"), "image/tiff"),
    "tiff, big-endian": (lambda: picture("TIFF", "I;16B"), "image/tiff"),
    "bmp": (lambda: picture("BMP"), "image/bmp"),
    "avif": (lambda: picture("AVIF"), "image/avif"),
    "wav": (sound, "audio/wav"),
    "zip": (archive, "application/zip"),
    "empty zip": (empty_archive, "application/zip"),
    "safetensors": (safetensors, "application/x-safetensors"),
    "gguf": (lambda: b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "application/x-gguf"),
    "pdf": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(7), "application/gzip"),
    "pickle": (lambda: b"\x80\x02}q\x00.", "application/x-pickle"),
    "mp4": (lambda: iso(b"isom", b"isom", b"mp41"), "video/mp4"),
    "mp4 of a camera": (lambda: iso(b"mp42", b"mp42", b"isom"), "video/mp4"),
    "m4v": (lambda: iso(b"M4V ", b"M4V "), "video/mp4"),
    "m4a": (lambda: iso(b"M4A ", b"M4A ", b"isom"), "audio/mp4"),
    "mov": (lambda: iso(b"qt  ", b"qt  "), "video/quicktime"),
    "heic": (lambda: iso(b"heic", b"mif1", b"heic"), "image/heic"),
    "heic by its neutral brand": (lambda: iso(b"mif1", b"mif1", b"heic"), "image/heic"),
    "avif by its neutral brand": (lambda: iso(b"mif1", b"mif1", b"avif", b"miaf"), "image/avif"),
    "webm": (lambda: matroska(b"webm"), "video/webm"),
    "mkv": (lambda: matroska(b"matroska"), "video/x-matroska"),
    "avi": (lambda: b"RIFF" + struct.pack("<I", 100) + b"AVI LIST", "video/avi"),
    "ogg vorbis": (lambda: ogg(b"\x01vorbis" + bytes(23)), "audio/ogg"),
    "ogg opus": (lambda: ogg(b"OpusHead" + bytes(11)), "audio/ogg"),
    "ogg theora": (lambda: ogg(b"\x80theora" + bytes(35)), "video/ogg"),
    "flac": (lambda: b"fLaC\x00\x00\x00\x22" + bytes(34), "audio/flac"),
    "mp3 with a tag": (lambda: b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10), "audio/mpeg"),
    "mp3": (lambda: (b"\xff\xfb\x90\x64" + bytes(413)) * 3, "audio/mpeg"),
    "mp3 at a low rate": (lambda: (b"\xff\xf3\x48\xc4" + bytes(140)) * 3, "audio/mpeg"),
    "mp2": (lambda: (b"\xff\xfd\xa4\x00" + bytes(572)) * 3, "audio/mpeg"),
    "aac": (lambda: (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)) * 3, "audio/aac"),
    "html": (lambda: b"<!DOCTYPE html><title>x</title>", "text/html"),
    "html without a doctype": (lambda: b"\n  <HTML><body>", "text/html"),
    "html after a comment, with a drawing in it": (lambda: b"<!-- saved -->\n<html><svg></svg>", "text/html"),
    "html after a byte order mark": (lambda: b"\xef\xbb\xbf<html>", "text/html"),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
    "svg with a prolog": (
        lambda: b'<?xml version="1.0"?>\n<!-- made by hand -->\n<!DOCTYPE svg PUBLIC "-" "-">\n<svg/>',
        "image/svg+xml",
    ),
    "svg after a comment": (lambda: b"<!-- made by hand --><svg/>", "image/svg+xml"),
    "xml": (lambda: b'<?xml version="1.0"?><feed/>', "application/xml"),
    "text": (lambda: b"words\n", "text/plain"),
    "text in another script": ("слова 言葉 🙂".encode, "text/plain"),
    "text with a form feed and colours": (lambda: b"\x1b[31mred\x1b[0m\x0c\r\n", "text/plain"),
    "text that begins like a tag": (lambda: b"ID3 tags are old\n", "text/plain"),
    "text that begins like a model": (lambda: b"GGUF is a format\n", "text/plain"),
    "text that begins like a picture": (lambda: b"BMW makes cars, among other things\n", "text/plain"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_its_first_bytes(name: str) -> None:
    make, found = FILES[name]
    content = make()

    assert sniff(content[:SNIFF_BYTES]) == found


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
        b"BM" + bytes(30),
        struct.pack("<Q", 100_000_001) + b'{"',
        struct.pack("<Q", 20) + b"[1",
        b"\x89PNG\r\n\x1a",
        b"\xff\xe0\x00\x00",
        b"\xff\xfb\xf0\x64",
        b"\xff\xfb\x9c\x64",
    ],
)
def test_bytes_of_no_known_type_are_not_guessed(head: bytes) -> None:
    assert sniff(head) is None


@given(st.binary(max_size=600))
def test_any_bytes_have_a_type_or_none(head: bytes) -> None:
    found = sniff(head)

    assert found is None or is_media_type(found)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 200), st.binary(max_size=40))
def test_a_file_cut_short_and_followed_by_rubbish_still_has_a_type_or_none(name: str, cut: int, tail: bytes) -> None:
    found = sniff(FILES[name][0]()[:cut] + tail)

    assert found is None or is_media_type(found)


@given(st.text(alphabet="aé言🙂\n", min_size=1, max_size=8000), st.booleans())
def test_text_is_text_wherever_its_first_bytes_were_cut(text: str, marked: bool) -> None:
    content = text.encode("utf-8-sig" if marked else "utf-8")

    assert sniff(content[:SNIFF_BYTES]) == "text/plain"


@pytest.mark.parametrize(
    "declared", ["application/octet-stream", "Application/Octet-Stream; x=1", "binary/octet-stream"]
)
def test_some_declarations_say_nothing(declared: str) -> None:
    assert says_nothing(declared)
    assert not says_nothing("image/png")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("image/jpg", "image/jpeg"),
        ("IMAGE/PNG", "image/png"),
        ("image/png; charset=binary", "image/png"),
        ("audio/x-wav", "audio/wav"),
        ("audio/vnd.wave", "audio/x-wav"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/x-m4a", "video/mp4"),
        ("video/quicktime", "video/mp4"),
        ("audio/webm", "video/webm"),
        ("application/ogg", "video/ogg"),
        ("text/xml", "application/xml"),
    ],
)
def test_two_names_for_one_thing_agree(one: str, other: str) -> None:
    assert agree(one, other)
    assert agree(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("image/png", "image/jpeg"), ("image/png", "image/*"), ("video/mp4", "video/webm"), ("", "image/png")],
)
def test_two_names_for_two_things_do_not_agree(one: str, other: str) -> None:
    assert not agree(one, other)
    assert not agree(other, one)


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/png", Kind.IMAGE),
        ("IMAGE/X-PNG", Kind.IMAGE),
        ("image/svg+xml", Kind.IMAGE),
        ("video/mp4; codecs=avc1", Kind.VIDEO),
        ("audio/ogg", Kind.AUDIO),
        ("application/ogg", Kind.AUDIO),
        ("application/x-safetensors", Kind.MODEL),
        ("application/x-gguf", Kind.MODEL),
        ("application/pdf", Kind.OTHER),
        ("text/plain", Kind.OTHER),
        ("model/gltf+json", Kind.OTHER),
        ("other/thing", Kind.OTHER),
        ("nonsense", Kind.OTHER),
    ],
)
def test_the_kind_follows_from_the_type(content_type: str, kind: Kind) -> None:
    assert kind_of(content_type) is kind


@given(st.text(max_size=40))
def test_folding_a_type_twice_changes_nothing(text: str) -> None:
    assert essence(essence(text)) == essence(text)


@pytest.mark.parametrize(
    "content_type",
    [
        *("image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif", "image/avif", "IMAGE/PNG; q=1"),
        *("video/mp4", "video/webm", "video/ogg"),
        *("audio/mpeg", "audio/mp3", "audio/wav", "audio/x-wav", "audio/ogg", "audio/flac"),
    ],
)
def test_media_that_cannot_act_is_shown_inline(content_type: str) -> None:
    assert is_shown_inline(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        *(
            "image/svg+xml",
            "image/svg+xml;charset=utf-8",
            "text/html",
            "application/xml",
            "text/xml",
            "application/pdf",
        ),
        *(
            "text/javascript",
            "application/xhtml+xml",
            "text/plain",
            "application/octet-stream",
            "image/tiff",
            "",
            "image/",
        ),
    ],
)
def test_whatever_could_act_or_is_unknown_is_not_shown_inline(content_type: str) -> None:
    assert not is_shown_inline(content_type)
