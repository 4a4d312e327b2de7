"""Bringing a model's file into the store: judged by its header before its body moves, surveyed while it comes.

What is in the store decides where to go on, and two versions of a file are never spliced (F29), as in `transfer`. What
an earlier attempt received cannot be surveyed while it is parts, for parts cannot be read (S3 API): then the whole is
read back from the store once it is there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from penstock.domain.errors import NotSafetensors
from penstock.ports.fetch import SourceFailedError
from penstock.ports.objects import MultipartGoneError, ObjectNotFoundError
from penstock.ports.weights import HEADER_PREFIX
from penstock.workflows.model_rewriting import CONTENT_TYPE
from penstock.workflows.part_stream import PartStream, abort_all, part_size_of
from penstock.workflows.transfer import Source, are_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.ports.fetch import Answer
    from penstock.ports.objects import ObjectInfo, ObjectStore, StoredPart
    from penstock.ports.weights import Examiner, Survey
    from penstock.workflows.model_rewriting import Beside, Found, Rewriting, Rewritten

_WORTHWHILE = 2**20
"""A connection that brought so many bytes before it broke is followed by the next one at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where a file's bytes go: parts of `part_size` bytes of the store's upload `parts_id`."""

    parts_id: str
    part_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an earlier attempt left: the version that it began, what its header showed, and where its parts are."""

    source: Source | None = None
    found: Found | None = None
    begun: Begun | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """The whole file as it is in the store, what all of its bytes showed, and what was made of it meanwhile, if so."""

    info: ObjectInfo
    found: Found
    survey: Survey
    rewritten: Rewritten | None


class Keeper(Protocol):
    """What bringing tells whoever runs it. All may raise to end it."""

    def standing(self, standing: Standing) -> None:
        """This is what a later attempt must know; to be durable before the next byte goes to the store."""
        ...

    def look(self, received: int) -> None:
        """Called often: so many bytes came."""
        ...


class Origin(Protocol):
    """Where a file comes from."""

    def open(self, start: int, etag: str | None, *, watch: Callable[[], None]) -> Answer:
        """Its bytes from `start` on, if it still is the version `etag`; from 0 otherwise. Raises `SourceError`s."""
        ...


class StoreOrigin:
    """An object of our own store, as somebody's file."""

    def __init__(self, objects: ObjectStore, info: ObjectInfo) -> None:
        self._objects = objects
        self._info = info

    def open(self, start: int, etag: str | None, *, watch: Callable[[], None]) -> Answer:
        """The object, which never changes under its key."""
        return _StoreAnswer(self._objects, self._info, start if etag == self._info.etag else 0, watch)


