"""The XML of the S3 API, written and read. Documents come from strangers: no DTD, no entities of their own, bounded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.store.digests import checksum_type
from penstock.store.faults import MALFORMED_XML, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from xml.etree.ElementTree import Element

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
# XML 1.0 has no way to write most control characters; S3 shows them as references nevertheless, and clients cope.
_ESCAPES = {code: f"&#x{code:x};" for code in range(0x20) if code not in {0x09, 0x0A}} | {
    ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;",
}  # fmt: skip


def text(value: object) -> str:
    """A value as character data."""
    return str(value).translate(_ESCAPES)


def tag(name: str, value: object) -> str:
    """One element with text."""
    return f"<{name}>{text(value)}</{name}>"


def checksums(values: Mapping[str, str], *, typed: bool = False) -> str:
    """Checksums in base64 by algorithm, as elements; `typed` adds of which type they are."""
    text = "".join(tag(f"Checksum{name.upper()}", value) for name, value in values.items())
    return text + tag("ChecksumType", checksum_type(values)) if text and typed else text


def root(name: str, content: str | Iterable[str]) -> str:
    """A whole document in S3's namespace."""
    return f'{_DECLARATION}<{name} xmlns="{_NAMESPACE}">{"".join(content)}</{name}>'


def plain(name: str, content: Iterable[str]) -> str:
    """A whole document without a namespace, which a few of S3's have not."""
    return f"{_DECLARATION}<{name}>{''.join(content)}</{name}>"


def error(code: str, message: str, *, resource: str, request_id: str) -> str:
    """An error document (S3 API, Error responses), which has no namespace."""
    content = tag("Code", code) + tag("Message", message) + tag("Resource", resource) + tag("RequestId", request_id)
    return f"{_DECLARATION}<Error>{content}</Error>"


def timestamp(microseconds: int) -> str:
    """`2026-11-21T03:25:39.000Z`, as S3 writes times in XML."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds // 1000 % 1000:03}Z"


def parse(document: bytes, expected: str) -> Element:
    """The root element of a request body, names without namespace. Raises `Refused` (`MalformedXML`)."""
    from xml.etree.ElementTree import TreeBuilder  # noqa: PLC0415 - only few requests have a document; it costs memory
    from xml.parsers import expat  # noqa: PLC0415 - as above

    builder = TreeBuilder()
    # Without namespaces: ElementTree would copy a namespace's name, however long, for each element.
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, _: builder.start(name.rpartition(":")[2], {})
    parser.EndElementHandler = lambda name: builder.end(name.rpartition(":")[2])
    parser.CharacterDataHandler = builder.data
    try:
        # As text, so that no other encoding hides a DTD from the next line.
        content = document.decode("utf-8-sig")
        if "<!DOCTYPE" in content:
            raise Refused(MALFORMED_XML)
        parser.Parse(content, True)  # noqa: FBT003 - positional in C; without a DTD there are no entities to expand
        element = builder.close()
    except (expat.ExpatError, ValueError):
        raise Refused(MALFORMED_XML) from None
    if element.tag != expected:
        raise Refused(MALFORMED_XML)
    return element
