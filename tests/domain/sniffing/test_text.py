"""What is left when nothing has a signature: text, JSON, and documents with rubbish before them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.sniffing import SNIFF_BYTES, sniff


@pytest.mark.parametrize(
    "content",
    [
        b"words\n",
        "слова 言葉 🙂".encode(),
        "слова 言葉 🙂".encode("utf-8-sig"),
        "слова".encode("utf-16"),
        b"\xfe\xff" + "words 🙂".encode("utf-16-be"),
        b"\x1b[31mred\x1b[0m\x0c\r\n",
        b"GGUF is a format\n",
        b"BMW makes cars, among other things\n",
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"OggS and RIFF and fLaC: letters",
        b"PK is not a signature",
        b"alert('GIF89a')",
        b"about %PDF-1.7, at length",
    ],
)
def test_text_is_text(content: bytes) -> None:
    assert sniff(content) == "text/plain"


@given(st.text(alphabet="aé言🙂\n", min_size=1, max_size=8000), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_text_is_text_wherever_its_first_bytes_were_cut(text: str, encoding: str) -> None:
    content = text.encode(encoding)

    assert sniff(content[:SNIFF_BYTES]) == "text/plain"


@pytest.mark.parametrize(
    "content",
    [b'{"a": 1}', b' \n{"a"\n:', b'{"a\\"b" : [', b'[{"a": 1}]', b"{}", b"[ ]\n", b'\xef\xbb\xbf{"a": 1}'],
)
def test_an_object_or_a_list_of_them_is_json(content: bytes) -> None:
    assert sniff(content) == "application/json"


@pytest.mark.parametrize(
    "content", [b"[1] a note", b"{a}", b"{'a': 1}", b"[INFO] started", b'"a"', b"{}b", b"12", b"[ {", b'{"a"']
)
def test_brackets_alone_make_no_json(content: bytes) -> None:
    assert sniff(content) == "text/plain"


@pytest.mark.parametrize(
    "content",
    [
        b"\n%PDF-1.7\n",
        b"\xef\xbb\xbf%PDF-1.7\n"[3:],
        b"\x00\x01rubbish" * 50 + b"%PDF-1.4\n",
        b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.5\n%\xe2\xe3\xcf\xd3\n\x00",
    ],
)
def test_a_pdf_behind_rubbish_is_a_pdf(content: bytes) -> None:
    assert sniff(content) == "application/pdf"


def test_a_pdf_far_behind_rubbish_is_none() -> None:
    assert sniff(b"\x00" * 1025 + b"%PDF-1.4\n") is None
