"""One request head: parsed by llhttp, held to the one framing rule of S31 on top. Pure; touches no socket."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httptools

from penstock.store.faults import HEAD_TOO_LARGE, MALFORMED_HTTP, METHOD_NOT_ALLOWED, Refused

TERMINATOR = b"\r\n\r\n"
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
_ALLOW = (("Allow", ", ".join(sorted(METHODS))),)
_LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)
_REQUEST_LINE = re.compile(rb"[A-Z]+ [^ ]+ HTTP/[0-9.]+\r\n")
_FOLDED = re.compile(rb"\r\n[ \t]")
_TARGET = re.compile(rb"/[\x21-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request line and its headers. `target` and header values are latin-1 text of the wire; names are lower case.

    `length` is the body's size in bytes; None means chunked.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    fields: dict[str, str]
    version: str
    keep_alive: bool
    length: int | None

    @property
    def path(self) -> str:
        """The target without its query: the only part that may be logged."""
        return self.target.partition("?")[0]

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits to be invited; one of HTTP/1.0 never does (RFC 9110 §10.1.1)."""
        return self.fields.get("expect", "").lower() == "100-continue" and self.version == "1.1"


class _Collector:
    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


def parse_head(raw: bytes, *, max_headers: int) -> Head:
    """The head in `raw`, which ends with an empty line. Raises `Refused` for what S31 or RFC 9112 forbids."""
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserInvalidMethodError:
        raise Refused(METHOD_NOT_ALLOWED, headers=_ALLOW) from None
    except httptools.HttpParserUpgrade:
        pass  # an offer to upgrade may be ignored (RFC 9110 §7.8); CONNECT falls to the method check below
    except httptools.HttpParserError:
        raise Refused(MALFORMED_HTTP) from None
    if not collector.complete or not _REQUEST_LINE.match(raw) or _FOLDED.search(raw):
        raise Refused(MALFORMED_HTTP)
    if len(collector.headers) > max_headers:
        raise Refused(HEAD_TOO_LARGE)
    version = parser.get_http_version()
    if version not in {"1.0", "1.1"}:
        raise Refused(MALFORMED_HTTP, f"HTTP/{version} is not spoken here.")
    method = parser.get_method().decode("ascii")
    if method not in METHODS:
        raise Refused(METHOD_NOT_ALLOWED, headers=_ALLOW)
    if not _TARGET.fullmatch(collector.target):
        raise Refused(MALFORMED_HTTP, "The request target must be an absolute path in ASCII.")
    headers = tuple(
        [(name.decode("ascii").lower(), value.decode("latin-1").strip(" \t")) for name, value in collector.headers]
    )
    fields = _joined(headers)
    return Head(
        method=method,
        target=collector.target.decode("ascii"),
        headers=headers,
        fields=fields,
        version=version,
        keep_alive=parser.should_keep_alive(),
        length=_body_length(version, headers, fields),
    )


def _joined(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in headers:
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields


def _body_length(version: str, headers: tuple[tuple[str, str], ...], fields: dict[str, str]) -> int | None:
    """One framing rule (S31): a single Content-Length, or exactly `chunked`, or no body."""
    if sum(name == "host" for name, _ in headers) != 1 and version == "1.1":
        raise Refused(MALFORMED_HTTP, "Exactly one Host header is needed.")
    if "expect" in fields and fields["expect"].lower() != "100-continue":
        raise Refused(MALFORMED_HTTP, "The only expectation is 100-continue.")
    if "transfer-encoding" in fields:
        if "content-length" in fields or version == "1.0" or fields["transfer-encoding"].lower() != "chunked":
            raise Refused(MALFORMED_HTTP, "The only transfer coding is chunked, and never beside a Content-Length.")
        return None
    length = fields.get("content-length", "0")
    if not _LENGTH.fullmatch(length):
        raise Refused(MALFORMED_HTTP, "Content-Length must be one decimal number.")
    return int(length)
