"""Markup: HTML as a browser would sniff it, SVG and XML, in UTF-8, UTF-16 and whatever else leaves ASCII as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.domain.sniffing.probe import Look, View

_BOMS = ((b"\xef\xbb\xbf", "latin-1"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_UNMARKED = {b"<\x00": "utf-16-le", b"\x00<": "utf-16-be"}
"""UTF-16 without a byte order mark shows by the zero beside the first `<` (XML 1.0, appendix F)."""
_SPACE = " \t\n\r\f"
_PROLOG = re.compile(r"(?:[ \t\n\r\f]+|<!--.*?-->|<\?.*?\?>)*+", re.DOTALL)
_DOCTYPE = re.compile(r"<!doctype\s+(?:[\w.-]+:)?(?P<name>[\w.-]+)(?![\w.:-])", re.IGNORECASE)
_ROOT = re.compile(r"<(?:[\w.-]+:)?(?P<name>[\w.-]+)(?![\w.:-])")
_LONGEST_START = 256
"""`<!DOCTYPE`, white space and a name have no more characters, or are none."""
_HTML = frozenset(
    {
        *("html", "head", "script", "iframe", "h1", "div", "font", "table", "a", "style", "title", "b", "body", "br"),
        *("p", "meta", "link", "base", "form", "img", "frameset", "object", "embed", "center", "noscript"),
    }
)
"""Elements that make a browser take a file for a page: WHATWG's list (MIME Sniffing §7.1), and more to be sure."""


def look_at_markup(view: View) -> Look[str | None]:
    """HTML, XHTML, SVG or XML; None for all that does not begin with markup.

    A prolog that fills the first bytes is followed a little further. One without an end is XML, or a page: what a
    browser would make of it at worst.
    """
    text = _markup_text(view.head)
    if text is None:
        return None
    found = _root_of(text)
    if found is None and len(view.head) < view.size and _is_open(text):
        text = _markup_text((yield from view.opening())) or ""
        found = _root_of(text)
    return found or _at_worst(text)


def _markup_text(head: bytes) -> str | None:
    """The head as text if it begins with markup, white space aside; every byte has a character, right or wrong."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            text = head[len(bom) :].decode(encoding, "replace")
            break
    else:
        text = head.decode(_UNMARKED.get(head[:2], "latin-1"), "replace")
    start = text.lstrip(_SPACE)
    begins = start.startswith("<") and (not start.startswith("<?") or _is_xml(start))
    return text if begins or not start else None


def _is_xml(start: str) -> bool:
    return start[:5].lower() == "<?xml"


def _root_of(text: str) -> str | None:
    """What the first element or document type shows; None where there is none, or not yet."""
    start = _prolog_end(text)
    named = _DOCTYPE.match(text, start) or _ROOT.match(text, start)
    if named is None or named.end() == len(text):
        return None
    name, is_xml = named["name"].lower(), _is_xml(text.lstrip(_SPACE))
    if name == "svg":
        return "image/svg+xml"
    if name == "html":
        return "application/xhtml+xml" if is_xml else "text/html"
    if is_xml or text[start + 1] == "!":
        return "application/xml"
    return "text/html" if name in _HTML else None


def _is_open(text: str) -> bool:
    """Whether what follows the bytes at hand may still show what the file is."""
    start = _prolog_end(text)
    return len(text) - start < _LONGEST_START or text.startswith(("<!--", "<?"), start)


def _prolog_end(text: str) -> int:
    return _PROLOG.match(text).end()  # type: ignore[union-attr]  # it matches nothing, too


def _at_worst(text: str) -> str | None:
    """XML by its declaration; a comment at the very start makes a page of anything, in a browser."""
    start = text.lstrip(_SPACE)
    if _is_xml(start):
        return "application/xml"
    return "text/html" if start.startswith("<!--") else None
