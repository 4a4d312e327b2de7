"""Getting bytes from other people's servers, and telling them things, for a user who named a URL: guarded and bounded.

What is fetched or told, why, and where it is kept, is the caller's affair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from penstock.domain.foreign import FetchManner

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from datetime import timedelta


class SourceError(Exception):
    """Why a fetch came to nothing. `reason` is fit for whoever named the URL: it names the host at most."""

    def __init__(self, reason: str, *, code: str = "source_refused") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class SourceRefusedError(SourceError):
    """Asking again gives the same answer: the server refuses, or its answer is one that we refuse."""


class SourceFailedError(SourceError):
    """It may go better later: no connection, no name, an error of the server's, a body that broke off.

    `retry_after` is the server's own wish (RFC 9110 §10.2.3).
    """

    def __init__(self, reason: str, *, code: str = "source_failed", retry_after: timedelta | None = None) -> None:
        super().__init__(reason, code=code)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What to get.

    `start` bytes are there already, of the version with the strong ETag `etag`. At most `max_bytes` are taken, those
    included, and no longer than `within`. `watch` is called about once a second while nothing comes, and with each
    block; whatever it raises ends the fetch and reaches the caller.
    """

    url: str
    max_bytes: int
    within: timedelta
    watch: Callable[[], None]
    start: int = 0
    etag: str | None = None
    manner: FetchManner = field(default_factory=FetchManner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What to tell. The answer's head comes `within` that time; `max_reply` bytes of its body are read at most.

    `headers` go beside those of the transport; one of the same name as ours replaces it. `watch` as in `Download`.
    """

    url: str
    body: bytes
    headers: Mapping[str, str]
    within: timedelta
    max_reply: int
    watch: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered to a `Posting`, whatever its status; redirects are not followed."""

    status: int
    body: bytes


class Answer(Protocol):
    """A body on its way. Leave it (`with`) to close the connection."""

    @property
    def start(self) -> int:
        """Where in the file the body begins: where it was asked to, or 0 when it is another version or no range."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes of the whole file as the server announces them; None when it does not."""
        ...

    @property
    def etag(self) -> str | None:
        """The file's strong ETag, with its quotes; None when there is none or only a weak one (RFC 9110 §8.8.3)."""
        ...

    def blocks(self) -> Iterator[bytes]:
        """The body. Raises `SourceFailedError` when it ends before its announced end, `SourceRefusedError` past it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Ranges(Protocol):
    """Ranges of one version of a file, one after another, over one connection that is kept as long as it serves.

    Belongs to one thread. Leave it (`with`) to close the connection.
    """

    def blocks(self, start: int, end: int) -> Generator[bytes]:
        """The bytes from `start` up to `end`, all of them. Raises as `Fetcher.get` and `Answer.blocks`.

        An answer that is not exactly that range of that version is refused before any of its bytes is given.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Fetcher(Protocol):
    """The one way out to places that users name. Usable from many threads."""

    def get(self, download: Download) -> Answer:
        """Begin to get a file in the manner asked for. Raises `SourceRefusedError`, `SourceFailedError`.

        A name that leads to a forbidden address and one that leads nowhere raise the same (no inner name is confirmed).
        """
        ...

    def ranges(self, download: Download, *, size: int) -> Ranges:
        """Ranges of the version with the strong ETag `download.etag`, a file of `size` bytes.

        Connects with the first one. `download.start` and `download.max_bytes` say nothing here.
        """
        ...


class Poster(Protocol):
    """The same way out, for telling. Usable from many threads."""

    def post(self, posting: Posting) -> Reply:
        """Tell once, and take any answer for one. Raises `SourceRefusedError`, `SourceFailedError` when there is none.

        After either the other side may have been told all the same.
        """
        ...
