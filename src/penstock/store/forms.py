"""A `multipart/form-data` body while it comes in: the fields before the file, then the file's bytes (RFC 7578).

Nothing is spooled. Before the file at most `_MOST_FIELD_BYTES` are held, of the file a piece and a delimiter's length.
What stands after the file is not read as fields (S3 API, "POST Object": the file is the last one used).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.store.faults import (
    ENTITY_TOO_LARGE,
    FIELDS_TOO_LARGE,
    INVALID_ARGUMENT,
    MALFORMED_FORM,
    NOT_A_FORM,
    Refused,
)

if TYPE_CHECKING:
    from typing import Protocol

    class Source(Protocol):
        """Pieces of a body; empty at its end."""

        async def receive(self) -> bytes | memoryview: ...


_MOST_FIELD_BYTES = 64 * 1024
_MOST_PART_HEAD_BYTES = 8 * 1024
_MOST_AFTER_FILE_BYTES = 64 * 1024
_PARAMETER = r';\s*([\w*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s";]+)\s*'
_DISPOSITION = re.compile(rf"form-data\s*((?:{_PARAMETER})+)", re.ASCII | re.IGNORECASE | re.DOTALL)
_ONE_PARAMETER = re.compile(_PARAMETER, re.ASCII | re.DOTALL)
_BOUNDARY = re.compile(
    r'multipart/form-data\s*(?:;.*?)?;\s*boundary=(?:"([^"]+)"|([^\s";,]+))\s*(?:;.*)?', re.IGNORECASE
)
_BOUNDARY_CHARACTERS = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
_PADDING = b" \t"


def boundary_of(content_type: str) -> bytes:
    """The boundary that a request's Content-Type names (RFC 2046 §5.1.1). Raises `Refused`."""
    match = _BOUNDARY.fullmatch(content_type.strip())
    boundary = (match[1] or match[2]) if match else ""
    if not boundary:
        raise Refused(NOT_A_FORM)
    if not _BOUNDARY_CHARACTERS.fullmatch(boundary):
        raise Refused(MALFORMED_FORM)
    return boundary.encode("ascii")


class FormReader:
    """Reads one form from its beginning: `fields` once, `receive` until it gives nothing, `finish` once."""

    def __init__(self, source: Source, boundary: bytes) -> None:
        self._source = source
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter has no line before it; with this one it looks like the others.
        self._buffer = b"\r\n"
        self._field_bytes = 0
        self._file_ended = False
        self.file_name = ""

    async def fields(self) -> list[tuple[str, str]]:
        """The fields before the file, in order; `file_name` is the file's name then.

        Raises `Refused` for what is no form, too large before its file, or without a file.
        """
        fields: list[tuple[str, str]] = []
        if await self._until(self._delimiter, _MOST_PART_HEAD_BYTES):
            raise Refused(MALFORMED_FORM)
        while await self._another_part():
            name, self.file_name = _disposition(await self._until(b"\r\n\r\n", _MOST_PART_HEAD_BYTES))
            if name.lower() == "file":
                return fields
            fields.append((name, _text(await self._until(self._delimiter, _MOST_FIELD_BYTES))))
        raise Refused(INVALID_ARGUMENT, "POST requires exactly one file upload per request.")

    async def receive(self) -> bytes:
        """The next bytes of the file; empty at its end. Raises `Refused` when the body ends before the file does."""
        while not self._file_ended:
            at = self._buffer.find(self._delimiter)
            if at >= 0:
                piece, self._buffer = self._buffer[:at], self._buffer[at + len(self._delimiter) :]
                self._file_ended = True
                return piece
            safe = len(self._buffer) - len(self._delimiter) + 1
            if safe > 0:
                piece, self._buffer = self._buffer[:safe], self._buffer[safe:]
                return piece
            await self._more()
        return b""

    async def finish(self) -> None:
        """Read what follows the file, which is ignored. Raises `Refused` when that is no delimiter, or too much."""
        await self._another_part()
        count = len(self._buffer)
        while piece := await self._source.receive():
            count += len(piece)
            if count > _MOST_AFTER_FILE_BYTES:
                raise Refused(ENTITY_TOO_LARGE, "Too much follows the file.")

    async def _another_part(self) -> bool:
        """Behind a delimiter: whether a part follows, or the form ends. Raises `Refused` for anything else."""
        while True:
            rest = self._buffer.lstrip(_PADDING)
            if rest[:2] == b"--":
                return False
            if rest[:2] == b"\r\n":
                # Kept: a part without any header has its empty line here.
                self._buffer = rest
                return True
            if len(rest) >= 2 or len(self._buffer) > _MOST_PART_HEAD_BYTES:  # noqa: PLR2004 - neither of the two marks
                raise Refused(MALFORMED_FORM)
            await self._more()

    async def _until(self, mark: bytes, limit: int) -> bytes:
        """What stands before a mark, which is taken too. Raises `Refused` beyond `limit`, or that of all."""
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            if len(self._buffer) > limit + len(mark):
                raise Refused(FIELDS_TOO_LARGE)
            start = max(0, len(self._buffer) - len(mark) + 1)
            await self._more()
        found, self._buffer = self._buffer[:at], self._buffer[at + len(mark) :]
        self._field_bytes += at + len(mark)
        if at > limit or self._field_bytes > _MOST_FIELD_BYTES:
            raise Refused(FIELDS_TOO_LARGE)
        return found

    async def _more(self) -> None:
        piece = await self._source.receive()
        if not piece:
            raise Refused(MALFORMED_FORM)
        self._buffer += piece


def _disposition(head: bytes) -> tuple[str, str]:
    """Name and file name of a part (RFC 7578 §4.2). Raises `Refused`."""
    found = [
        value.strip()
        for line in _text(head).split("\r\n")
        for name, _, value in [line.partition(":")]
        if name.strip().lower() == "content-disposition"
    ]
    if len(found) != 1 or not _DISPOSITION.fullmatch(found[0]):
        raise Refused(MALFORMED_FORM)
    pairs = [(name.lower(), _unquoted(value)) for name, value in _ONE_PARAMETER.findall(found[0])]
    values = dict(pairs)
    if len(values) != len(pairs) or not values.get("name"):
        raise Refused(MALFORMED_FORM)
    return values["name"], values.get("filename", "")


def _unquoted(value: str) -> str:
    """Only the quote is escaped: some browsers sent whole Windows paths, with their backslashes."""
    return value[1:-1].replace('\\"', '"') if value.startswith('"') else value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused(INVALID_ARGUMENT, "A field of the form is not UTF-8.") from None
