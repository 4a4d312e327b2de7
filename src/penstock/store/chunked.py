"""The chunked transfer coding, decoded strictly (RFC 9112 §7.1). Pure: bytes in, bytes out."""

from __future__ import annotations

import re
from enum import Enum, auto

from penstock.store.faults import MALFORMED_HTTP, Refused

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\x20-\x7e\t]*)?")
_LONGEST_LINE = 4096
_LONGEST_TRAILER = 8192


class _State(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkedDecoder:
    """Feed it what arrives; it gives back the payload. After `done`, `leftover` is the next request's beginning."""

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._line = b""
        self._remaining = 0
        self._trailer_size = 0
        self.leftover = b""

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    def feed(self, data: bytes) -> list[bytes]:
        """The payload pieces in `data`. Raises `Refused` for a bad chunk (S31)."""
        pieces: list[bytes] = []
        data = self._line + data
        self._line = b""
        position = 0
        while position < len(data) and self._state is not _State.DONE:
            if self._state is _State.DATA:
                piece = data[position : position + self._remaining]
                pieces.append(piece)
                position += len(piece)
                self._remaining -= len(piece)
                if not self._remaining:
                    self._state = _State.DATA_END
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                self._keep(data[position:])
                return pieces
            self._take_line(data[position:end])
            position = end + 2
        self.leftover = data[position:]
        return pieces

    def _keep(self, partial: bytes) -> None:
        if len(partial) > _LONGEST_LINE or b"\n" in partial:
            raise Refused(MALFORMED_HTTP, "A chunk is badly framed.")
        self._line = partial

    def _take_line(self, line: bytes) -> None:
        if self._state is _State.SIZE:
            found = _SIZE_LINE.fullmatch(line) if len(line) <= _LONGEST_LINE else None
            if not found:
                raise Refused(MALFORMED_HTTP, "A chunk size is malformed.")
            self._remaining = int(found[1], 16)
            self._state = _State.DATA if self._remaining else _State.TRAILER
        elif self._state is _State.DATA_END:
            if line:
                raise Refused(MALFORMED_HTTP, "A chunk is longer than its size.")
            self._state = _State.SIZE
        elif line:
            self._trailer_size += len(line)
            if self._trailer_size > _LONGEST_TRAILER:
                raise Refused(MALFORMED_HTTP, "The trailer section is too large.")
        else:
            self._state = _State.DONE
