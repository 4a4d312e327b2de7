"""Writing the optimised file: bytes of the old one in, bytes of the new one out, strictly in order.

`Passage` is one pass that surveys at the same time, by a plan that the data may refute. `Conversion` comes after a
survey and carries out a plan that they do not. Both check every tensor: what is narrowed stays inside its bound, what
is kept has the hash that was surveyed. Nothing is kept in between; begun anew, the same bytes come out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from penstock.weights.plan import HOLD, make_plan
from penstock.weights.survey import Looks, Seen, Surveying, Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from penstock.weights.header import Header
    from penstock.weights.plan import Piece, Plan
    from penstock.weights.policy import Options
    from penstock.weights.survey import Survey

_READ_THROUGH = 1 << 20
"""Bytes between two wanted tensors that are rather read and left than asked around."""


class ChangedError(Exception):
    """What is read is not what was surveyed."""


class Queue:
    """Brings bytes of tensors into the order of the new file; what comes before its time is copied and held."""

    def __init__(self, plan: Plan) -> None:
        self._places = {piece.index: place for place, piece in enumerate(plan.pieces)}
        self._held: dict[int, list[memoryview]] = {}
        self._ended: set[int] = set()
        self._next = 0

    def put(self, index: int, blocks: list[memoryview], *, last: bool) -> Iterator[memoryview]:
        """Bytes of a tensor (by its place in the old file); gives what can be written now. Dropped ones are dropped."""
        place = self._places.get(index)
        if place is None:
            return
        if place == self._next:
            yield from (block for block in blocks if block.nbytes)
        else:
            self._held.setdefault(place, []).extend(memoryview(bytes(block)) for block in blocks if block.nbytes)
        if last:
            self._ended.add(place)
        while self._next in self._ended:
            self._next += 1
            yield from self._held.pop(self._next, [])


class Passage:
    """One pass over a file: a survey, and the new file as far as it goes."""

    def __init__(self, header: Header, *, category: str | None, family: str | None, options: Options) -> None:
        self.plan = make_plan(header, category=category, family=family, options=options)
        self.objection: str | None = None
        self.surveying = Surveying(header, category=category, family=family, options=options)
        self._queue = Queue(self.plan)

    @property
    def is_possible(self) -> bool:
        """Whether there is something to write, memory suffices, and nothing in the header has to be known first."""
        return not self.plan.unchanged and not self.plan.hashed and self.plan.held <= HOLD

    def update(self, block: memoryview) -> Iterator[memoryview]:
        """The old file's next bytes, its header included; gives what can be written of the new one's data.

        Raises as `Surveying.update`. From the first objection on nothing is given any more.
        """
        for index, blocks, last in self.surveying.update(block):
            if last and self.objection is None:
                narrowed = self.surveying.last_seen.narrowed
                self.objection = narrowed.objection if narrowed is not None else None
            if self.objection is None:
                yield from self._queue.put(index, blocks, last=last)


class Conversion:
    """The data of the new file from a file that can be read anywhere. `seen` is what the survey saw, tensor by tensor.

    `read(begin, end)` gives bytes of the old file. They are read once, in its order where what must wait fits into
    memory, else in the order of the new file.
    """

    def __init__(
        self, header: Header, plan: Plan, survey: Survey, read: Callable[[int, int], Iterable[bytes | memoryview]]
    ) -> None:
        self._header, self._plan, self._survey, self._read = header, plan, survey, read
        self._pieces = {piece.index: piece for piece in plan.pieces}
        narrowed = {piece.index: piece.dtype for piece in plan.pieces if piece.narrowed}
        self._looks = Looks(header, narrowed, spans=False)

    def blocks(self) -> Iterator[memoryview]:
        """In order. Raises `ChangedError`, after blocks that are then worthless."""
        queue = Queue(self._plan)
        for index, blocks, last in self._converted():
            yield from queue.put(index, blocks, last=last)

    def _converted(self) -> Iterator[tuple[int, list[memoryview], bool]]:
        for first, stop in self._runs():
            begin, end = self._header.tensors[first].begin, self._header.tensors[stop - 1].end
            start = self._header.data_start
            blocks = self._read(start + begin, start + end) if begin < end else ()
            yield from self._run(Walk(self._header, first, stop), blocks)

    def _run(self, walk: Walk, blocks: Iterable[bytes | memoryview]) -> Iterator[tuple[int, list[memoryview], bool]]:
        look = None
        try:
            for block in _and_nothing(blocks):
                for index, piece, last in walk.split(block):
                    if index not in self._pieces:
                        continue
                    look = look or self._looks.at(index)
                    out = look.update(piece)
                    if last:
                        seen, rest = look.finish()
                        self._check(self._pieces[index], seen)
                        out += rest
                    yield index, out if look.narrows else [piece], last
                    look = None if last else look
        except ValueError as beyond:
            raise ChangedError("more came than was asked for") from beyond
        if not walk.is_over:
            raise ChangedError("less came than was asked for")

    def _check(self, piece: Piece, seen: Seen) -> None:
        surveyed = self._survey.tensors[piece.index]
        if seen.hash != surveyed.hash or seen.narrowed != (surveyed.narrowed if piece.narrowed else None):
            raise ChangedError(f"{piece.tensor.name} is not what it was")

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Neighbours in the old file that are read at once: from one tensor up to, not including, another."""
        in_order = self._plan.held <= HOLD
        indices = sorted(self._pieces) if in_order else [piece.index for piece in self._plan.pieces]
        runs: deque[tuple[int, int]] = deque()
        for index in indices:
            if runs and self._is_near(runs[-1][1], index, through=in_order):
                runs.append((runs.pop()[0], index + 1))
            else:
                runs.append((index, index + 1))
        yield from runs

    def _is_near(self, stop: int, index: int, *, through: bool) -> bool:
        if index == stop:
            return True
        tensors = self._header.tensors
        return through and tensors[index].begin - tensors[stop - 1].end <= _READ_THROUGH


def _and_nothing(blocks: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    """The blocks and an empty one: tensors without bytes end with it."""
    for block in blocks:
        yield memoryview(block)
    yield memoryview(b"")
