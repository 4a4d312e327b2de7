"""Text, JSON, and documents with rubbish before them: what is left when nothing has a signature."""

from __future__ import annotations

import codecs
import re

_BINARY = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""Characters that stand in no text (WHATWG MIME Sniffing, binary data byte)."""
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_JSON = re.compile(
    r"""\s*+(?:\{\s*+"(?:[^"\\\x00-\x1f]|\\.)*+"\s*+:|\[\s*+\{\s*+"(?:[^"\\\x00-\x1f]|\\.)*+"\s*+:|(?:\{\s*+\}|\[\s*+\])\s*+\Z)"""
)
"""An object with a key, a list of such, or an empty one of either."""
_PDF = re.compile(rb"%PDF-\d\.\d")
_PDF_SEARCHED = 1024
"""Readers accept a PDF that begins within so many bytes."""


def text(head: bytes) -> str | None:
    """Text or JSON; None for what holds bytes that no text has, or is in an encoding that nothing marks."""
    encoding = _UTF16.get(head[:2])
    body = head[2:] if encoding else head
    decoder = codecs.getincrementaldecoder(encoding or "utf-8-sig")()
    try:
        read = decoder.decode(body)  # the last character may have been cut
    except UnicodeDecodeError:
        return None
    if not read or _BINARY.search(read):
        return None
    if _PDF.match(head.lstrip()):
        return "application/pdf"
    return "application/json" if _JSON.match(read) else "text/plain"


def document_behind_junk(head: bytes) -> str | None:
    """A PDF that does not begin with its first byte, as readers take it."""
    return "application/pdf" if _PDF.search(head, 0, _PDF_SEARCHED) else None
