"""What looks into model files, and what rewrites them. Where the bytes are, is the caller's affair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from penstock.domain.weights import Category, Declaration, Examination

HEADER_PREFIX = 8
"""The first bytes of a file tell how long its header is."""


class WeightsChangedError(Exception):
    """What is read now is not what was surveyed, or a tensor did not keep its bound. Nothing of it may be used."""


class Examiner(Protocol):
    """Looks at the beginning of a file that nobody trusts. Usable from many threads."""

    def header_end(self, prefix: bytes, *, size: int | None) -> int:
        """How many bytes from the start of the file `examine` needs, from the first ones (at least 8 if there are).

        `size` is that of the whole file, where it is known. Raises `NotSafetensors`, naming what it looks like.
        """
        ...

    def examine(self, head: bytes, *, size: int | None, declared: Declaration | None) -> Examination:
        """Judge a file by its first `header_end` bytes; `size` as above.

        Raises `NotSafetensors` for any broken rule, `Unavailable` when it could not be examined, and
        `AttemptInterruptedError` (`ports.jobs`) when the server is being stopped.
        """
        ...

    def close(self) -> None:
        """End its children."""
        ...


Survey = dict[str, object]
"""What one look at all bytes found, as JSON; `Rewriter.plan` needs it."""


class Surveyor(Protocol):
    """Looks at all bytes of one file, in order, as they come by. Belongs to one thread, and may use more of its own.

    Memory is constant. What it has seen so far cannot be kept: after a crash the bytes are read again, from the store.
    """

    def update(self, block: bytes | memoryview) -> None:
        """The next bytes, of any number; they must not change afterwards (a buffer is not to be used again)."""
        ...

    def finish(self) -> Survey:
        """What was found, `sha256` (hex, of the file) included. Raises `WeightsChangedError` when bytes are missing."""
        ...

    def close(self) -> None:
        """Free its threads, whether or not it was finished; may be repeated."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RewritePlan:
    """What the rewritten file will be: a function of the old file, so it is made again rather than kept.

    `unchanged`: exactly the original, so there is nothing to write. `fingerprint` names every byte of the header and
    the rewriter's version: parts that were written under another fingerprint are of another file.
    """

    size: int
    unchanged: bool
    fingerprint: str


class Rewriting(Protocol):
    """One rewriting under way. Restarted from its beginning, it yields the same bytes again."""

    def blocks(self) -> Iterator[bytes | memoryview]:
        """The new file's bytes, in order; a block stays good. Raises `WeightsChangedError`. Close it to give up."""
        ...

    def manifest(self) -> tuple[bytes, Mapping[str, object]]:
        """The manifest (JSON), and its summary for a row: after the last block, or if the plan changes nothing."""
        ...


class Passing(Protocol):
    """Survey and rewriting in one pass, while the bytes come by for the first time.

    It goes by a plan that the data may refute (a number too large for the narrower type): then `refuted` is true, no
    more comes out of it, what did is worthless, and `Rewriter.plan` with the survey tells the better plan.
    """

    @property
    def plan(self) -> RewritePlan:
        """By which it goes."""
        ...

    @property
    def refuted(self) -> bool:
        """Whether the data do not allow that plan; may become true with any block."""
        ...

    def update(self, block: bytes | memoryview) -> list[bytes | memoryview]:
        """The next bytes of the old file, as for a `Surveyor`; which of the new one are ready, in order."""
        ...

    def finish(self) -> tuple[Survey, list[bytes | memoryview]]:
        """After the last byte: the survey, the same that a `Surveyor` makes, and the rest of the new file."""
        ...

    def manifest(self) -> tuple[bytes, Mapping[str, object]]:
        """After `finish`, unless refuted: as of a `Rewriting`."""
        ...

    def close(self) -> None:
        """As of a `Surveyor`."""
        ...


class Rewriter(Protocol):
    """Lays model files out for loading: pages, no training leftovers, narrower numbers where the policy says.

    The new file is a function of the old one, of the options and of the rewriter's version alone. Every `head` is the
    beginning of a file that was examined, up to its data. `category` and `family` are what was found in it
    (`Examination`); where nothing was, no number is narrowed.
    """

    def surveyor(self, head: bytes, *, category: Category | None, family: str | None) -> Surveyor:
        """For the file with that header. It gets all bytes, the header included."""
        ...

    def passing(self, head: bytes, *, category: Category | None, family: str | None) -> Passing | None:
        """The same, rewriting at once; None where nothing changes, or where it takes all of the old file to begin."""
        ...

    def plan(self, head: bytes, survey: Survey) -> RewritePlan:
        """What to do with the file that was surveyed."""
        ...

    def rewrite(self, head: bytes, survey: Survey, read: Callable[[int, int], Iterable[bytes]]) -> Rewriting:
        """Rewrite a file whose bytes from `start` up to, not including, `end` are what `read(start, end)` gives."""
        ...