class _StoreAnswer:
    def __init__(self, objects: ObjectStore, info: ObjectInfo, start: int, watch: Callable[[], None]) -> None:
        self._objects = objects
        self._info = info
        self._watch = watch
        self.start = start
        self.size = info.size
        self.etag = info.etag

    def blocks(self) -> Iterator[bytes]:
        for block in self._objects.read(self._info.key, start=self.start):
            self._watch()
            yield block

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held between two blocks that reading does not let go by itself."""


class Original:
    """One attempt at one file, which it leaves under `key`."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        key: str,
        standing: Standing,
        objects: ObjectStore,
        examiner: Examiner,
        rewriting: Rewriting,
        *,
        keeper: Keeper,
        judge: Callable[[bytes, int | None], Found],
        part_bytes: int,
    ) -> None:
        """`judge` says what a file is by its beginning up to its data, and the size that is announced.

        It raises an `InputError` for one that is not welcome.
        """
        self.standing = standing
        self._key = key
        self._objects = objects
        self._examiner = examiner
        self._rewriting = rewriting
        self._keeper = keeper
        self._judge = judge
        self._part_bytes = part_bytes
        self._there: list[StoredPart] = []
        self._stream: PartStream | None = None
        self._beside: Beside | None = None
        self._taken = self._found_bytes = self._stored_bytes = 0

    @property
    def advanced(self) -> bool:
        """Whether the next attempt will find more than this one did."""
        return self._stored_bytes > self._found_bytes

    def bring(self, origin: Origin) -> Brought:
        """Bring all bytes into the store.

        Raises `SourceError`s, an `InputError` for a file that is not welcome, and what the store and the keeper raise.
        """
        info = self._find_what_is_there()
        try:
            if info is None:
                info = self._received(origin)
            if self._beside is None:
                return self._surveyed(info, self._found)
            survey, written = self._beside.finish()
        finally:
            self._let_go()
        rewritten = self._rewriting.told(written) if written is not None else None
        return Brought(info=info, found=self._found, survey=survey, rewritten=rewritten)

    def copy(self, source: ObjectInfo) -> Brought:
        """Bring an object of the store's, on the server side. Raises as `bring`."""
        head, _ = read_head(self._examiner, self._objects.read(source.key), size=source.size)
        found = self._judge(head, source.size)
        return self._surveyed(self._objects.copy(source, self._key, content_type=CONTENT_TYPE), found)

    def _surveyed(self, info: ObjectInfo, found: Found) -> Brought:
        head = b"".join(self._objects.read(self._key, end=found.header_size))
        survey = self._rewriting.survey(info, head, found, look=self._keeper.look)
        return Brought(info=info, found=found, survey=survey, rewritten=None)

    @property
    def _found(self) -> Found:
        if self.standing.found is None:
            raise MultipartGoneError
        return self.standing.found

    @property
    def _etag(self) -> str | None:
        return self.standing.source.etag if self.standing.source is not None else None

    def _find_what_is_there(self) -> ObjectInfo | None:
        """Take up the parts of earlier attempts; the object when all of it is there already."""
        begun, found = self.standing.begun, self.standing.found
        if begun is None or found is None:
            return None
        try:
            parts = list(self._objects.multiparts.parts(self._key, begun.parts_id))
        except MultipartGoneError:
            return self._whole(found)
        if sum(part.size for part in parts) == found.size and are_all(parts):
            return self._objects.multiparts.complete(self._key, begun.parts_id, parts)
        self._there = [
            part for number, part in enumerate(parts, 1) if part.number == number and part.size == begun.part_size
        ]
        self._taken = self._found_bytes = sum(part.size for part in self._there)
        return None

    def _whole(self, found: Found) -> ObjectInfo | None:
        """The object that the parts became before; if they did not, they are gone, and all begins anew."""
        with suppress(ObjectNotFoundError):
            info = self._objects.head(self._key)
            if info.size == found.size:
                return info
        self.standing = Standing()
        return None

    def _received(self, origin: Origin) -> ObjectInfo:
        """Receive what is missing, over as many connections as that takes while each brings something."""
        while True:
            before = self._taken
            try:
                return self._receive(origin).complete()
            except SourceFailedError:
                if self._etag is None or self._taken - before < _WORTHWHILE:
                    raise

    def _receive(self, origin: Origin) -> PartStream:
        etag = self._etag if self._taken else None
        with origin.open(self._taken if etag is not None else 0, etag, watch=self._look) as answer:
            blocks = answer.blocks()
            stream = self._start_over(answer, blocks) if answer.start == 0 else self._stream or self._open_stream()
            for block in blocks:
                self._take(stream, block)
        if self._taken != self._found.size:
            message = f"the file ends after {self._taken} bytes, but its header describes {self._found.size}"
            raise NotSafetensors(message)
        return stream

    def _start_over(self, answer: Answer, blocks: Iterator[bytes]) -> PartStream:
        """Judge a version that was not begun before, and forget what is there of another."""
        self._let_go()
        head, more = read_head(self._examiner, blocks, size=answer.size)
        found = self._judge(head, answer.size)
        abort_all(self._objects, self._key)
        self._there, self._taken, self._found_bytes, self._stored_bytes = [], 0, 0, 0
        part_size = part_size_of(found.size, usual=self._part_bytes)
        parts_id = self._objects.multiparts.begin(self._key, content_type=CONTENT_TYPE)
        source = Source(etag=answer.etag, size=answer.size)
        self.standing = Standing(source=source, found=found, begun=Begun(parts_id=parts_id, part_size=part_size))
        self._keeper.standing(self.standing)
        self._beside = self._rewriting.beside(head, found)
        stream = self._open_stream()
        self._take(stream, head)
        self._take(stream, more)
        return stream

    def _open_stream(self) -> PartStream:
        begun = self.standing.begun
        if begun is None:
            raise MultipartGoneError
        self._stream = PartStream(
            self._objects,
            self._key,
            begun.parts_id,
            part_size=begun.part_size,
            there=self._there,
            passing=self._beside.take if self._beside is not None else None,
        )
        return self._stream

    def _take(self, stream: PartStream, block: bytes) -> None:
        if self._taken + len(block) > self._found.size:
            raise NotSafetensors(f"more bytes come than the {self._found.size} that the file's header describes")
        stream.write(block)
        self._taken += len(block)

    def _look(self) -> None:
        self._keeper.look(self._taken)

    def _let_go(self) -> None:
        """End the threads of this attempt."""
        if self._stream is not None:
            self._stream.close()
            self._stored_bytes = self._stream.stored
        if self._beside is not None:
            self._beside.close()
        self._stream = self._beside = None


def read_head(examiner: Examiner, blocks: Iterator[bytes], *, size: int | None) -> tuple[bytes, bytes]:
    """A file's beginning up to its data, and what came with it; `size` of the whole, where it is known.

    Raises `NotSafetensors`.
    """
    came = bytearray()
    _fill(came, blocks, HEADER_PREFIX)
    known = size if len(came) >= HEADER_PREFIX else len(came)
    needed = examiner.header_end(bytes(came), size=known)
    _fill(came, blocks, needed)
    return bytes(came[:needed]), bytes(came[needed:])


def _fill(buffer: bytearray, blocks: Iterator[bytes], needed: int) -> None:
    """Take blocks until there are so many bytes, or no more come."""
    while len(buffer) < needed and (block := next(blocks, None)) is not None:
        buffer += block
