"""A client's file name is a label, never a path (S7), and what of it may stand in a URL (MR-03)."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_MAX_BYTES = 200
_MAX_SLUG = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_FALLBACK = "file"
_MAX_EXTENSION = 16
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean_filename(raw: str) -> str:
    r"""The last path segment, NFC, without control and bidi characters or `:`; at most 200 bytes; `file` if empty."""
    last = re.split(r"[/\\]", raw)[-1]
    kept = "".join(c for c in last if c != ":" and unicodedata.category(c) not in _INVISIBLE)
    name = unicodedata.normalize("NFC", kept).strip()  # last, for what was removed may have kept two characters apart
    if set(name) <= {"."}:
        return _FALLBACK
    return _shorten(name, _MAX_BYTES).rstrip()


def url_slug(name: str) -> str:
    """A file name as the tail of a URL: unsafe characters become `_`, the extension stays."""
    slug = (
        _UNSAFE.sub("_", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())
        if not name.isascii()
        else _UNSAFE.sub("_", name)
    )
    slug = slug.lstrip(".") if set(slug) <= {".", "_"} else slug
    return _shorten(slug, _MAX_SLUG) or _FALLBACK


def content_disposition(name: str, *, inline: bool) -> str:
    """The header value for a file name: ASCII fallback plus `filename*` (RFC 6266 §4, RFC 8187)."""
    kind = "inline" if inline else "attachment"
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    if plain == name:
        return f'{kind}; filename="{name}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _shorten(name: str, limit: int) -> str:
    """Cut to so many bytes, before the extension where there is one."""
    if len(name.encode()) <= limit:
        return name
    head, dot, tail = name.rpartition(".")
    ending = dot + tail if head and len(tail) <= _MAX_EXTENSION else ""
    return name.encode()[: limit - len(ending.encode())].decode(errors="ignore") + ending
