"""Markup in disguise: what a browser would take for a page is called one; drawings are told from other XML."""

from __future__ import annotations

import pytest

from penstock.domain.sniffing import sniff
from tests.support.looking import look

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html><title>x</title>",
        "<!doctype HTML>",
        "\n\t\r\f <HTML><body>",
        "<html>",
        "<html/>",
        "<ScRiPt>alert(1)</script>",
        "<script src=x></script>",
        *(f"<{name} class=x>" for name in ("head", "iframe", "h1", "div", "font", "table", "a", "style", "title")),
        *(f"<{name}>" for name in ("b", "body", "br", "p", "meta", "img", "object")),
        "<!-- saved -->\n<html><svg></svg>",
        "<!---->words, which a browser shows as a page",
        "<!-- without an end",
        "<!DOCTYPE html PUBLIC '-//W3C//DTD HTML 4.01//EN'>",
        "<p>GIF89a</p>",
        "<body>\x00\x01\x02 and bytes that no text has",
        "<html>naïve in latin-1",
    ],
)
def test_a_page_is_a_page_in_any_encoding_that_a_browser_reads(text: str) -> None:
    for content in (
        text.encode("latin-1"),
        text.encode("utf-8-sig"),
        text.encode("utf-16"),
        b"\xfe\xff" + text.encode("utf-16-be"),
    ):
        assert sniff(content) == "text/html"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(("text", "found"), [("<html>", "text/html"), (SVG, "image/svg+xml")])
def test_utf_16_without_a_mark_shows_by_its_zeros(text: str, encoding: str, found: str) -> None:
    assert sniff(text.encode(encoding)) == found


@pytest.mark.parametrize(
    "disguise",
    [
        b"<p >ftypisom" + bytes(300),
        b"<b >mdat" + bytes(300),
        b"<html>%PDF-1.7\n" + bytes(9),
        b"<script>GIF89a=1</script>" + b"PK\x03\x04",
        b'<a {"a": {"dtype": "F32"}}' + bytes(9),
        b"\r\n<html>\xff\xfb\x90\x64",
    ],
)
def test_a_page_with_the_marks_of_a_medium_in_it_is_a_page(disguise: bytes) -> None:
    assert sniff(disguise) == "text/html"


@pytest.mark.parametrize(
    ("medium", "found"),
    [
        (b"GIF89a/*<html><script>*/=1;" + b"alert(1)//", "image/gif"),
        (b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script>", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF<script>alert(1)</script>PK\x03\x04", "image/jpeg"),
        (b"%PDF-1.7\n<html><script>alert(1)</script>", "application/pdf"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x08<script>", "audio/mpeg"),
        (b"BM\x3c\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00<html>", "image/bmp"),
    ],
)
def test_a_medium_with_a_page_in_it_keeps_the_one_type_under_which_it_cannot_act(medium: bytes, found: str) -> None:
    assert sniff(medium) == found


@pytest.mark.parametrize(
    "text",
    [
        SVG,
        "<svg/>",
        "<svg:svg xmlns:svg='http://www.w3.org/2000/svg'/>",
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<!-- made by hand -->\n<svg/>',
        '<?xml version="1.0"?><?xml-stylesheet href="a.css"?><!DOCTYPE svg PUBLIC "-" "-"><svg/>',
        "<!DOCTYPE svg [ <!ENTITY ns 'http://www.w3.org/2000/svg'> ]><svg/>",
        "<!DOCTYPE\nsvg:svg><svg:svg/>",
        "<!-- made by hand --><svg/>",
        "\n  <svg\n  width='1'/>",
    ],
)
def test_a_drawing_is_told_by_its_root(text: str) -> None:
    for content in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16")):
        assert sniff(content) == "image/svg+xml"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<?xml version="1.0"?><feed/>', "application/xml"),
        ('<?xml version="1.0"?>', "application/xml"),
        ('<?xml version="1.0"?><!-- without an end', "application/xml"),
        ('<?xml version="1.0"?><title/>', "application/xml"),
        ('<?xml version="1.0"?><svgx/>', "application/xml"),
        ('<?xml version="1.0"?><notsvg><svg/></notsvg>', "application/xml"),
        ("<?xml-stylesheet href='x'?><feed/>", "application/xml"),
        ("<!DOCTYPE feed><feed/>", "application/xml"),
        ('<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', "application/xhtml+xml"),
        ('<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-" "-"><html/>', "application/xhtml+xml"),
        ("<feed/>", "text/plain"),
        ("<?php echo '<html>' ?><html>", "text/plain"),
        ("<", "text/plain"),
        ("<3 you", "text/plain"),
        ("<<html>>", "text/plain"),
        ("words <html>", "text/plain"),
        ("\n \t\n", "text/plain"),
    ],
)
def test_other_markup_is_xml_or_text(text: str, found: str) -> None:
    assert sniff(text.encode()) == found


@pytest.mark.parametrize("filling", ["<!-- {} -->", "<?xml version='1.0'?><!-- {} -->", "{}"])
@pytest.mark.parametrize("length", [4000, 4090, 5000, 50_000])
@pytest.mark.parametrize(("root", "found"), [("<svg/>", "image/svg+xml"), ("<html>", "html")])
def test_a_long_prolog_is_followed(filling: str, length: int, root: str, found: str) -> None:
    looked = look((filling.format(" " * length) + root + "\n" * 9000).encode())

    assert looked.found is not None
    assert looked.found.endswith(found) or (looked.found == "application/xhtml+xml" and found == "html")
    assert len(looked.ranges) <= 1


@pytest.mark.parametrize(
    ("start", "worst"),
    [("<!-- ", "text/html"), ("<?xml version='1.0'?><!-- ", "application/xml"), ("", "text/plain")],
)
def test_a_prolog_beyond_reach_is_what_a_browser_would_make_of_it_at_worst(start: str, worst: str) -> None:
    looked = look((start + " " * 500_000 + "--><svg/>").encode())

    assert (looked.found, len(looked.ranges)) == (worst, 1)


@pytest.mark.parametrize(
    "hostile",
    [
        b"<!--" * 20_000,
        b"<?xml " * 12_000,
        b"<?xml ?><?" * 8_000,
        b"<!DOCTYPE " + b"a." * 40_000,
        b"<!DOCTYPE " + b" " * 70_000,
        b"<" + b"a:" * 40_000,
        b"<!-- -->" * 9_000,
        b"\xff\xfe" + b"<\x00!\x00-\x00-\x00" * 9_000,
    ],
)
def test_markup_that_never_ends_is_given_up(hostile: bytes) -> None:
    assert look(hostile).found in {"text/html", "application/xml", "text/plain", None}
