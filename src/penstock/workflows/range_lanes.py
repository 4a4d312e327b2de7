"""Ranges of one file, brought by several connections beside each other and handed out in order.

Knows nothing of what goes before and after them. What is held is bounded by construction: a piece is asked for only
when there is room for all of it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.ports.fetch import SourceError, SourceFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.ports.fetch import Ranges

_TICK_SECONDS = 0.5
_WORTHWHILE = 2**20
"""A connection that brought so many bytes of a range before it broke is followed by another one."""
_MOST_VAIN = 3
"""So often in a row may a lane that was good before bring too little, before it ends."""
_REST_SECONDS = 1.0
"""How long it rests then, each time so much longer."""
_PATIENCE_SECONDS = 3.0
"""So long do all other lanes wait for one, before one of them goes on in its place."""
_SMALL = 4 * 1024
_JOINED = 64 * 1024
_END_SECONDS = 2.0
"""Longer than an idle connection takes to see that nobody wants it any more; one that is being made may take longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """When ranges come beside each other, and how.

    At most `connections`, for files of `least_bytes` and more, once `alone_bytes` (more than the longest header that is
    read) came by one connection and `waiting_share` of that time was waiting for them. A range has `longest_range`, or
    less where many connections share the `held_bytes` that are in memory at most.
    """

    connections: int = 4
    least_bytes: int = 2 * 2**30
    alone_bytes: int = 32 * 2**20
    waiting_share: float = 0.5
    longest_range: int = 6 * 2**20
    held_bytes: int = 24 * 2**20

    @property
    def range_bytes(self) -> int:
        """Bytes of one range."""
        return min(self.longest_range, self.held_bytes // self.connections)


class _StoppedError(Exception):
    """Nobody wants the ranges any more."""


class _OvertakenError(Exception):
    """Another lane goes on with the piece."""


class _Piece:
    """Bytes from `start` to `end`, of which `received` came; `blocks` were not handed out yet."""

    __slots__ = ("blocks", "end", "lane", "received", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.received = 0
        self.blocks: deque[bytes | bytearray] = deque()
        self.lane: _Lane | None = None

    def add(self, block: bytes) -> None:
        """The next bytes. Small blocks are joined: objects of their own would take many times what they hold."""
        last = self.blocks[-1] if self.blocks else b""
        if len(block) >= _SMALL:
            self.blocks.append(block)
        elif isinstance(last, bytearray) and len(last) < _JOINED:
            last += block
        else:
            self.blocks.append(bytearray(block))
        self.received += len(block)

    @property
    def is_whole(self) -> bool:
        return self.start + self.received == self.end


class RangeLanes:
    """Lanes, each a thread with a connection, that bring the bytes from `start` to `end`. Close it to end them."""

    def __init__(
        self, connect: Callable[[Callable[[], None]], Ranges], *, start: int, end: int, parallel: Parallel
    ) -> None:
        """`connect` gives each lane ranges of its own, with what to `watch`: not for the thread that hands out."""
        self.start = start
        self.ranges = 0
        self._connect = connect
        self._end = end
        self._parallel = parallel
        self._most_pieces = parallel.held_bytes // parallel.range_bytes
        lock = threading.Lock()
        self._came = threading.Condition(lock)
        """For who hands out: the next bytes are there, or will not come."""
        self._changed = threading.Condition(lock)
        """For lanes: there is something to bring, or nothing any more."""
        self._pieces: deque[_Piece] = deque()
        self._given_back: list[_Piece] = []
        self._asked = start
        self._lanes: list[_Lane] = []
        self._alive = self._idle = 0
        self._proved = self._stopped = False
        self._error: SourceError | None = None
        self._waits_since: float | None = None

    @property
    def lanes(self) -> int:
        """How many there were."""
        return len(self._lanes)

    @property
    def proved(self) -> bool:
        """Whether the server gave a range as it was asked for."""
        return self._proved

    def begin(self, lanes: int) -> None:
        """See that there are so many."""
        more = [_Lane(self) for _ in range(lanes - len(self._lanes))]
        with self._changed:
            self._alive += len(more)
            self._lanes += more
        for lane in more:
            lane.thread.start()

    def blocks(self, start: int, *, watch: Callable[[], None]) -> Iterator[bytes]:
        """All bytes from `start` on, which is not before the first piece's. `watch` as in `Download`.

        Raises `SourceFailedError` when no lane is left, behind the last byte that came in order.
        """
        passed = start - self.start
        while (block := self._next(watch)) is not None:
            skipped = min(passed, len(block))
            passed -= skipped
            if skipped < len(block):
                yield block[skipped:] if skipped else block

    def close(self) -> None:
        """End the lanes and forget what they hold; may be repeated."""
        with self._changed:
            self._stopped = True
            self._pieces.clear()
            self._changed.notify_all()
        ends = time.monotonic() + _END_SECONDS
        for lane in self._lanes:
            lane.thread.join(max(0.0, ends - time.monotonic()))

    def _next(self, watch: Callable[[], None]) -> bytes | None:
        while True:
            watch()
            with self._came:
                self._come_to_help()
                block = self._at_hand()
                if block is not None:
                    return block
                if self._asked == self._end and not self._pieces:
                    return None
                if self._alive == 0:
                    raise SourceFailedError(self._error.reason if self._error else "no more ranges come")
                self._came.wait(_TICK_SECONDS)

    def _at_hand(self) -> bytes | None:
        while self._pieces:
            first = self._pieces[0]
            if first.blocks:
                return bytes(first.blocks.popleft())
            if not first.is_whole:
                return None
            self._pieces.popleft()
            self._changed.notify_all()
        return None

    def _come_to_help(self) -> None:
        """Give the first piece to another lane when all others have waited for it for a while: one slow connection."""
        first = self._pieces[0] if self._pieces else None
        if first is None or first.lane is None or first.is_whole or not 1 <= self._idle == self._alive - 1:
            self._waits_since = None
            return
        now = time.monotonic()
        self._waits_since = self._waits_since or now
        if now - self._waits_since >= _PATIENCE_SECONDS:
            self._give_back(first)

    def _give_back(self, piece: _Piece) -> None:
        piece.lane = None
        self._given_back.append(piece)
        self._changed.notify_all()

    # What follows is for the lanes.

    def run(self, lane: _Lane) -> None:
        """Bring pieces as long as there are any."""
        try:
            with self._connect(lane.look) as ranges:
                while (piece := self._take(lane)) is not None:
                    try:
                        self._bring(lane, piece, ranges)
                        lane.vain = 0
                    except SourceFailedError:
                        lane.vain += 1
                        if lane.vain > _MOST_VAIN:
                            raise
                        self._rest(lane)
        except _StoppedError:
            return
        except SourceError as error:
            self._error = error
        finally:
            with self._changed:
                self._alive -= 1
                self._let_go(lane)
                self._came.notify()

    def require_wanted(self, lane: _Lane) -> None:
        """Raises when the lane is not to go on with its piece."""
        if self._stopped:
            raise _StoppedError
        if lane.piece is not None and lane.piece.lane is not lane:
            raise _OvertakenError

    def _take(self, lane: _Lane) -> _Piece | None:
        """The next piece to bring, when there is room; None when all are there."""
        with self._changed:
            lane.piece = None
            self._idle += 1
            self._changed.wait_for(lambda: self._stopped or self._given_back or self._has_room() or self._is_done())
            self._idle -= 1
            if self._stopped:
                raise _StoppedError
            if self._given_back:
                piece = min(self._given_back, key=lambda piece: piece.start)
                self._given_back.remove(piece)
            elif self._has_room():
                piece = _Piece(self._asked, min(self._end, self._asked + self._parallel.range_bytes))
                self._asked = piece.end
                self._pieces.append(piece)
                self.ranges += 1
            else:
                return None
            piece.lane, lane.piece = lane, piece
            return piece

    def _rest(self, lane: _Lane) -> None:
        """After a failure that may pass; others go on with the piece."""
        with self._changed:
            self._let_go(lane)
            self._changed.wait_for(lambda: self._stopped, _REST_SECONDS * lane.vain)

    def _let_go(self, lane: _Lane) -> None:
        if lane.piece is not None and lane.piece.lane is lane:
            self._give_back(lane.piece)
        lane.piece = None

    def _has_room(self) -> bool:
        return self._asked < self._end and len(self._pieces) < self._most_pieces

    def _is_done(self) -> bool:
        return self._asked == self._end and all(piece.is_whole for piece in self._pieces)

    def _bring(self, lane: _Lane, piece: _Piece, ranges: Ranges) -> None:
        while not piece.is_whole:
            before = piece.received
            try:
                with closing(ranges.blocks(piece.start + before, piece.end)) as blocks:
                    for block in blocks:
                        self._add(lane, piece, block)
            except _OvertakenError:
                return
            except SourceFailedError:
                if piece.received - before < _WORTHWHILE:
                    raise

    def _add(self, lane: _Lane, piece: _Piece, block: bytes) -> None:
        with self._changed:
            self.require_wanted(lane)
            piece.add(block)
            self._proved = True
            if piece is self._pieces[0]:
                self._came.notify()
            if piece.is_whole:
                self._changed.notify_all()


class _Lane:
    """One thread, and the piece that it brings; one that never brought anything is not let try again."""

    def __init__(self, lanes: RangeLanes) -> None:
        self.piece: _Piece | None = None
        self.vain = _MOST_VAIN
        self._lanes = lanes
        self.thread = threading.Thread(target=lanes.run, args=(self,), name="range", daemon=True)

    def look(self) -> None:
        """What a connection asks while it waits. Raises to end what it does."""
        self._lanes.require_wanted(self)
