"""Answers: status, headers, and a body in memory or in a file; and the bytes of their heads."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from penstock.store import xml

if TYPE_CHECKING:
    from penstock.store.faults import Refused
    from penstock.store.stored import Stored

Headers = tuple[tuple[str, str], ...]

# S10 asks for these on every object response; on the others they do no harm.
_ALWAYS = (
    "X-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: sandbox; default-src 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: cross-origin\r\n"
)
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSlice:
    """Bytes of an open object. Whoever sends it closes it."""

    stored: Stored
    offset: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`length` is the Content-Length of an answer to HEAD, whose body stays away."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    file: FileSlice | None = None
    length: int | None = None


def document(text: str, *, status: int = 200, headers: Headers = ()) -> Answer:
    """An XML answer."""
    return Answer(status=status, headers=(("Content-Type", "application/xml"), *headers), body=text.encode())


def refusal(refused: Refused, *, resource: str, request_id: str) -> Answer:
    """The error answer of the S3 API."""
    text = xml.error(refused.fault.code, refused.message, resource=resource, request_id=request_id)
    return document(text, status=refused.fault.status, headers=refused.headers)


def render_head(answer: Answer, *, request_id: str, now: float, keep_alive: bool, extra: Headers = ()) -> bytes:
    """The status line and the headers. Values come from our own code or were checked when they were stored."""
    length = answer.length
    if length is None:
        length = answer.file.count if answer.file else len(answer.body)
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in (*answer.headers, *extra)]
    if answer.status not in _BODILESS:
        lines.append(f"Content-Length: {length}\r\n")
    lines.append(f"Date: {http_date(int(now))}\r\nx-amz-request-id: {request_id}\r\n{_ALWAYS}")
    lines.append("\r\n" if keep_alive else "Connection: close\r\n\r\n")
    return "".join(lines).encode("latin-1", "replace")


@lru_cache(maxsize=64)
def http_date(seconds: int) -> str:
    """IMF-fixdate (RFC 9110 §5.6.7)."""
    return formatdate(seconds, usegmt=True)
