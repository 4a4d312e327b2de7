"""An origin whose files come by several connections, where one has shown to bring little.

Whoever reads sees one answer, in order. The first connection goes on until a range came as it was asked for, and is
kept until the end: a server, or a signature in a URL, that gives no further one costs time, but never the file.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol, Self

from penstock.ports.fetch import SourceError, SourceFailedError, SourceRefusedError
from penstock.workflows.model_original import Origin
from penstock.workflows.range_lanes import RangeLanes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from penstock.ports.fetch import Answer, Ranges
    from penstock.workflows.range_lanes import Parallel

_TICK_SECONDS = 0.5
_END_SECONDS = 2.0
_SIP_SECONDS = 5.0
_SIP_BYTES = 2**20
"""So much is taken of the connection in reserve now and then, so that its server does not take it for dead."""
_BESIDE = 2
_WORTHWHILE = 4
"""Ranges begin when so many times what they may hold is still to come."""


class RangedOrigin(Origin, Protocol):
    """Where a file comes from, also by ranges."""

    def ranges(self, etag: str, size: int, *, watch: Callable[[], None]) -> Ranges:
        """Ranges of that version of the file, which has `size` bytes. Raises `SourceError`s."""
        ...


class ParallelOrigin:
    """`model_original.Origin`. Ranges that came to nothing are not tried again."""

    def __init__(
        self,
        origin: RangedOrigin,
        parallel: Parallel,
        *,
        told: Callable[[int, int], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`told` hears how many connections brought how many ranges, where they did."""
        self.plain = origin
        self.parallel = parallel
        self.told = told
        self.now = now
        self.gave_up = False

    def open(self, start: int, etag: str | None, *, watch: Callable[[], None]) -> Answer:
        """The file from `start` on. Raises `SourceError`s."""
        if self.gave_up or self.parallel.connections < _BESIDE:
            return self.plain.open(start, etag, watch=watch)
        gate = _Gate(watch)
        answer = self.plain.open(start, etag, watch=gate)
        if answer.etag is None or answer.size is None or answer.size < self.parallel.least_bytes:
            return answer
        return _ParallelAnswer(self, answer, gate, etag=answer.etag, size=answer.size)


class _Gate:
    """What the first connection asks while it waits: another thing, when it is in another thread's hands."""

    def __init__(self, watch: Callable[[], None]) -> None:
        self.watch = watch

    def __call__(self) -> None:
        self.watch()


class _ParallelAnswer:
    """`ports.fetch.Answer`."""

    def __init__(self, origin: ParallelOrigin, first: Answer, gate: _Gate, *, etag: str, size: int) -> None:
        self.start = first.start
        self.etag = etag
        self.size = size
        self._origin = origin
        self._parallel = origin.parallel
        self._first = first
        self._gate = gate
        self._watch = gate.watch
        self._at = first.start
        self._lanes: RangeLanes | None = None
        self._reserve: _Reserve | None = None

    def blocks(self) -> Iterator[bytes]:
        """The body. Raises as the first connection would."""
        came = self._first.blocks()
        lanes = yield from self._alone(came)
        if lanes is None:
            return
        self._reserve = reserve = _Reserve(came, self._gate, at=self._at, reached=lambda: self._at)
        try:
            for block in lanes.blocks(self._at, watch=self._watch):
                self._at += len(block)
                yield block
        except SourceFailedError as error:
            failed = error
        else:
            return
        self._let_lanes_go()
        yield from self._behind(failed, reserve)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._reserve is not None:
            self._reserve.close()
        if self._lanes is not None:
            self._lanes.close()
        if self._reserve is not None and self._lanes is not None:
            self._origin.told(self._lanes.lanes, self._lanes.ranges)
        self._first.__exit__(*error)

    def _alone(self, came: Iterator[bytes]) -> Generator[bytes, None, RangeLanes | None]:
        """What the first connection brings, until ranges take over behind it, if they do."""
        meter = _Meter(self._parallel, self._origin.now)
        for block in meter.measured(came):
            self._at += len(block)
            yield block
            lanes = self._lanes
            if lanes is None:
                if not self._origin.gave_up and self._is_worthwhile() and meter.waits:
                    self._lanes = self._tried()
            elif lanes.proved:
                lanes.begin(self._parallel.connections)
                if self._at >= lanes.start:
                    return lanes
            elif self._at >= lanes.start + self._parallel.range_bytes:
                self._let_lanes_go()
                self._lanes = None
        return None

    def _is_worthwhile(self) -> bool:
        return self.size - self._at >= _WORTHWHILE * self._parallel.held_bytes

    def _tried(self) -> RangeLanes:
        """One lane, ahead of the first connection: by the time that one is there, it has shown what ranges are."""
        lanes = RangeLanes(
            lambda watch: self._origin.plain.ranges(self.etag, self.size, watch=watch),
            start=self._at + 2 * self._parallel.range_bytes,
            end=self.size,
            parallel=self._parallel,
        )
        lanes.begin(1)
        return lanes

    def _let_lanes_go(self) -> None:
        self._origin.gave_up = True
        if self._lanes is not None:
            self._lanes.close()

    def _behind(self, failed: SourceFailedError, reserve: _Reserve) -> Iterator[bytes]:
        """The rest by one connection: a new one, or the first if that is all that the server gives.

        Raises `SourceFailedError` when the file is another one by now: what to do then is not decided here.
        """
        try:
            answer = self._origin.plain.open(self._at, self.etag, watch=self._watch)
        except SourceRefusedError as refused:
            yield from reserve.rest(self._at, watch=self._watch, otherwise=refused)
            return
        with answer:
            if answer.start != self._at:
                raise failed
            yield from answer.blocks()


