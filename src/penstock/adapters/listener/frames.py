"""The library's side of a WebSocket, which refuses a message that is too large and goes on with the next one."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING, Any

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import DATA_OPCODES, CloseCode, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.utils import apply_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_PEEKED = 64 * 1024
_MOST_SKIPPED = 256 * 2**20
"""Bytes of a message that are read only to be thrown away."""
_MOST_INFLATED = 8
"""What becomes so many times as large as it came is no picture: inflating it, again and again, is what it is for."""
_FINAL, _COMPRESSED, _OPCODE, _LENGTH = 0x80, 0x40, 0x0F, 0x7F
_SHORT_LENGTHS = 125
_MASK = 4


class PeekingReader(StreamReader):
    """Remembers the pieces of the frame that is being read: head, length, mask, and the beginning of what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def at_eof(self) -> Generator[None, None, bool]:
        """Asked before each frame."""
        self.pieces = []
        return (yield from super().at_eof())

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """One piece of a frame."""
        piece = yield from super().read_exact(n)
        self.pieces.append(bytes(piece[:_PEEKED]))
        return piece

    def skip(self, n: int) -> Generator[None, None, bytes]:
        """Throw so many bytes away as they come, but for the last ones."""
        end = b""
        while n:
            while not self.buffer:
                yield
            piece = bytes(self.buffer[:n])
            del self.buffer[:n]
            n -= len(piece)
            end = (end + piece)[-_PEEKED:]
        return end


class Spoken(ServerProtocol):
    """Says what is wrong before it fails. Messages are compressed one by one: idle connections then cost no window.

    `words` makes what is said, of the code that a failure has and of the message's beginning, with its end where that
    has come. `skips`: whether a message that is too large is passed over, instead of being a failure like others.
    """

    words: Callable[[int, str], str] | None = None
    skips = False
    skipping = False

    def __init__(self, *, max_size: int, logger: Any) -> None:  # noqa: ANN401 - the library's own kinds of loggers
        extension = ServerPerMessageDeflateFactory(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=12,
            client_max_window_bits=12,
            compress_settings={"memLevel": 5},
        )
        super().__init__(extensions=[extension], max_size=max_size, logger=logger or logging.getLogger(__name__))
        self.reader: PeekingReader = PeekingReader()
        self.parser = self.parse()  # anew: the one before reads from another reader
        next(self.parser)

    def receive_data(self, data: bytes | bytearray) -> None:
        """Data from the network."""
        super().receive_data(data)
        if self.state is State.OPEN:
            self.parser_exc = None  # of a message that is skipped

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the connection (RFC 6455 §7.1.7), unless the message can be passed over."""
        if self.state is State.OPEN and code == CloseCode.MESSAGE_TOO_BIG and self._passes_over():
            return
        if self.words is not None and self.state is State.OPEN and code != CloseCode.ABNORMAL_CLOSURE:
            self._say(code, _text(self.reader))
        super().fail(code, reason)

    def _passes_over(self) -> bool:
        """Whether the frame that is too large is a whole message, and costs no more than the sending of it."""
        head, *more = self.reader.pieces
        is_message = head[0] & _FINAL and head[0] & _OPCODE in {*DATA_OPCODES} - {Opcode.CONT}
        length = head[1] & _LENGTH
        if length > _SHORT_LENGTHS:
            length, more = int.from_bytes(more[0], "big"), more[1:]
        left = 0 if more else length  # inflated it was too large: it is there
        is_bomb = bool(more) and length * _MOST_INFLATED < (self.max_message_size or 0)
        if not (self.skips and is_message and not is_bomb and self.current_size is None and left <= _MOST_SKIPPED):
            return False
        self.parser = self._skip(left)
        next(self.parser, None)
        return True

    def _skip(self, left: int) -> Generator[None, None, None]:
        """Say what the message was about when all of it has come, and go on with the next one."""
        self.skipping = True
        end = b""
        if left:
            yield from self.reader.read_exact(_MASK)
            yield from self.reader.read_exact(min(left, _PEEKED))
            end = yield from self.reader.skip(max(0, left - _PEEKED))
        self.skipping = False
        self._say(CloseCode.MESSAGE_TOO_BIG, _text(self.reader) + _unmasked(self.reader, end, behind=left))
        self.parser = self.parse()
        next(self.parser)
        yield

    def _say(self, code: int, text: str) -> None:
        if self.words is not None:
            self.send_text(self.words(int(code), text).encode())


def _text(reader: PeekingReader) -> str:
    """How the text of the frame begins that is being read, as far as it has come."""
    if not reader.pieces:
        return ""
    head, *more = reader.pieces
    if head[1] & _LENGTH > _SHORT_LENGTHS:
        more = more[1:]
    raw = b"".join(more)
    if len(more) < 2:  # noqa: PLR2004 - mask and content: some of both has not been asked for
        raw += bytes(reader.buffer[: _MASK + _PEEKED])
    plain = apply_mask(raw[_MASK:], raw[:_MASK]) if len(raw) > _MASK else b""
    return (_inflated(plain) if head[0] & _COMPRESSED else bytes(plain)).decode("utf-8", errors="replace")


def _unmasked(reader: PeekingReader, end: bytes, *, behind: int) -> str:
    """The end of a text that was not compressed, `behind` the bytes of which it was told."""
    if not end or reader.pieces[0][0] & _COMPRESSED:
        return ""
    mask = reader.pieces[-2]
    turn = (behind - len(end)) % _MASK
    return bytes(apply_mask(end, mask[turn:] + mask[:turn])).decode("utf-8", errors="replace")


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(data, _PEEKED)
    except zlib.error:
        return b""
