"""What looks into model files, and what rewrites them. Where the bytes are, is the caller's affair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from penstock.domain.weights import Declaration, Examination

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

        Raises `NotSafetensors` for any broken rule, and `Unavailable` when it could not be examined.
        """
        ...

    def close(self) -> None:
        """End its children."""
        ...


Survey = dict[str, object]
"""What one look at all bytes found, as JSON; `Rewriter.plan` needs it."""


class Surveyor(Protocol):
    """Looks at all bytes of one file, in order, as they come by. Constant memory. Belongs to one thread."""

    def update(self, block: bytes | memoryview) -> None:
        """The next bytes."""
        ...

    def finish(self) -> Survey:
        """What was found, the SHA-256 of the file (`sha256`, hex) included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RewritePlan:
    """What the rewritten file will be. `unchanged`: exactly the original, so there is nothing to write."""

    size: int
    unchanged: bool
    body: Mapping[str, object]
    """The plan itself, as JSON."""


class Rewriting(Protocol):
    """One rewriting under way."""

    def blocks(self) -> Iterator[bytes | memoryview]:
        """The new file's bytes, in order; a block is good until the next is asked for. Raises `WeightsChangedError`."""
        ...

    def manifest(self) -> tuple[bytes, Mapping[str, object]]:
        """After the last block: the manifest (JSON), and its summary for a row."""
        ...


class Rewriter(Protocol):
    """Lays model files out for loading: pages, no training leftovers, narrower numbers where the policy says.

    The new file is a function of the old one, of the options and of the rewriter's version alone.
    """

    def surveyor(self, head: bytes) -> Surveyor:
        """For the file with that header, which was examined. It gets all bytes, the header included."""
        ...

    def plan(self, head: bytes, survey: Survey, *, family: str | None) -> RewritePlan:
        """What to do with a file of a family (`Examination.family`)."""
        ...

    def rewrite(
        self, head: bytes, survey: Survey, plan: RewritePlan, read: Callable[[int, int], Iterable[bytes]]
    ) -> Rewriting:
        """Rewrite a file whose bytes from `start` up to, not including, `end` are what `read(start, end)` gives."""
        ...
