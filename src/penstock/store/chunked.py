"""The chunked transfer coding, decoded strictly (RFC 9112 §7.1). Pure: bytes in, bytes out.

S3's aws-chunked is the same framing once more, with a signature in each chunk's extension and checksums in the trailer
section; whoever wants those watches the chunks.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Protocol

from penstock.store.faults import MALFORMED_HTTP, Refused

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;([\x20-\x7e\t]*))?")
_LONGEST_LINE = 4096
_LONGEST_TRAILER = 8192


class _State(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkWatcher(Protocol):
    """Hears of every chunk, the empty last one included. May raise `Refused`."""

    def begin(self, extension: str) -> None: ...

    def data(self, piece: bytes) -> None: ...

    def end(self) -> None: ...


class ChunkedDecoder:
    """Feed it what arrives; it gives back the payload.

    After `done`, `leftover` is what follows the body, and `trailer` holds the trailing fields as they came.
    """

    def __init__(self, watcher: ChunkWatcher | None = None) -> None:
        self._watcher = watcher
        self._state = _State.SIZE
        self._line = b""
        self._remaining = 0
        self._trailer_size = 0
        self.leftover = b""
        self.trailer: list[tuple[str, str]] = []

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
                if self._watcher:
                    self._watcher.data(piece)
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
            if self._watcher:
                self._watcher.begin((found[2] or b"").decode("ascii"))
                if not self._remaining:
                    self._watcher.end()
            self._state = _State.DATA if self._remaining else _State.TRAILER
        elif self._state is _State.DATA_END:
            if line:
                raise Refused(MALFORMED_HTTP, "A chunk is longer than its size.")
            if self._watcher:
                self._watcher.end()
            self._state = _State.SIZE
        elif line:
            self._trailer_size += len(line)
            if self._trailer_size > _LONGEST_TRAILER:
                raise Refused(MALFORMED_HTTP, "The trailer section is too large.")
            name, _, value = line.decode("latin-1").partition(":")
            self.trailer.append((name.strip().lower(), value.strip()))
        else:
            self._state = _State.DONE
