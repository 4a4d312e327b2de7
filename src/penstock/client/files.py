"""Files on their way up and down: in pieces, never whole. What is sent again starts at the beginning."""

from __future__ import annotations

import hashlib
import io
import mimetypes
import os
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Protocol, TypeAlias

from penstock.client.errors import ConnectionFailedError, DownloadError, UploadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

File: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"
Progress: TypeAlias = Callable[[int, int], None]

PIECE = 2**20
"""Bytes read and sent at a time."""
_HEAD = 32
_PARTIAL = 206
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_OCTET_STREAM = "application/octet-stream"
_UNNAMED = "file"
_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
)


class Readable(Protocol):
    """Bytes, read from front to back."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many of them; all that are left when negative; empty at the end."""
        ...


class Opener(Protocol):
    """Opens a source's bytes from an offset on. What it has opened several times is read independently."""

    def __call__(self, offset: int = 0, /) -> AbstractContextManager[Readable]:
        """The bytes from `offset`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Bytes to upload. `open` gives them from an offset on, as often as needed, also at once in several threads.

    `size` is how many there were at first. `close` ends what the source itself has opened; a file of the caller's
    stays open. `stamp` is another one after somebody has written to the file, as far as that can be told.
    """

    filename: str
    content_type: str
    size: int
    open: Opener
    close: Callable[[], None]
    stamp: Callable[[], object] = lambda: None


def open_source(file: File, *, filename: str | None = None, content_type: str | None = None) -> Source:
    """A path (also as a string), bytes, or an open binary file from where it stands.

    What cannot be rewound is copied to a temporary file first, so that its size is known and a retry possible.
    Raises `OSError` for a path that cannot be read, `TypeError` for anything else.
    """
    source = _raw_source(file)
    name = filename or source.filename
    if content_type is None:
        with source.open() as stream:
            content_type = guess_type(stream.read(_HEAD), name)
    return replace(source, filename=name, content_type=content_type)


def _raw_source(file: object) -> Source:
    if isinstance(file, str | os.PathLike):
        return _from_path(Path(file))
    if isinstance(file, bytes | bytearray | memoryview):
        content = bytes(file)
        return _source(_UNNAMED, len(content), _from_offset(lambda: io.BytesIO(content)))
    if not hasattr(file, "read") or isinstance(file, io.TextIOBase):
        msg = f"expected a path, bytes or a file opened in binary mode, not {type(file).__name__}"
        raise TypeError(msg)
    return _from_stream(file)  # type: ignore[arg-type]  # anything with `read` that gives bytes


def guess_type(head: bytes, filename: str) -> str:
    """The media type that the first bytes show, else the name's, else one that leaves the decision to the server."""
    for offset, magic, found in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return found
    guessed, encoding = mimetypes.guess_type(filename)
    return guessed if guessed and not encoding else _OCTET_STREAM


