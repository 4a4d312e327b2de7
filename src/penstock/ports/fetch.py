"""Getting bytes from other people's servers for a user who named a URL: guarded, bounded, resumable.

What is fetched, why, and where it is kept, is the caller's affair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from penstock.domain.foreign import FetchManner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


class Fetcher(Protocol):
    """The one way out to places that users name. Usable from many threads."""

    def get(self, download: Download) -> Answer:
        """Begin to get a file in the manner asked for. Raises `SourceRefusedError`, `SourceFailedError`.

        A name that leads to a forbidden address and one that leads nowhere raise the same (no inner name is confirmed).
        """
        ...
