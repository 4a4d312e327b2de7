"""File names: labels that are safe to store, to put in a URL and to put in a header (S7, S8, MR-03)."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.domain.filenames import clean_filename, content_disposition, url_slug
from penstock.domain.ids import parse_media_key

# Any code point, half of a surrogate pair too; and the characters that make trouble, often.
ANY_TEXT = st.text(st.characters() | st.sampled_from("/\\:. \t\r\n\0\"%'é\u0301\u202e\u200b\u2066İ言🙂"), max_size=400)
DISPOSITION = re.compile(r"""(inline|attachment); filename="([^"\\\x00-\x1f\x7f]*)"(?:; filename\*=UTF-8''([!-~]+))?""")
TROUBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(ANY_TEXT)
@example("e\u200b\u0301")
@example("A" * 300 + "." + "İ" * 16)
@example("x" * 199 + " y")
def test_a_clean_name_is_short_visible_normal_and_clean_already(raw: str) -> None:
    name = clean_filename(raw)

    assert 1 <= len(name.encode()) <= 200
    assert not set(name) & set("/\\:")
    assert not {unicodedata.category(c) for c in name} & TROUBLE
    assert unicodedata.is_normalized("NFC", name)
    assert name == name.strip()
    assert name not in {".", ".."}
    assert clean_filename(name) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("photo.jpg", "photo.jpg"),
        ("Фото №1.JPG", "Фото №1.JPG"),
        ("cafe\u0301.png", "café.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("photo.jpg/", "file"),
        ("a:b.png", "ab.png"),
        ("annexe\u202egpj.exe", "annexegpj.exe"),
        ("line\r\nbreak.txt", "linebreak.txt"),
        ("nul\0.png", "nul.png"),
        ("  spaced name.png  ", "spaced name.png"),
        ("", "file"),
        (".", "file"),
        ("..", "file"),
        (" ... ", "file"),
        ("\u200b", "file"),
        ("\ud800.png", ".png"),
        (".htaccess", ".htaccess"),
    ],
)
def test_what_becomes_of_a_name(raw: str, name: str) -> None:
    assert clean_filename(raw) == name


@pytest.mark.parametrize("tail", [".png", ".PNG", ".tar.gz", ".jpeg", ".言語"])
def test_a_long_name_is_cut_before_its_extension(tail: str) -> None:
    name = clean_filename("言" * 300 + tail)

    assert len(name.encode()) <= 200
    assert name.startswith("言言")
    assert name.endswith("." + tail.rpartition(".")[2])


def test_a_long_tail_is_no_extension() -> None:
    assert clean_filename("a." + "b" * 300) == ("a." + "b" * 300)[:200]


# --- in a URL


@pytest.mark.parametrize("name", ["input.png", "photo_1-b.tar.gz", "1795224900073.octet", ".png", "README"])
def test_a_safe_name_stands_in_a_url_as_it_is(name: str) -> None:
    assert url_slug(name) == name


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("my photo (1).png", "my_photo_1_.png"),
        ("café.png", "cafe.png"),
        ("фото.jpg", ".jpg"),
        ("写真", "file"),
        ("a/../b?x=1#y%00.png", "a_.._b_x_1_y_00.png"),
        ("..", "file"),
        ("", "file"),
    ],
)
def test_an_unsafe_name_is_spelled_with_safe_characters(name: str, slug: str) -> None:
    assert url_slug(name) == slug


@given(ANY_TEXT)
def test_any_name_makes_a_slug_that_fits_a_media_key(raw: str) -> None:
    for name in (raw, clean_filename(raw)):
        slug = url_slug(name)

        assert parse_media_key("0" * 32 + "-" + slug) is not None
        assert len(slug) <= 120
        assert url_slug(slug) == slug


def test_a_long_slug_keeps_its_extension_as_it_was() -> None:
    assert url_slug("a" * 300 + ".PNG") == "a" * 116 + ".PNG"


# --- in a header


@given(ANY_TEXT, st.booleans())
def test_a_disposition_is_one_header_line_that_gives_the_name_back(raw: str, inline: bool) -> None:
    name = clean_filename(raw)

    header = content_disposition(name, inline=inline)

    parts = DISPOSITION.fullmatch(header)
    assert parts is not None
    assert header.isascii()
    assert parts[1] == ("inline" if inline else "attachment")
    assert (unquote(parts[3], errors="strict") if parts[3] else parts[2]) == name


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\"\\%;=*'\r\n"), max_size=60))
def test_even_a_name_that_was_never_cleaned_cannot_leave_its_quotes(name: str) -> None:
    assert DISPOSITION.fullmatch(content_disposition(name, inline=False)) or not name


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("photo.jpg", 'attachment; filename="photo.jpg"'),
        ("my photo.jpg", 'attachment; filename="my photo.jpg"'),
        ('a"b.jpg', "attachment; filename=\"a_b.jpg\"; filename*=UTF-8''a%22b.jpg"),
        ("100%.jpg", "attachment; filename=\"100_.jpg\"; filename*=UTF-8''100%25.jpg"),
        ("naïve €.jpg", "attachment; filename=\"na_ve _.jpg\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.jpg"),
    ],
)
def test_a_disposition_in_writing(name: str, header: str) -> None:
    assert content_disposition(name, inline=False) == header