def is_file(value: object) -> bool:
    """Whether a value among inputs is a file to upload: a path object, bytes or an open file. A string is a string."""
    return isinstance(value, os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read")


def _source(
    filename: str,
    size: int,
    opener: Opener,
    close: Callable[[], None] = lambda: None,
) -> Source:
    return Source(filename=filename, content_type=_OCTET_STREAM, size=size, open=opener, close=close)


def _from_path(path: Path) -> Source:
    with path.open("rb") as stream:
        source = _source(path.name, os.fstat(stream.fileno()).st_size, _from_offset(lambda: path.open("rb")))
    return replace(source, stamp=lambda: _stamp(path.stat()))


def _stamp(found: os.stat_result) -> object:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _from_offset(open_anew: Callable[[], IO[bytes]]) -> Opener:
    @contextmanager
    def opened(offset: int = 0, /) -> Iterator[Readable]:
        with open_anew() as stream:
            stream.seek(offset)
            yield stream

    return opened


def _from_stream(stream: IO[bytes]) -> Source:
    name = getattr(stream, "name", None)
    filename = PurePath(name).name if isinstance(name, str) and name else _UNNAMED
    if hasattr(stream, "seekable") and stream.seekable():
        return _rewinding(filename, stream, lambda: None)
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    try:
        shutil.copyfileobj(stream, copy, PIECE)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return _rewinding(filename, copy, copy.close)


def _rewinding(filename: str, stream: IO[bytes], close: Callable[[], None]) -> Source:
    start = stream.tell()
    size = stream.seek(0, os.SEEK_END) - start
    stream.seek(start)

    lock = threading.Lock()

    @contextmanager
    def view(offset: int = 0, /) -> Iterator[Readable]:
        yield _View(stream, lock, start + offset)

    return _source(filename, size, view, close)


class _View:
    """One reader of a stream that has only one position for all."""

    def __init__(self, stream: IO[bytes], lock: threading.Lock, position: int) -> None:
        self._stream = stream
        self._lock = lock
        self._position = position

    def read(self, size: int = -1, /) -> bytes:
        with self._lock:
            self._stream.seek(self._position)
            piece = self._stream.read(size)
        self._position += len(piece)
        return piece


class Pieces:
    """A source being sent: `read` the next piece, `sent` (or hashed) it. Raises `UploadError` when it ends too soon."""

    def __init__(self, stream: Readable, size: int, on_progress: Progress | None) -> None:
        self._stream = stream
        self._size = size
        self._on_progress = on_progress
        self._read = 0
        self._tell(0)

    def read(self) -> bytes:
        """The next piece; empty after the last. Bytes that were appended to the file meanwhile are not sent."""
        wanted = min(PIECE, self._size - self._read)
        if not wanted:
            return b""
        piece = self._stream.read(wanted)
        if not isinstance(piece, bytes):
            msg = f"the file gave {type(piece).__name__} instead of bytes"
            raise TypeError(msg)
        if not piece:
            raise UploadError(f"the file became shorter while it was sent: {self._read} of {self._size} bytes")
        self._read += len(piece)
        return piece

    def sent(self) -> None:
        """Report the pieces read so far as sent."""
        self._tell(self._read)

    def _tell(self, sent: int) -> None:
        if self._on_progress is not None:
            self._on_progress(sent, self._size)


def digest_of(pieces: Pieces, algorithm: str) -> bytes:
    """The digest of what is read, in hexadecimal."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while piece := pieces.read():
        digest.update(piece)
        pieces.sent()
    return digest.hexdigest().encode()


class Sink:
    """Where downloaded bytes go: memory, or a temporary name beside the path until they are whole."""

    def __init__(self, path: Path | None, *, size: int | None = None, sha256: str | None = None) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part") if path is not None else None
        self._expected_size = size
        self._expected_sha256 = sha256
        self._stream: IO[bytes] = io.BytesIO()
        self._etag = ""
        self._size = 0
        self._hash = hashlib.sha256()

    @property
    def rest(self) -> Mapping[str, str]:
        """Headers that ask for what is missing, when something is there of a file whose version can be told.

        RFC 9110 §13.1.5: only a strong ETag can.
        """
        strong = self._etag.startswith('"')
        return {"Range": f"bytes={self._size}-", "If-Range": self._etag} if strong and self._size else {}

    @property
    def received(self) -> int:
        """Bytes that are here."""
        return self._size

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Go on where an answer does, else start with nothing, also again. Header names are lower case.

        Raises `ConnectionFailedError` for a part that was not asked for.
        """
        etag = headers.get("etag", "")
        if status == _PARTIAL:
            if not self.rest or etag != self._etag or not _is_rest(headers, self._size):
                self._etag = ""
                raise ConnectionFailedError("the server answered with another part than it was asked for")
            return
        self._etag = etag
        self._stream.close()
        self._stream = self._part.open("wb") if self._part is not None else io.BytesIO()
        self._size = 0
        self._hash = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Take a piece."""
        self._stream.write(piece)
        self._size += len(piece)
        self._hash.update(piece)

    def finish(self) -> bytes:
        """Check and keep what was written. The bytes, when they went to memory. Raises `DownloadError`."""
        if self._expected_size is not None and self._size != self._expected_size:
            raise DownloadError(f"{self._size} bytes arrived instead of {self._expected_size}")
        if self._expected_sha256 is not None and self._hash.hexdigest() != self._expected_sha256:
            raise DownloadError("the bytes that arrived have another SHA-256 than they should")
        if self._part is None or self._path is None:
            return self._stream.getvalue() if isinstance(self._stream, io.BytesIO) else b""
        self._stream.close()
        self._part.replace(self._path)
        return b""

    @property
    def sha256(self) -> str:
        """The hash of what was written."""
        return self._hash.hexdigest()

    def discard(self) -> None:
        """Close, and leave nothing behind of what was not finished."""
        self._stream.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)


def _is_rest(headers: Mapping[str, str], offset: int) -> bool:
    """Whether a part goes from there to the end: it may be less than was asked for (RFC 9110 §15.3.7)."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    return found is not None and int(found[1]) == offset and int(found[2]) + 1 == int(found[3])


class Listener(Sink):
    """Takes bytes only to check them: nothing is kept."""

    def __init__(
        self, *, size: int | None = None, sha256: str | None = None, on_progress: Progress | None = None
    ) -> None:
        super().__init__(None, size=size, sha256=sha256)
        self._on_progress = on_progress

    def write(self, piece: bytes) -> None:
        """Take a piece."""
        self._size += len(piece)
        self._hash.update(piece)
        if self._on_progress is not None:
            self._on_progress(self._size, self._expected_size or self._size)
