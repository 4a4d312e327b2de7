"""A form that brings a file, as official clients and browsers post it: its fields in order, the file last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.exchange import Answer

BOUNDARY = "a-boundary"


def post_form(
    url: str, fields: Mapping[str, str] | Iterable[tuple[str, str]], content: bytes | None, *, filename: str = "a.png"
) -> Answer:
    """Post it, without any key. `fields` in pairs may repeat a name; without `content` there is no file."""
    pairs = fields.items() if hasattr(fields, "items") else fields
    body = b"".join(_part(f'name="{name}"', value.encode()) for name, value in pairs)
    if content is not None:
        kind = b"\r\nContent-Type: application/octet-stream"
        body += _part(f'name="file"; filename="{filename}"', content, kind)
    body += f"--{BOUNDARY}--\r\n".encode()
    return exchange("POST", url, body, headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})


def _part(disposition: str, content: bytes, more: bytes = b"") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}".encode() + more
    return head + b"\r\n\r\n" + content + b"\r\n"
