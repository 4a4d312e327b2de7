"""A form that brings a file, as official clients and browsers post it: its fields in order, the file last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tests.support.exchange import exchange

if TYPE_CHECKING:
    from tests.support.exchange import Answer

_BOUNDARY = "a-boundary"
_PART = f"--{_BOUNDARY}\r\nContent-Disposition: form-data"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
END = f"\r\n--{_BOUNDARY}--\r\n".encode()
"""What stands behind the file's bytes."""


def post_form(
    url: str, fields: Mapping[str, str] | Iterable[tuple[str, str]], content: bytes | None, *, filename: str = "a.png"
) -> Answer:
    """Post it, without any key. `fields` in pairs may repeat a name; without `content` there is no file."""
    body = form_head(fields, filename=None if content is None else filename)
    body += END.lstrip() if content is None else content + END
    return exchange("POST", url, body, headers=HEADERS)


def form_head(fields: Mapping[str, str] | Iterable[tuple[str, str]], *, filename: str | None) -> bytes:
    """What stands before the file's bytes; without a name there is no file."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    head = "".join(f'{_PART}; name="{name}"\r\n\r\n{value}\r\n' for name, value in pairs)
    if filename is not None:
        head += f'{_PART}; name="file"; filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    return head.encode()
