from __future__ import annotations

import io

import pytest

from penstock.client.files import guess_type, open_source


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n", "a.jpg", "image/png"),
        (b"\xff\xd8\xff\xe0", "", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "x", "image/webp"),
        (b"\x00\x00\x00\x20ftypisom", "x", "video/mp4"),
        (b"\x00\x00\x00\x20ftypqt  ", "x", "video/quicktime"),
        (b"words", "a.txt", "text/plain"),
        (b"words", "a.tar.gz", "application/octet-stream"),
        (b"words", "a.unheard-of", "application/octet-stream"),
        (b"", "", "application/octet-stream"),
    ],
)
def test_bytes_decide_a_type_before_the_name_does(head: bytes, name: str, expected: str) -> None:
    assert guess_type(head, name) == expected


def test_a_name_and_a_type_can_be_given() -> None:
    source = open_source(b"x", filename="a.png", content_type="image/x-mine")

    assert (source.filename, source.content_type, source.size) == ("a.png", "image/x-mine", 1)


def test_a_file_object_lends_its_name_without_the_folder() -> None:
    file = io.BytesIO(b"x")
    file.name = "/home/me/cat.png"

    assert open_source(file).filename == "cat.png"


def test_a_file_object_stands_where_it_stood_after_being_looked_at() -> None:
    file = io.BytesIO(b"skipped\x89PNG\r\n\x1a\nrest")
    file.seek(7)

    source = open_source(file)

    assert source.content_type == "image/png"
    with source.open() as stream:
        assert stream.read() == b"\x89PNG\r\n\x1a\nrest"


def test_a_view_of_memory_is_bytes() -> None:
    with open_source(memoryview(b"abc")).open() as stream:
        assert stream.read() == b"abc"