class _Meter:
    """How much of the time that a stretch of blocks took was waiting for them, and not what was done with them."""

    def __init__(self, parallel: Parallel, now: Callable[[], float]) -> None:
        self._parallel = parallel
        self._now = now
        self._began = now()
        self._waited = 0.0
        self._bytes = 0

    def measured(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        while True:
            asked = self._now()
            block = next(blocks, None)
            self._waited += self._now() - asked
            if block is None:
                return
            self._bytes += len(block)
            yield block

    @property
    def waits(self) -> bool:
        """Whether the stretch that ends here was waiting for the most part; False within a stretch."""
        if self._bytes < self._parallel.alone_bytes:
            return False
        now = self._now()
        share = self._waited / max(now - self._began, 1e-9)
        self._began, self._waited, self._bytes = now, 0.0, 0
        return share >= self._parallel.waiting_share


class _GoneError(Exception):
    """Nobody wants the connection any more."""


class _Reserve:
    """The first connection while others work. A thread takes some bytes of it now and then; close it to end that."""

    def __init__(self, came: Iterator[bytes], gate: _Gate, *, at: int, reached: Callable[[], int]) -> None:
        """`came` is `at`; it is not read beyond what is `reached`."""
        self._came = came
        self._gate = gate
        self._at = at
        self._reached = reached
        self._wanted = threading.Event()
        self._is_lost = self._is_gone = False
        gate.watch = self._look
        self._thread = threading.Thread(target=self._keep, name="reserve", daemon=True)
        self._thread.start()

    def rest(self, start: int, *, watch: Callable[[], None], otherwise: SourceRefusedError) -> Iterator[bytes]:
        """Its bytes from `start` on; raises `otherwise` when it broke meanwhile."""
        self._wanted.set()
        while self._thread.is_alive():
            self._thread.join(_TICK_SECONDS)
            watch()
        if self._is_lost:
            raise otherwise
        self._gate.watch = watch
        passed = start - self._at
        for block in self._came:
            skipped = min(passed, len(block))
            passed -= skipped
            if skipped < len(block):
                yield block[skipped:]

    def close(self) -> None:
        """End its thread; may be repeated."""
        self._is_gone = True
        self._wanted.set()
        self._thread.join(_END_SECONDS)

    def _keep(self) -> None:
        try:
            while not self._wanted.wait(_SIP_SECONDS):
                ends = min(self._at + _SIP_BYTES, self._reached() - _SIP_BYTES)
                while self._at < ends:
                    self._at += len(next(self._came))
        except (SourceError, _GoneError, StopIteration):
            self._is_lost = True

    def _look(self) -> None:
        if self._is_gone:
            raise _GoneError
