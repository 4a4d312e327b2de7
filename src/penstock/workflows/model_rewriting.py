"""A model's file laid out for loading, beside the original: while that comes, or afterwards by reading it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from penstock.workflows.part_stream import PartStream, abort_all, part_size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.domain.weights import Category
    from penstock.ports.objects import ObjectInfo, ObjectStore
    from penstock.ports.weights import Passing, RewritePlan, Rewriter, Survey, Surveyor

CONTENT_TYPE = "application/octet-stream"
_MANIFEST_TYPE = "application/json"

Written = tuple["ObjectInfo", bytes, "Mapping[str, object]"]
"""The served file, its manifest, and that in short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the header showed: that the file has `size` bytes, its data begin behind `header_size`, and what it is."""

    size: int
    header_size: int
    category: Category | None
    family: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """The file that is served: its size in bytes, its SHA-256 (hex), its ETag in the store, its manifest in short.

    `unchanged`: it is the original itself.
    """

    size: int
    sha256: str
    etag: str
    unchanged: bool
    summary: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The keys of the objects of one model file, all of which begin with `prefix`."""

    prefix: str

    @property
    def original(self) -> str:
        """The file as it came."""
        return self.prefix + "original"

    @property
    def optimized(self) -> str:
        """The file that is served, unless that is the original."""
        return self.prefix + "optimized"

    @property
    def manifest(self) -> str:
        """What was done to each tensor."""
        return self.prefix + "manifest"

    @property
    def survey(self) -> str:
        """What the next phase has to know of the bytes; not kept."""
        return self.prefix + "survey"

    def all(self) -> list[str]:
        """Every key."""
        return [self.original, self.optimized, self.manifest, self.survey]


def places_of(file_id: str) -> Places:
    """The keys of the objects of one file."""
    return Places(prefix=f"models/{file_id}/")


class Rewriting:
    """Writes the served file and its manifest, each time from the beginning."""

    def __init__(self, objects: ObjectStore, rewriter: Rewriter, places: Places, *, part_bytes: int) -> None:
        self._objects = objects
        self._rewriter = rewriter
        self._places = places
        self._part_bytes = part_bytes

    def beside(self, head: bytes, found: Found) -> Beside:
        """Look at a file, and where one pass suffices rewrite it, while its bytes come."""
        passing = self._rewriter.passing(head, category=found.category, family=found.family)
        if passing is not None and not passing.plan.unchanged:
            return _Writing(passing, self._stream(passing.plan))
        if passing is not None:
            passing.close()
        return _Looking(self._rewriter.surveyor(head, category=found.category, family=found.family))

    def survey(self, original: ObjectInfo, head: bytes, found: Found, *, look: Callable[[int], None]) -> Survey:
        """Look at all bytes of a file that is in the store."""
        surveyor = self._rewriter.surveyor(head, category=found.category, family=found.family)
        try:
            seen = 0
            for block in self._objects.read(original.key):
                surveyor.update(block)
                seen += len(block)
                look(seen)
            return surveyor.finish()
        finally:
            surveyor.close()

    def afterwards(
        self, original: ObjectInfo, head: bytes, survey: Survey, *, look: Callable[[int], None]
    ) -> Rewritten:
        """Rewrite a file that is in the store and was surveyed."""
        plan = self._rewriter.plan(head, survey)
        rewriting = self._rewriter.rewrite(
            head, survey, lambda start, end: self._objects.read(original.key, start=start, end=end)
        )
        if plan.unchanged:
            return self._told(original, *rewriting.manifest(), unchanged=True)
        stream = self._stream(plan)
        try:
            written = 0
            for block in rewriting.blocks():
                stream.write(block)
                written += len(block)
                look(written)
            info = stream.complete()
        finally:
            stream.close()
        return self._told(info, *rewriting.manifest(), unchanged=False)

    def told(self, written: Written) -> Rewritten:
        """What was written beside, with its manifest kept."""
        return self._told(*written, unchanged=False)

    def _stream(self, plan: RewritePlan) -> PartStream:
        key = self._places.optimized
        abort_all(self._objects, key)
        parts_id = self._objects.multiparts.begin(key, content_type=CONTENT_TYPE)
        return PartStream(self._objects, key, parts_id, part_size=part_size_of(plan.size, usual=self._part_bytes))

    def _told(self, info: ObjectInfo, manifest: bytes, summary: Mapping[str, object], *, unchanged: bool) -> Rewritten:
        self._objects.put(self._places.manifest, manifest, size=len(manifest), content_type=_MANIFEST_TYPE)
        sha256 = str(summary["stored_sha256"])
        return Rewritten(size=info.size, sha256=sha256, etag=info.etag, unchanged=unchanged, summary=summary)


class Beside(Protocol):
    """A look at a file's bytes while they come by."""

    def take(self, block: memoryview) -> None:
        """The next bytes, which do not change afterwards."""
        ...

    def finish(self) -> tuple[Survey, Written | None]:
        """After the last: what they showed, and the served file if it was written beside and may be used."""
        ...

    def close(self) -> None:
        """Free the threads; may be repeated."""
        ...


class _Looking:
    """`Beside` that writes nothing."""

    def __init__(self, surveyor: Surveyor) -> None:
        self._surveyor = surveyor
        self.take = surveyor.update
        self.close = surveyor.close

    def finish(self) -> tuple[Survey, Written | None]:
        return self._surveyor.finish(), None


class _Writing:
    """`Beside` that writes the served file, as long as the data do not refute how."""

    def __init__(self, passing: Passing, stream: PartStream) -> None:
        self._passing = passing
        self._stream = stream

    def take(self, block: memoryview) -> None:
        self._write(self._passing.update(block))

    def finish(self) -> tuple[Survey, Written | None]:
        survey, rest = self._passing.finish()
        self._write(rest)
        if self._passing.refuted:
            return survey, None
        return survey, (self._stream.complete(), *self._passing.manifest())

    def close(self) -> None:
        self._passing.close()
        self._stream.close()

    def _write(self, blocks: list[bytes | memoryview]) -> None:
        if not self._passing.refuted:
            for block in blocks:
                self._stream.write(block)
